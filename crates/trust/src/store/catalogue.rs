//! The catalogue: what is in the bundles, for searching (docs/protocol.md 8.2) and against mix-ups
//! at deposit.

use std::collections::{BTreeMap, BTreeSet};

use harpo_protocol::id::{BundleId, PartyId};
use harpo_protocol::manifest::{Attributes, Manifest};
use serde_json::Value;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, SqliteExecutor};

use super::bytes;
use crate::error::{TrustError, damaged};
use crate::policy::Consent;

const STUDY_DATE: &str = "00080020";
const ACCESSION_NUMBER: &str = "00080050";
const MODALITY: &str = "00080060";

/// What the bundle's row holds of the catalogue.
pub(crate) struct StudyColumns {
    pub(crate) study_date: String,
    pub(crate) accession: String,
    pub(crate) modalities: String,
    pub(crate) instances: i64,
    pub(crate) attributes: String,
}

impl StudyColumns {
    pub(crate) fn of(manifest: &Manifest) -> Result<Self, TrustError> {
        let study = &manifest.study;
        let text = |tag| first_text(&study.attributes, tag).unwrap_or_default();
        Ok(Self {
            study_date: text(STUDY_DATE).replace('.', ""),
            accession: text(ACCESSION_NUMBER),
            modalities: json(&modalities(manifest))?,
            instances: manifest.instances().count() as i64,
            attributes: json(&study.attributes)?,
        })
    }
}

/// Modalities of the series.
pub(crate) fn modalities(manifest: &Manifest) -> BTreeSet<String> {
    manifest
        .study
        .series
        .iter()
        .filter_map(|series| first_text(&series.attributes, MODALITY))
        .collect()
}

/// The first value of an attribute, if it is text, without padding.
fn first_text(attributes: &Attributes, tag: &str) -> Option<String> {
    let value = attributes.get(tag)?.get("Value")?.get(0)?.as_str()?;
    Some(value.trim().to_owned())
}

fn json(value: &impl serde::Serialize) -> Result<String, TrustError> {
    serde_json::to_string(value).map_err(|_| damaged("attributes"))
}

/// Stores series and instances of the bundle with this number.
pub(crate) async fn insert(
    tx: &mut SqliteConnection,
    number: i64,
    manifest: &Manifest,
) -> Result<(), TrustError> {
    let mut position = 0i64;
    for (series_position, series) in manifest.study.series.iter().enumerate() {
        sqlx::query("INSERT INTO series (bundle, position, uid, attributes) VALUES (?, ?, ?, ?)")
            .bind(number)
            .bind(series_position as i64)
            .bind(&series.series_instance_uid)
            .bind(json(&series.attributes)?)
            .execute(&mut *tx)
            .await?;
        for instance in &series.instances {
            sqlx::query(
                "INSERT INTO instance (bundle, position, series, uid, class, dataset_sha256, attributes) \
                 VALUES (?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(number)
            .bind(position)
            .bind(series_position as i64)
            .bind(&instance.sop_instance_uid)
            .bind(&instance.sop_class_uid)
            .bind(instance.dataset_sha256.0.as_slice())
            .bind(json(&instance.attributes)?)
            .execute(&mut *tx)
            .await?;
            position += 1;
        }
    }
    Ok(())
}

/// What contradicts earlier deposits of the same hospital, if anything does: an instance that exists with other
/// content, or a study for another patient. Other hospitals' are not looked at: a refusal would tell what they have.
pub(crate) async fn contradiction(
    tx: &mut SqliteConnection,
    number: i64,
) -> Result<Option<String>, TrustError> {
    let instance: Option<String> = sqlx::query_scalar(
        "SELECT new.uid FROM instance new \
         JOIN instance old ON old.uid = new.uid AND old.bundle != new.bundle AND old.dataset_sha256 != new.dataset_sha256 \
         JOIN bundle mine ON mine.number = new.bundle \
         JOIN bundle theirs ON theirs.number = old.bundle AND theirs.state = 'placed' AND theirs.origin = mine.origin \
         WHERE new.bundle = ? LIMIT 1",
    )
    .bind(number)
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(uid) = instance {
        return Ok(Some(format!(
            "SOP instance {uid} was deposited before with different content; a changed instance needs a new UID"
        )));
    }
    let study: Option<String> = sqlx::query_scalar(
        "SELECT new.study FROM bundle new \
         JOIN bundle old ON old.study = new.study AND old.origin = new.origin \
           AND old.state = 'placed' AND old.patient != new.patient \
         WHERE new.number = ? LIMIT 1",
    )
    .bind(number)
    .fetch_optional(tx)
    .await?;
    Ok(study.map(|uid| {
        format!(
            "study {uid} was deposited before for another patient ID; check which patient it belongs to"
        )
    }))
}

/// The same between hospitals, for the operator's eyes: the other's bundle, and what stands in both.
pub(crate) async fn foreign_contradiction(
    tx: &mut SqliteConnection,
    number: i64,
) -> Result<Option<(BundleId, String)>, TrustError> {
    let found: Option<(Vec<u8>, String)> = sqlx::query_as(
        "SELECT theirs.id, 'SOP instance ' || new.uid FROM instance new \
         JOIN instance old ON old.uid = new.uid AND old.bundle != new.bundle AND old.dataset_sha256 != new.dataset_sha256 \
         JOIN bundle mine ON mine.number = new.bundle \
         JOIN bundle theirs ON theirs.number = old.bundle AND theirs.state = 'placed' AND theirs.origin != mine.origin \
         WHERE new.bundle = ?1 \
         UNION ALL \
         SELECT theirs.id, 'study ' || mine.study FROM bundle mine \
         JOIN bundle theirs ON theirs.study = mine.study AND theirs.state = 'placed' \
           AND theirs.origin != mine.origin AND theirs.patient != mine.patient \
         WHERE mine.number = ?1 LIMIT 1",
    )
    .bind(number)
    .fetch_optional(tx)
    .await?;
    found
        .map(|(id, what)| Ok((bytes!(BundleId, id)?, what)))
        .transpose()
}

/// Conditions that the database can check before anything else.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Filter {
    /// Any of these studies.
    pub(crate) studies: Option<Vec<String>>,
    /// Exactly this patient.
    pub(crate) patient: Option<String>,
    /// From this date on.
    pub(crate) from: Option<String>,
    /// Up to this date.
    pub(crate) to: Option<String>,
    /// Exactly this accession number.
    pub(crate) accession: Option<String>,
}

