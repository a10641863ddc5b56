use harpo_protocol::access::Purpose;
use harpo_protocol::search::{Level, LocateRequest, LocateResponse, SearchResponse};

use super::network::*;
use crate::policy::Consent;

fn values(response: &SearchResponse, tag: &str) -> Vec<String> {
    response
        .rows
        .iter()
        .map(|row| {
            let value = &row[tag]["Value"][0];
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        })
        .collect()
}

/// Three studies: 1.1 of P1 at A in two bundles, 1.2 of P2 at A, 1.3 of P3 at B.
async fn filled() -> (Network, Gateway, Gateway) {
    let network = Network::new().await;
    let (a, b) = (network.gateway("A").await, network.gateway("B").await);
    a.deposit(&Spec::new("1.1", 1)).await;
    let mut more = Spec::new("1.1", 1);
    more.modality = "SR";
    more.series = vec![
        ("1.1.2".into(), vec![("1.1.2.1".into(), 3)]),
        // One that is there already, and one more of the same series.
        (
            "1.1.1".into(),
            vec![("1.1.1.2".into(), 1), ("1.1.1.3".into(), 1)],
        ),
    ];
    a.deposit(&more).await;
    let mut second = Spec::new("1.2", 1);
    second.patient = "P2";
    second.modality = "MR";
    second.date = "20251224";
    a.deposit(&second).await;
    let mut third = Spec::new("1.3", 1);
    third.patient = "P3";
    third.modality = "MR";
    b.deposit(&third).await;
    (network, a, b)
}

#[tokio::test]
async fn studies_are_merged_over_their_bundles() {
    let (_network, a, _) = filled().await;
    let found = a
        .search(&treating(), Level::Study, &[("0020000D", "1.1")])
        .await;
    assert_eq!(found.rows.len(), 1);
    assert!(!found.more);
    let row = &found.rows[0];
    assert_eq!(row["00080061"]["Value"], serde_json::json!(["CT", "SR"]));
    assert_eq!(row["00201206"]["Value"][0], 2);
    assert_eq!(row["00201208"]["Value"][0], 4);
    assert_eq!(row["00100020"]["Value"][0], "P1");
    assert_eq!(row["00100010"]["Value"][0]["Alphabetic"], "Doe^Jane");

    let series = a
        .search(&treating(), Level::Series, &[("0020000D", "1.1")])
        .await;
    assert_eq!(values(&series, "0020000E"), ["1.1.1", "1.1.2"]);
    assert_eq!(values(&series, "00201209"), ["3", "1"]);
    assert_eq!(values(&series, "00100020"), ["P1", "P1"]);

    let instances = a
        .search(
            &treating(),
            Level::Instance,
            &[("0020000E", "1.1.1"), ("0020000D", "1.1")],
        )
        .await;
    assert_eq!(
        values(&instances, "00080018"),
        ["1.1.1.1", "1.1.1.2", "1.1.1.3"]
    );
    assert_eq!(
        values(&instances, "00080016")[0],
        "1.2.840.10008.5.1.4.1.1.2"
    );
    assert_eq!(values(&instances, "00200013"), ["7", "7", "7"]);
}

