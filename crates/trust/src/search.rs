//! Searching the catalogue (docs/protocol.md 8.2, 8.3): rows are made of what the policy lets the user see,
//! and of nothing else; a bundle that is withheld contributes no attribute and no count. A study is never made of
//! bundles of different patients.

use std::collections::{BTreeMap, BTreeSet};

use harpo_protocol::access::Requester;
use harpo_protocol::id::PartyId;
use harpo_protocol::manifest::Attributes;
use harpo_protocol::search::{
    Level, LocateRequest, LocateResponse, Located, MAX_ROWS, SearchRequest, SearchResponse,
};
use serde_json::{Value, json};
use sqlx::SqliteConnection;

use crate::error::TrustError;
use crate::policy::{Decision, Hospital, Policy, Question, Resource, User};
use crate::store::catalogue::{self, Filter, Listed};
use crate::store::parties::Party;

mod matching;

const STUDY_DATE: &str = "00080020";
const ACCESSION_NUMBER: &str = "00080050";
const MODALITIES_IN_STUDY: &str = "00080061";
const SOP_CLASS_UID: &str = "00080016";
const SOP_INSTANCE_UID: &str = "00080018";
const PATIENT_ID: &str = "00100020";
const STUDY_INSTANCE_UID: &str = "0020000D";
const SERIES_INSTANCE_UID: &str = "0020000E";
const STUDY_RELATED_SERIES: &str = "00201206";
const STUDY_RELATED_INSTANCES: &str = "00201208";
const SERIES_RELATED_INSTANCES: &str = "00201209";

/// Studies that are looked at together.
const CHUNK: usize = 64;

/// What the policy said while searching.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) permitted: u64,
    pub(crate) withheld: u64,
}

/// Asks the policy about one bundle.
pub(crate) fn decide(
    policy: &Policy,
    asking: &Party,
    requester: &Requester,
    bundle: &Listed,
    retrieve: bool,
) -> Decision {
    let user = User {
        name: &requester.user,
        role: &requester.role,
        purpose: requester.purpose,
    };
    let resource = Resource {
        bundle: bundle.id,
        origin: Hospital {
            party: bundle.origin,
            name: &bundle.origin_name,
        },
        patient_id: &bundle.patient,
        study_instance_uid: &bundle.study,
        consent: bundle.consent,
        modalities: &bundle.modalities,
    };
    let asking = Hospital {
        party: asking.id,
        name: &asking.name,
    };
    let question = if retrieve {
        Question::Retrieve(user)
    } else {
        Question::Search(user)
    };
    policy.decide(question, asking, &resource)
}

/// Answers a search (8.2).
pub(crate) async fn search(
    db: &mut SqliteConnection,
    policy: &Policy,
    asking: &Party,
    request: &SearchRequest,
) -> Result<(SearchResponse, Tally), TrustError> {
    let limit = request.limit.min(MAX_ROWS) as usize;
    let offset = request.offset as usize;
    let mut tally = Tally::default();
    let mut rows = Vec::new();
    let mut skipped = 0;
    let studies = catalogue::studies(&mut *db, &filter(request)).await?;
    for chunk in studies.chunks(CHUNK) {
        for row in chunk_rows(db, policy, asking, request, chunk, &mut tally).await? {
            if skipped < offset {
                skipped += 1;
            } else {
                rows.push(row);
            }
        }
        if rows.len() > limit {
            break;
        }
    }
    let more = rows.len() > limit;
    rows.truncate(limit);
    Ok((SearchResponse { rows, more }, tally))
}