/// Studies of which a bundle fulfils the conditions, oldest deposit first.
pub(crate) async fn studies(
    db: impl SqliteExecutor<'_>,
    filter: &Filter,
) -> Result<Vec<String>, TrustError> {
    let mut query = QueryBuilder::<Sqlite>::new("SELECT study FROM bundle WHERE state = 'placed'");
    if let Some(studies) = &filter.studies {
        query.push(" AND study IN (SELECT value FROM json_each(");
        query.push_bind(json(studies)?).push("))");
    }
    for (condition, value) in [
        (" AND patient = ", &filter.patient),
        (" AND study_date >= ", &filter.from),
        (" AND study_date <= ", &filter.to),
        (" AND accession = ", &filter.accession),
    ] {
        if let Some(value) = value {
            query.push(condition).push_bind(value.clone());
        }
    }
    query.push(" GROUP BY study ORDER BY min(number)");
    Ok(query.build_query_scalar().fetch_all(db).await?)
}

/// A deposited bundle, as policy and search need it.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) number: i64,
    pub(crate) id: BundleId,
    pub(crate) origin: PartyId,
    pub(crate) origin_name: String,
    pub(crate) study: String,
    pub(crate) patient: String,
    pub(crate) consent: Consent,
    pub(crate) modalities: BTreeSet<String>,
    pub(crate) instances: u32,
    /// As stored; parsed when a row is made of it.
    pub(crate) attributes: String,
}

const LISTED: &str = "SELECT bundle.number, bundle.id, origin, party.name, study, patient, \
     coalesce((SELECT consent FROM consent WHERE consent.patient = bundle.patient AND consent.origin = bundle.origin), \
              (SELECT consent FROM consent WHERE consent.patient = bundle.patient AND consent.origin = x''), \
              'unknown'), \
     modalities, instances, attributes \
     FROM bundle JOIN party ON party.id = bundle.origin WHERE bundle.state = 'placed'";

type ListedRow = (
    i64,
    Vec<u8>,
    Vec<u8>,
    String,
    String,
    String,
    String,
    String,
    i64,
    String,
);

