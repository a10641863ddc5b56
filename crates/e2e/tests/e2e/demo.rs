//! The demonstration, as a person would run it.

use std::path::Path;

use harpo_e2e::images::pydicom;
use harpo_e2e::process::harpo;
use harpo_e2e::system::text;
use serde_json::Value;

fn demo(words: &[&str], folder: &Path) -> (String, Value) {
    let report = folder.join("report.json");
    let mut all = vec!["demo"];
    all.extend(words);
    all.extend(["--report", text(&report).unwrap()]);
    let printed = harpo(&all).unwrap();
    let report = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    (printed, report)
}

#[test]
fn images_of_its_own_making_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let (printed, report) = demo(&["--stack-mib", "64"], folder.path());
    assert_eq!(report["bit_exact"], true, "{report}\n{printed}");
}

#[test]
fn a_folder_of_real_files_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    std::fs::create_dir(&images).unwrap();
    for name in [
        "CT_small.dcm",
        "MR_small.dcm",
        "693_J2KI.dcm",
        "rtplan.dcm",
        "liver_1frame.dcm",
    ] {
        std::fs::copy(pydicom(name).unwrap(), images.join(name)).unwrap();
    }
    std::fs::write(images.join("README.txt"), "no image").unwrap();
    let (printed, report) = demo(
        &[text(&images).unwrap(), "--stack-mib", "16"],
        folder.path(),
    );
    assert_eq!(report["bit_exact"], true, "{report}\n{printed}");
}