/// Finds the bundles of a study (8.3).
pub(crate) async fn locate(
    db: &mut SqliteConnection,
    policy: &Policy,
    asking: &Party,
    request: &LocateRequest,
) -> Result<(LocateResponse, Tally), TrustError> {
    let mut tally = Tally::default();
    let listed =
        catalogue::of_studies(db, std::slice::from_ref(&request.study_instance_uid)).await?;
    let visible = permitted(policy, asking, &request.requester, listed, &mut tally);
    let bundles = visible
        .into_iter()
        .map(|bundle| Located {
            bundle: bundle.id,
            origin: bundle.origin,
            instances: bundle.instances,
        })
        .collect();
    Ok((LocateResponse { bundles }, tally))
}

fn permitted(
    policy: &Policy,
    asking: &Party,
    requester: &Requester,
    bundles: Vec<Listed>,
    tally: &mut Tally,
) -> Vec<Listed> {
    let before = bundles.len();
    let permitted = bundles
        .into_iter()
        .filter(|bundle| decide(policy, asking, requester, bundle, false).permit)
        .collect();
    let visible = one_patient_a_study(asking.id, permitted);
    tally.permitted += visible.len() as u64;
    tally.withheld += (before - visible.len()) as u64;
    visible
}

/// Of each study, the bundles of one patient: the hospital's own if it has any, else the oldest bundle's. Bundles of
/// different hospitals belong together only if they name the same patient identifier; an empty one names nobody
/// outside its hospital (8.2).
fn one_patient_a_study(asking: PartyId, bundles: Vec<Listed>) -> Vec<Listed> {
    let mut shown: BTreeMap<String, (PartyId, String)> = BTreeMap::new();
    for bundle in &bundles {
        let this = || (bundle.origin, bundle.patient.clone());
        let first = shown.entry(bundle.study.clone()).or_insert_with(this);
        if bundle.origin == asking && first.0 != asking {
            *first = this();
        }
    }
    let belongs = |bundle: &Listed| {
        shown.get(&bundle.study).is_some_and(|(origin, patient)| {
            bundle.patient == *patient && (bundle.origin == *origin || !patient.is_empty())
        })
    };
    bundles.into_iter().filter(belongs).collect()
}

/// What of the keys the database can check. Only exact values: everything is matched again on rows.
fn filter(request: &SearchRequest) -> Filter {
    let key = |tag: &str| {
        request
            .matching
            .get(tag)
            .map(|key| key.trim())
            .filter(|key| !key.is_empty())
    };
    let exact = |tag: &str| key(tag).filter(|key| !key.contains(['*', '?', '\\']));
    let (mut from, mut to) = (None, None);
    if let Some(date) = key(STUDY_DATE) {
        let (first, last) = date.split_once('-').unwrap_or((date, date));
        from = matching::date_digits(first);
        to = matching::date_digits(last);
    }
    let uids = |list: &str| {
        list.split(['\\', ','])
            .map(|uid| uid.trim().to_owned())
            .collect()
    };
    Filter {
        studies: key(STUDY_INSTANCE_UID).map(uids),
        patient: exact(PATIENT_ID).map(str::to_owned),
        from,
        to,
        accession: exact(ACCESSION_NUMBER).map(str::to_owned),
    }
}

/// The matching rows of some studies, in their order.
async fn chunk_rows(
    db: &mut SqliteConnection,
    policy: &Policy,
    asking: &Party,
    request: &SearchRequest,
    studies: &[String],
    tally: &mut Tally,
) -> Result<Vec<Attributes>, TrustError> {
    let listed = catalogue::of_studies(&mut *db, studies).await?;
    let visible = permitted(policy, asking, &request.requester, listed, tally);
    let numbers: Vec<i64> = visible.iter().map(|bundle| bundle.number).collect();
    let counts = catalogue::counts(&mut *db, &numbers).await?;
    let mut by_study: BTreeMap<String, Vec<Listed>> = BTreeMap::new();
    for bundle in visible {
        by_study
            .entry(bundle.study.clone())
            .or_default()
            .push(bundle);
    }
    let mut rows = Vec::new();
    for study in studies {
        let (Some(bundles), Some(counts)) = (by_study.get(study), counts.get(study)) else {
            continue;
        };
        let found = study_rows(db, bundles, counts, request.level).await?;
        rows.extend(found.into_iter().filter(|row| {
            request
                .matching
                .iter()
                .all(|(tag, key)| matching::matches(row, tag, key))
        }));
    }
    Ok(rows)
}