fn listed(row: ListedRow) -> Result<Listed, TrustError> {
    let (
        number,
        id,
        origin,
        origin_name,
        study,
        patient,
        consent,
        modalities,
        instances,
        attributes,
    ) = row;
    Ok(Listed {
        number,
        id: bytes!(BundleId, id)?,
        origin: bytes!(PartyId, origin)?,
        origin_name,
        study,
        patient,
        consent: Consent::from_column(&consent),
        modalities: serde_json::from_str(&modalities).map_err(|_| damaged("modalities"))?,
        instances: instances as u32,
        attributes,
    })
}

/// The deposited bundles of these studies, oldest first.
pub(crate) async fn of_studies(
    db: impl SqliteExecutor<'_>,
    studies: &[String],
) -> Result<Vec<Listed>, TrustError> {
    let mut query = QueryBuilder::<Sqlite>::new(LISTED);
    query.push(" AND study IN (SELECT value FROM json_each(");
    query
        .push_bind(json(&studies)?)
        .push(")) ORDER BY bundle.number");
    query
        .build_query_as::<ListedRow>()
        .fetch_all(db)
        .await?
        .into_iter()
        .map(listed)
        .collect()
}

/// One deposited bundle.
pub(crate) async fn of_bundle(
    db: impl SqliteExecutor<'_>,
    id: BundleId,
) -> Result<Option<Listed>, TrustError> {
    let mut query = QueryBuilder::<Sqlite>::new(LISTED);
    query.push(" AND bundle.id = ").push_bind(id.0.to_vec());
    query
        .build_query_as::<ListedRow>()
        .fetch_optional(db)
        .await?
        .map(listed)
        .transpose()
}

/// A series of a bundle.
pub(crate) struct SeriesRow {
    pub(crate) bundle: i64,
    pub(crate) position: i64,
    pub(crate) uid: String,
    pub(crate) attributes: Attributes,
}

pub(crate) async fn series(
    db: impl SqliteExecutor<'_>,
    bundles: &[i64],
) -> Result<Vec<SeriesRow>, TrustError> {
    let rows: Vec<(i64, i64, String, String)> = sqlx::query_as(
        "SELECT bundle, position, uid, attributes FROM series \
         WHERE bundle IN (SELECT value FROM json_each(?)) ORDER BY bundle, position",
    )
    .bind(json(&bundles)?)
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|(bundle, position, uid, attributes)| {
            Ok(SeriesRow {
                bundle,
                position,
                uid,
                attributes: parse_attributes(&attributes)?,
            })
        })
        .collect()
}

/// An instance of a bundle.
pub(crate) struct InstanceRow {
    pub(crate) bundle: i64,
    /// Position of its series in the bundle.
    pub(crate) series: i64,
    pub(crate) uid: String,
    pub(crate) class: String,
    pub(crate) attributes: Attributes,
}

pub(crate) async fn instances(
    db: impl SqliteExecutor<'_>,
    bundles: &[i64],
) -> Result<Vec<InstanceRow>, TrustError> {
    let rows: Vec<(i64, i64, String, String, String)> = sqlx::query_as(
        "SELECT bundle, series, uid, class, attributes FROM instance \
         WHERE bundle IN (SELECT value FROM json_each(?)) ORDER BY bundle, position",
    )
    .bind(json(&bundles)?)
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|(bundle, series, uid, class, attributes)| {
            Ok(InstanceRow {
                bundle,
                series,
                uid,
                class,
                attributes: parse_attributes(&attributes)?,
            })
        })
        .collect()
}

/// Numbers of distinct instances in these bundles, by series UID, by study.
pub(crate) type Counts = BTreeMap<String, BTreeMap<String, u64>>;

/// Counts the instances of these bundles.
pub(crate) async fn counts(
    db: impl SqliteExecutor<'_>,
    bundles: &[i64],
) -> Result<Counts, TrustError> {
    let rows: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT bundle.study, series.uid, count(DISTINCT instance.uid) FROM instance \
         JOIN series ON series.bundle = instance.bundle AND series.position = instance.series \
         JOIN bundle ON bundle.number = instance.bundle \
         WHERE instance.bundle IN (SELECT value FROM json_each(?)) GROUP BY bundle.study, series.uid",
    )
    .bind(json(&bundles)?)
    .fetch_all(db)
    .await?;
    let mut counts = Counts::new();
    for (study, series, count) in rows {
        counts
            .entry(study)
            .or_default()
            .insert(series, count as u64);
    }
    Ok(counts)
}

pub(crate) fn parse_attributes(text: &str) -> Result<Attributes, TrustError> {
    serde_json::from_str::<BTreeMap<String, Value>>(text).map_err(|_| damaged("attributes"))
}
