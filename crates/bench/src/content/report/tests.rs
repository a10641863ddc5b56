use serde_json::json;

use super::*;
use crate::content::localisation::Counts;
use crate::content::{chart, table};

/// A report with one row of each kind.
pub(crate) fn small() -> Report {
    let modality = Modality::Ct;
    let gain = |bpp| reliability::GainRow {
        modality,
        synthetic: false,
        bpp,
        images: 2,
        carried: 2,
        psnr_db: Some(70.0 - 10.0 * bpp),
        compared: 2,
        gain_over_sachnev_db: Some(1.5),
        median_gain_db: Some(1.5),
        least_gain_db: Some(1.0),
        mse: Some(1.0),
        largest_error: 2,
        exact: true,
    };
    let rate = |scheme, bpp: f64| reliability::RateRow {
        modality,
        synthetic: false,
        scheme,
        bpp,
        images: 2,
        carried: 2,
        psnr_db: (bpp < 0.5).then_some(69.0 - 10.0 * bpp),
        mse: Some(1.0),
        largest_error: 2,
        exact: true,
    };
    let speed = reliability::Rate {
        mark: Some(60.0),
        verify: None,
        engine_embed: None,
        engine_extract: None,
    };
    Report {
        subject: "content",
        quick: true,
        machine: Machine::read(),
        images: Vec::new(),
        refused: 1,
        left_out: 0,
        compression: vec![compression::Row::sample(modality)],
        kept: None,
        exact_files: 3,
        peers_missing: Some("none here".into()),
        reliability: vec![gain(0.1), gain(1.0)],
        reliability_schemes: vec![
            rate("first", 0.1),
            rate("first", 1.0),
            rate("second", 0.1),
            rate("second", 1.0),
        ],
        reliability_mark: Vec::new(),
        mark_mpix_per_s: speed.mark,
        mark_cold_mpix_per_s: Some(50.0),
        mark_speed: reliability::Speed {
            rate: speed,
            rows: Vec::new(),
        },
        localisation: Localisation {
            counts: Counts {
                planted: 5,
                found: 5,
                ..Counts::default()
            },
            ..Localisation::default()
        },
        tracing: vec![tracing::Row::sample("JPEG 50")],
        tracing_distortion: Vec::new(),
        false_accusations: Some(accusations::Figures {
            trials: 10,
            accused: 0,
            limit_log10_p: -9.0,
            least_log10_p: -1.0,
            expected_at_most: 1e-8,
            tails: Vec::new(),
            within_bound: true,
            evidence: Vec::new(),
        }),
    }
}

#[test]
fn json_has_the_names_that_readers_rely_on() {
    let value = serde_json::to_value(small()).unwrap();
    for (pointer, expected) in [
        ("/compression/0/modality", json!("CT")),
        ("/compression/0/ratio", json!(2.5)),
        ("/compression/0/mb_per_s", json!(70.0)),
        ("/reliability/0/modality", json!("CT")),
        ("/reliability/0/bpp", json!(0.1)),
        ("/reliability/0/psnr_db", json!(69.0)),
        ("/reliability/0/gain_over_sachnev_db", json!(1.5)),
        ("/reliability/0/exact", json!(true)),
        ("/mark_mpix_per_s", json!(60.0)),
        ("/mark_cold_mpix_per_s", json!(50.0)),
        ("/reliability/0/least_gain_db", json!(1.0)),
        ("/localisation/planted", json!(5)),
        ("/localisation/found", json!(5)),
        ("/tracing/0/attack", json!("JPEG 50")),
        ("/tracing/0/trials", json!(4)),
        ("/tracing/0/right", json!(4)),
        ("/tracing/0/wrong", json!(0)),
        ("/false_accusations/trials", json!(10)),
        ("/false_accusations/accused", json!(0)),
    ] {
        assert_eq!(value.pointer(pointer), Some(&expected), "{pointer}");
    }
}

#[test]
fn rows_of_a_scheme_stay_together() {
    let report = small();
    let schemes = report.schemes_of((Modality::Ct, false));
    let names: Vec<_> = schemes
        .iter()
        .map(|(name, rows)| (*name, rows.len()))
        .collect();
    assert_eq!(names, [("first", 2), ("second", 2)]);
    assert!(report.schemes_of((Modality::Ct, true)).is_empty());
}

#[test]
fn the_table_says_what_was_found_and_what_is_missing() {
    let text = table::render(&small());
    for words in [
        "CT",
        "JPEG 50",
        "none here",
        "10 innocents, 0 accused",
        "–",
        "gain over Sachnev",
    ] {
        assert!(text.contains(words), "{words} is not in:\n{text}");
    }
}

#[test]
fn drawings_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let names = chart::draw(&small(), &folder.path().join("new")).unwrap();
    assert_eq!(names.len(), 3);
    for name in names {
        let drawing = std::fs::read_to_string(name).unwrap();
        assert!(drawing.starts_with("<svg") && drawing.ends_with("</svg>\n"));
    }
    let nothing = Report {
        compression: Vec::new(),
        reliability: Vec::new(),
        tracing: Vec::new(),
        ..small()
    };
    assert!(chart::draw(&nothing, folder.path()).unwrap().is_empty());
}
