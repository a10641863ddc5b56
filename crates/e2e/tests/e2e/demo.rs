//! The demonstration, as a person would run it.

use std::path::Path;

use harpo_e2e::images::{noise, pydicom};
use harpo_e2e::process::harpo;
use harpo_e2e::system::text;
use serde_json::Value;

/// What the cloud sees where queries are asked, and where the stack is streamed.
const ASKED: &[&str] = &["hint", "retrieval", "seal", "write"];
const STREAMED: &[&str] = &["hint", "seal", "stream", "write"];

/// Runs it; everything must come from the cloud by this engine, and the cloud have seen these kinds of events.
fn demo(words: &[&str], engine: &str, saw: &[&str], folder: &Path) -> Value {
    let report = folder.join("report.json");
    let mut all = vec!["demo"];
    all.extend(words);
    all.extend(["--report", text(&report).unwrap()]);
    let printed = harpo(&all).unwrap();
    let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    assert_eq!(report["bit_exact"], true, "{report}\n{printed}");
    assert_eq!(
        report["instances_sent"], report["instances_received"],
        "{report}"
    );
    // Not a byte in the cloud before sealing, and afterwards a shape that tells a class at most.
    assert_eq!(
        report["cloud_saw_before_sealing"],
        serde_json::json!({}),
        "{report}"
    );
    let kinds: Vec<&String> = report["cloud_saw"].as_object().unwrap().keys().collect();
    assert_eq!(kinds, saw, "{report}");
    let engines: Vec<&String> = report["engines"].as_object().unwrap().keys().collect();
    assert_eq!(engines, [engine], "{report}");
    assert!(report["wire_bytes_down"].as_u64().unwrap() > 0, "{report}");
    // Rounds look alike, whether somebody reads or not, and what was read goes back.
    let rounds = &report["rounds"];
    assert_eq!(rounds["shapes"], 1, "{report}");
    assert!(rounds["while_reading"].as_u64() > Some(0), "{report}");
    assert!(
        rounds["retrievals"].as_u64() > rounds["while_reading"].as_u64(),
        "{report}"
    );
    assert!(rounds["given_back"].as_u64() > Some(0), "{report}");
    // The laboratory, and the log itself, know nobody but the relay.
    assert_eq!(rounds["with_pass"], 0, "{report}");
    let laboratory = &report["laboratory"];
    for nothing in ["peers", "passes"] {
        assert_eq!(laboratory[nothing], 0, "{report}");
    }
    assert!(
        laboratory["anonymity_slots"].as_u64() >= Some(16),
        "{report}"
    );
    // What was measured is what the documentation's formulas say.
    for what in ["up", "down", "hint"] {
        let difference = &report["retrieval"][format!("difference_{what}")];
        assert!(difference.as_f64().unwrap() < 0.02, "{what}: {report}");
    }
    report
}

#[test]
fn images_of_its_own_making_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let report = demo(&["--stack-mib", "64"], "ring", ASKED, folder.path());
    assert_eq!(report["instances_sent"], 64, "{report}");
    assert_eq!(report["skipped"], serde_json::json!([]), "{report}");
    assert_eq!(report["cloud_saw"]["write"], 64, "{report}");
    assert!(report["bundle_ratio"].as_f64().unwrap() > 2.2, "{report}");
    let marks = &report["marks"];
    assert_eq!(marks["authentic"], 64, "{report}");
    assert_eq!(marks["trace"]["user"], "grace", "{report}");
    assert!(
        marks["trace"]["log10_p"].as_f64().unwrap() < -6.0,
        "{report}"
    );
    for (all, right) in [("copies", "copies_authentic"), ("planted", "found")] {
        assert!(marks[all].as_u64() > Some(0), "{report}");
        assert_eq!(marks[all], marks[right], "{report}");
    }
}

#[test]
fn a_folder_of_real_files_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    std::fs::create_dir(&images).unwrap();
    let names = [
        "CT_small.dcm",
        "MR_small.dcm",
        "693_J2KI.dcm",
        "rtplan.dcm",
        "liver_1frame.dcm",
    ];
    for name in names {
        std::fs::copy(pydicom(name).unwrap(), images.join(name)).unwrap();
    }
    std::fs::write(images.join("README.txt"), "no image").unwrap();
    let report = demo(
        &[text(&images).unwrap(), "--stack-mib", "16"],
        "ring",
        ASKED,
        folder.path(),
    );
    assert_eq!(report["instances_sent"], names.len(), "{report}");
}

#[test]
fn what_takes_most_of_a_small_stack_is_streamed() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    std::fs::create_dir(&images).unwrap();
    noise(20, &images).unwrap();
    let words = [text(&images).unwrap(), "--stack-mib", "1"];
    let report = demo(&words, "stream", STREAMED, folder.path());
    assert_eq!(report["instances_sent"], 20, "{report}");
    assert_eq!(report["queries"], 0, "{report}");
    assert!(report["cloud_saw"]["stream"].as_u64() > Some(0), "{report}");
    let streams = report["retrieval"]["retrievals"].as_u64().unwrap();
    assert_eq!(report["wire_bytes_down"], streams << 20, "{report}");
}