#[tokio::test]
async fn keys_match_as_the_standard_says() {
    let (_network, a, _) = filled().await;
    let cases: &[(&str, &str, &[&str])] = &[
        ("0020000D", "", &["1.1", "1.2", "1.3"]),
        ("0020000D", "1.2", &["1.2"]),
        ("0020000D", "1.2\\1.3", &["1.2", "1.3"]),
        ("0020000D", "1.2,1.3", &["1.2", "1.3"]),
        ("0020000D", "1.*", &[]),
        ("00100020", "P2", &["1.2"]),
        ("00100020", "P?", &["1.1", "1.2", "1.3"]),
        ("00100020", "p2", &[]),
        ("00100010", "doe*", &["1.1", "1.2", "1.3"]),
        ("00100010", "doe^jane", &["1.1", "1.2", "1.3"]),
        ("00100010", "roe*", &[]),
        ("00080020", "20251224", &["1.2"]),
        ("00080020", "20260101-", &["1.1", "1.3"]),
        ("00080020", "-20251231", &["1.2"]),
        ("00080020", "20251224-20260131", &["1.1", "1.2", "1.3"]),
        ("00080020", "nonsense", &[]),
        ("00080050", "A7", &["1.1", "1.2", "1.3"]),
        ("00080050", "A*", &["1.1", "1.2", "1.3"]),
        ("00080050", "B1", &[]),
        ("00080061", "SR", &["1.1"]),
        ("00080061", "MR", &["1.2", "1.3"]),
        ("00201208", "4", &["1.1"]),
        ("00081030", "anything", &[]),
    ];
    for (tag, key, expected) in cases {
        let found = a.search(&treating(), Level::Study, &[(tag, key)]).await;
        assert_eq!(&values(&found, "0020000D"), expected, "{tag} {key:?}");
    }
    let both = [("00080061", "MR"), ("00080020", "20260101-")];
    let found = a.search(&treating(), Level::Study, &both).await;
    assert_eq!(values(&found, "0020000D"), ["1.3"]);
}

#[tokio::test]
async fn pages_join_into_the_whole() {
    let (_network, a, _) = filled().await;
    let mut seen = Vec::new();
    for offset in 0..4 {
        let page = a
            .search_page(&treating(), Level::Study, &[], 1, offset)
            .await;
        assert_eq!(page.more, offset < 2, "{offset}");
        seen.extend(values(&page, "0020000D"));
    }
    assert_eq!(seen, ["1.1", "1.2", "1.3"]);
    let none = a.search_page(&treating(), Level::Study, &[], 0, 0).await;
    assert!(none.rows.is_empty() && none.more);
}

#[tokio::test]
async fn what_is_withheld_leaves_no_trace_in_the_rows() {
    let (network, a, b) = filled().await;
    // B sees A's images for treatment; a nurse at B only B's own; after the objection nobody at B does.
    let nurse = who("nurse", Purpose::Treat);
    let found = b.search(&nurse, Level::Study, &[]).await;
    assert_eq!(values(&found, "0020000D"), ["1.3"]);
    // A bundle of B's own in A's study: the nurse's row counts this one alone.
    let mut own = Spec::new("1.1", 1);
    own.modality = "US";
    own.series = vec![("1.1.9".into(), vec![("1.1.9.1".into(), 1)])];
    b.deposit(&own).await;
    let found = b.search(&nurse, Level::Study, &[("0020000D", "1.1")]).await;
    assert_eq!(
        found.rows[0]["00080061"]["Value"],
        serde_json::json!(["US"])
    );
    assert_eq!(found.rows[0]["00201208"]["Value"][0], 1);
    assert!(
        b.search(&nurse, Level::Study, &[("00080061", "SR")])
            .await
            .rows
            .is_empty()
    );

    let operator = network.operator().await;
    operator
        .set_consent("P2", None, Consent::Deny)
        .await
        .unwrap();
    let found = b.search(&treating(), Level::Study, &[]).await;
    assert_eq!(values(&found, "0020000D"), ["1.1", "1.3"]);
    let at_home = a
        .search(&treating(), Level::Study, &[("00100020", "P2")])
        .await;
    assert_eq!(at_home.rows.len(), 1);

    let searched = network.events_named("searched").await;
    let last_of_b = &searched[searched.len() - 2];
    assert_eq!(
        (&last_of_b["permitted"], &last_of_b["withheld"]),
        (&4.into(), &1.into())
    );
}

#[tokio::test]
async fn keys_that_are_no_tags_are_refused() {
    let network = Network::new().await;
    let a = network.gateway("A").await;
    for bad in ["PatientID", "0020000d", "00200", "0020000D "] {
        let request = serde_json::json!({
            "requester": treating(), "level": "study", "matching": {bad: "x"}, "limit": 1, "offset": 0,
        });
        let outcome = a.post::<SearchResponse>("/v1/search", &request).await;
        assert_eq!(code(outcome), "malformed", "{bad}");
    }
}