/// The rows of one study, made of these bundles of it.
async fn study_rows(
    db: &mut SqliteConnection,
    bundles: &[Listed],
    counts: &BTreeMap<String, u64>,
    level: Level,
) -> Result<Vec<Attributes>, TrustError> {
    let study = study_row(bundles, counts)?;
    if level == Level::Study {
        return Ok(vec![study]);
    }
    let numbers: Vec<i64> = bundles.iter().map(|bundle| bundle.number).collect();
    // Several bundles may hold parts of one series; the oldest names its attributes first.
    let mut series: Vec<(String, Attributes)> = Vec::new();
    let mut at: BTreeMap<(i64, i64), usize> = BTreeMap::new();
    for part in catalogue::series(&mut *db, &numbers).await? {
        let known = series.iter().position(|(uid, _)| *uid == part.uid);
        let index = known.unwrap_or_else(|| {
            let mut row = study.clone();
            let count = counts.get(&part.uid).copied().unwrap_or(0);
            put(&mut row, SERIES_INSTANCE_UID, "UI", json!(part.uid));
            put(&mut row, SERIES_RELATED_INSTANCES, "IS", json!(count));
            series.push((part.uid.clone(), row));
            series.len() - 1
        });
        at.insert((part.bundle, part.position), index);
        add_missing(&mut series[index].1, part.attributes);
    }
    if level == Level::Series {
        return Ok(series.into_iter().map(|(_, row)| row).collect());
    }
    let mut seen = BTreeSet::new();
    let mut rows = Vec::new();
    for instance in catalogue::instances(db, &numbers).await? {
        let Some(index) = at.get(&(instance.bundle, instance.series)) else {
            continue;
        };
        if !seen.insert(instance.uid.clone()) {
            continue;
        }
        let mut row = series[*index].1.clone();
        put(&mut row, SOP_INSTANCE_UID, "UI", json!(instance.uid));
        put(&mut row, SOP_CLASS_UID, "UI", json!(instance.class));
        add_missing(&mut row, instance.attributes);
        rows.push(row);
    }
    Ok(rows)
}

fn study_row(bundles: &[Listed], counts: &BTreeMap<String, u64>) -> Result<Attributes, TrustError> {
    let mut row = Attributes::new();
    for bundle in bundles {
        if row.is_empty() {
            put(&mut row, STUDY_INSTANCE_UID, "UI", json!(bundle.study));
            put(&mut row, PATIENT_ID, "LO", json!(bundle.patient));
        }
        add_missing(&mut row, catalogue::parse_attributes(&bundle.attributes)?);
    }
    // Counted, whatever the depositors said.
    let modalities: BTreeSet<&String> = bundles.iter().flat_map(|b| &b.modalities).collect();
    row.insert(
        MODALITIES_IN_STUDY.to_owned(),
        json!({"vr": "CS", "Value": modalities}),
    );
    let instances: u64 = counts.values().sum();
    put(&mut row, STUDY_RELATED_SERIES, "IS", json!(counts.len()));
    put(&mut row, STUDY_RELATED_INSTANCES, "IS", json!(instances));
    Ok(row)
}

fn put(row: &mut Attributes, tag: &str, vr: &str, value: Value) {
    let attribute = match &value {
        Value::String(text) if text.is_empty() => json!({"vr": vr}),
        _ => json!({"vr": vr, "Value": [value]}),
    };
    row.insert(tag.to_owned(), attribute);
}

fn add_missing(row: &mut Attributes, more: Attributes) {
    for (tag, value) in more {
        row.entry(tag).or_insert(value);
    }
}