/// Hospitals that use one StudyInstanceUID for different patients, by mistake or on purpose: nobody sees the
/// images of two patients as one study.
#[tokio::test]
async fn a_study_is_of_one_patient_whoever_deposits() {
    let network = Network::new().await;
    let (a, b, c) = (
        network.gateway("A").await,
        network.gateway("B").await,
        network.gateway("C").await,
    );
    let first = a.deposit(&Spec::new("1.1", 1)).await;
    let mut mixed_up = Spec::new("1.1", 1);
    mixed_up.patient = "P2";
    mixed_up.modality = "US";
    mixed_up.series = vec![("1.1.9".into(), vec![("1.1.9.1".into(), 1)])];
    let other = b.deposit(&mixed_up).await;
    // A part of the study from a hospital that names the same patient.
    let mut part = Spec::new("1.1", 1);
    part.modality = "SR";
    part.series = vec![("1.1.8".into(), vec![("1.1.8.1".into(), 1)])];
    let part = c.deposit(&part).await;

    for (who_asks, patient, modalities, bundles) in [
        // Neither of them, in C's case with the same patient.
        (
            &c,
            "P1",
            serde_json::json!(["CT", "SR"]),
            vec![first.id, part.id],
        ),
        (
            &a,
            "P1",
            serde_json::json!(["CT", "SR"]),
            vec![first.id, part.id],
        ),
        // At B its own patient is right.
        (&b, "P2", serde_json::json!(["US"]), vec![other.id]),
    ] {
        for level in [Level::Study, Level::Series, Level::Instance] {
            let found = who_asks.search(&treating(), level, &[]).await;
            assert!(!found.rows.is_empty());
            for row in &found.rows {
                assert_eq!(row["00100020"]["Value"][0], patient);
                assert_eq!(row["00080061"]["Value"], modalities);
            }
        }
        let absent = if patient == "P1" { "P2" } else { "P1" };
        let found = who_asks
            .search(&treating(), Level::Study, &[("00100020", absent)])
            .await;
        assert!(
            found.rows.is_empty(),
            "{absent} has no study of that UID here"
        );
        let request = LocateRequest {
            requester: treating(),
            study_instance_uid: "1.1".into(),
        };
        let located: LocateResponse = who_asks.post("/v1/locate", &request).await.unwrap();
        let located: Vec<_> = located.bundles.iter().map(|l| l.bundle).collect();
        assert_eq!(located, bundles);
    }
}

/// Without an identifier there is nothing to agree on.
#[tokio::test]
async fn unnamed_patients_of_different_hospitals_are_not_one() {
    let network = Network::new().await;
    let (a, b) = (network.gateway("A").await, network.gateway("B").await);
    let mut unnamed = Spec::new("1.1", 1);
    unnamed.patient = "";
    let (first, second) = (a.deposit(&unnamed).await, b.deposit(&unnamed).await);
    for (gateway, own) in [(&a, first.id), (&b, second.id)] {
        let request = LocateRequest {
            requester: treating(),
            study_instance_uid: "1.1".into(),
        };
        let located: LocateResponse = gateway.post("/v1/locate", &request).await.unwrap();
        let located: Vec<_> = located.bundles.iter().map(|l| l.bundle).collect();
        assert_eq!(located, [own]);
    }
}

#[tokio::test]
async fn searches_by_too_many_keys_are_refused() {
    let network = Network::new().await;
    let a = network.gateway("A").await;
    let keys: std::collections::BTreeMap<String, String> = (0..65)
        .map(|n| (format!("{n:08X}"), String::new()))
        .collect();
    let request = serde_json::json!({
        "requester": treating(), "level": "study", "matching": keys, "limit": 1, "offset": 0,
    });
    let outcome = a.post::<SearchResponse>("/v1/search", &request).await;
    assert_eq!(code(outcome), "malformed");
}
