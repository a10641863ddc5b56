//! Marks: an export under an obligation, a picture of it, and whom it names; copies that prove themselves,
//! altered and exchanged ones that do not.

use std::collections::BTreeSet;
use std::io::{Cursor, Read as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use harpo_e2e::images::{data_set, pydicom, variant};
use harpo_e2e::system::{Changes, Hospital, System, USER, text};
use harpo_service::http::{Client, ClientError};
use http::{HeaderName, HeaderValue, header};
use image::{GrayImage, ImageFormat};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::sent::Sent;

/// An MR image of 484 x 300 pixels with 12 bits, and its UID.
const IMAGE: &str = "examples_overlay.dcm";
const UID: &str = "1.2.826.0.1.3680043.8.498.56065470899706926608807826667383533307";
const COLUMNS: usize = 484;
const ROWS: usize = 300;

/// Everybody who may read may export; for operations, with a mark.
const POLICY: &str = r#"
permit (principal is Gateway, action == Action::"deposit", resource is Bundle);
permit (principal is User, action in [Action::"search", Action::"retrieve"], resource is Bundle)
when { context.purpose == "TREAT" };
@id("operations") @obligations("trace-export")
permit (principal is User, action in [Action::"search", Action::"retrieve"], resource is Bundle)
when { context.purpose == "HOPERAT" };
"#;

fn system(folder: &Path) -> Result<System> {
    let policy = folder.join("policy.cedar");
    std::fs::write(&policy, POLICY)?;
    let changes = format!("[policy]\nfile = '{}'\n", text(&policy)?);
    // As long as the test program lives.
    let trust = Box::leak(changes.into_boxed_str());
    System::start_with(
        &["St Anne", "Mercy Vale"],
        &Changes {
            trust,
            ..Changes::default()
        },
    )
}

/// The files of a study as a zip download, or the refusal's code.
fn export(at: &Hospital, study: &str, purpose: &str) -> Result<Result<Vec<Vec<u8>>, String>> {
    let client = Client::plain(&format!("http://127.0.0.1:{}", at.web))?;
    let request = client
        .get(&format!("/dicom-web/studies/{study}"))
        .header(header::ACCEPT, HeaderValue::from_static("application/zip"))
        .header(
            HeaderName::from_static("x-purpose-of-use"),
            HeaderValue::from_str(purpose)?,
        )
        .header(
            header::AUTHORIZATION,
            HeaderValue::try_from(format!("Bearer {}", at.token))?,
        );
    let zip = match Runtime::new()?.block_on(request.send_bytes(64 << 20)) {
        Ok(zip) => zip,
        Err(ClientError::Refused { code, .. }) => return Ok(Err(code)),
        Err(error) => return Err(error.into()),
    };
    let mut archive = zip::ZipArchive::new(Cursor::new(zip))?;
    let mut files = Vec::new();
    for index in 0..archive.len() {
        let mut file = Vec::new();
        archive.by_index(index)?.read_to_end(&mut file)?;
        files.push(file);
    }
    Ok(Ok(files))
}

/// Where the samples of [`IMAGE`] begin.
fn samples_at(file: &[u8]) -> Result<usize> {
    let length = (2 * ROWS * COLUMNS) as u32;
    let head = [b"\xe0\x7f\x10\x00".as_slice(), &length.to_le_bytes()];
    let explicit = [b"\xe0\x7f\x10\x00OW\0\0".as_slice(), &length.to_le_bytes()];
    for needle in [head.concat(), explicit.concat()] {
        if let Some(at) = file.windows(needle.len()).position(|w| w == needle) {
            return Ok(at + needle.len());
        }
    }
    anyhow::bail!("it has other pixels")
}

/// The image from black to white, as a JPEG.
fn jpeg(file: &[u8]) -> Result<Vec<u8>> {
    let from = samples_at(file)?;
    let samples: Vec<u16> = file[from..from + 2 * ROWS * COLUMNS]
        .chunks_exact(2)
        .map(|word| u16::from_le_bytes([word[0], word[1]]))
        .collect();
    let most = samples.iter().copied().max().context("no samples")?;
    let bytes = samples
        .iter()
        .map(|sample| (u32::from(*sample) * 255 / u32::from(most)) as u8)
        .collect();
    let image = GrayImage::from_raw(COLUMNS as u32, ROWS as u32, bytes).context("another size")?;
    let mut out = Cursor::new(Vec::new());
    image.write_to(&mut out, ImageFormat::Jpeg)?;
    Ok(out.into_inner())
}

/// `harpo mark …`: the exit code, and what it printed.
fn mark(words: &[&str], files: &[PathBuf]) -> Result<(i32, String)> {
    let output = Command::new(harpo_e2e::binary()?)
        .arg("mark")
        .args(words)
        .args(files)
        .output()?;
    let code = output.status.code().context("it was killed")?;
    ensure!(
        code != 101,
        "it panicked: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok((code, String::from_utf8(output.stdout)?))
}

fn deposited(system: &System, files: &[PathBuf]) -> Sent {
    assert_eq!(system.hospitals[0].stow(files).unwrap()["status"], 200);
    let mut sent = Sent::default();
    sent.by_stow(files).unwrap();
    for hospital in &system.hospitals {
        sent.found_by(hospital).unwrap();
    }
    sent
}

#[test]
fn a_jpeg_of_an_export_names_who_took_it() {
    let folder = tempfile::tempdir().unwrap();
    let system = system(folder.path()).unwrap();
    let mercy = &system.hospitals[1];
    let sent = deposited(&system, &[pydicom(IMAGE).unwrap()]);
    let study = sent.studies().next().unwrap();
    let original = std::fs::read(pydicom(IMAGE).unwrap()).unwrap();

    // Without the obligation an export is exact, and what is shown is exact with it, too.
    let exact = export(mercy, study, "TREAT").unwrap().unwrap();
    assert!(exact == [original.clone()]);
    let marked = export(mercy, study, "HOPERAT").unwrap().unwrap();
    // The same user's next export is no second codeword to average with.
    let again = export(mercy, study, "HOPERAT").unwrap().unwrap();
    assert!(again == marked);
    sent.comes_back_at(mercy, folder.path()).unwrap();
    assert_eq!(marked[0].len(), original.len());
    let from = samples_at(&original).unwrap();
    assert!(marked[0][from..] != original[from..]);
    assert!(data_set(&marked[0]).is_ok());

    let dir = text(&mercy.dir).unwrap();
    let leak = folder.path().join("leak.jpg");
    std::fs::write(&leak, jpeg(&marked[0]).unwrap()).unwrap();
    let trace = |file: &Path| {
        let (code, printed) = mark(&["trace", "--json", "--dir", dir], &[file.into()]).unwrap();
        let report: Value = serde_json::from_str(&printed).unwrap();
        (code, report)
    };
    let (code, report) = trace(&leak);
    assert_eq!(code, 0, "{report}");
    let accused = report["accused"].as_array().unwrap();
    assert_eq!(accused.len(), 1, "{report}");
    assert_eq!(accused[0]["user"], USER, "{report}");
    assert_eq!(accused[0]["hospital"], "Mercy Vale", "{report}");
    // It was written down, as were the others; the two marked ones are the same copy, and both are listed.
    let listed = harpo_e2e::process::harpo(&["gateway", "exports", "--dir", dir]).unwrap();
    let rows: Vec<&str> = listed.lines().collect();
    assert_eq!(rows.len(), 3, "{listed}");
    let occasions = accused[0]["exports"].as_array().unwrap();
    assert_eq!(occasions.len(), 2, "{report}");
    for (occasion, row) in occasions.iter().rev().zip(&rows) {
        let requester = &occasion["export"]["requester"];
        assert_eq!(requester["purpose"], "HOPERAT", "{report}");
        let id = occasion["id"].as_str().unwrap();
        assert!(row.contains(id) && row.contains("traced"), "{listed}");
    }
    assert!(rows[2].contains("exact"), "{listed}");

    // Of the exact export nothing can be told, and nobody is named.
    let innocent = folder.path().join("exact.jpg");
    std::fs::write(&innocent, jpeg(&original).unwrap()).unwrap();
    let (code, report) = trace(&innocent);
    assert_eq!(code, 1, "{report}");
    assert_eq!(report["accused"], serde_json::json!([]));
    std::fs::write(&innocent, "no picture").unwrap();
    assert_eq!(mark(&["trace", "--dir", dir], &[innocent]).unwrap().0, 2);
}

#[test]
fn what_cannot_be_traced_does_not_leave() {
    let folder = tempfile::tempdir().unwrap();
    let system = system(folder.path()).unwrap();
    let mercy = &system.hospitals[1];
    let sent = deposited(&system, &[pydicom("693_J2KI.dcm").unwrap()]);
    let study = sent.studies().next().unwrap();
    let refused = export(mercy, study, "HOPERAT").unwrap();
    assert_eq!(refused.unwrap_err(), "untraceable");
    let listed = ["gateway", "exports", "--dir", text(&mercy.dir).unwrap()];
    assert_eq!(harpo_e2e::process::harpo(&listed).unwrap(), "");
    export(mercy, study, "TREAT").unwrap().unwrap();
    sent.comes_back_at(mercy, folder.path()).unwrap();
}

#[test]
fn marked_copies_prove_themselves_and_altered_or_exchanged_ones_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let system = system(folder.path()).unwrap();
    let mercy = &system.hospitals[1];
    let other = folder.path().join("other.dcm");
    let second = format!("{}8", &UID[..UID.len() - 1]);
    variant(IMAGE, &[(UID, second)], &other).unwrap();
    let files = [pydicom(IMAGE).unwrap(), other];
    let sent = deposited(&system, &files);
    sent.comes_back_at(mercy, folder.path()).unwrap();

    let dir = text(&mercy.dir).unwrap();
    let out = folder.path().join("copies");
    let apply = ["apply", "--dir", dir, "--out", text(&out).unwrap()];
    let (code, printed) = mark(&apply, &files).unwrap();
    assert_eq!(code, 0, "{printed}");
    let copies: Vec<PathBuf> = printed.lines().map(PathBuf::from).collect();
    let pictures = folder.path().join("pictures");
    let verify = |files: &[PathBuf]| {
        let words = ["verify", "--json", "--picture", text(&pictures).unwrap()];
        let (code, printed) = mark(&[&words[..], &["--dir", dir]].concat(), files).unwrap();
        let told: Value = serde_json::from_str(&printed).unwrap();
        (code, told)
    };
    let (code, told) = verify(&copies);
    assert_eq!(code, 0, "{told}");
    for row in told.as_array().unwrap() {
        assert_eq!(row["verdict"], "authentic", "{told}");
        assert_eq!(row["origin_name"], "St Anne", "{told}");
        assert_eq!(row["data_set_unchanged"], true, "{told}");
    }
    // Originals carry no mark.
    let (code, told) = verify(&files);
    assert_eq!(
        (code, &told[0]["verdict"]),
        (2, &"unmarked".into()),
        "{told}"
    );

    // A sample of one image is changed; the other's pixels stand under the first's name.
    let mut first = std::fs::read(&copies[0]).unwrap();
    let second = std::fs::read(&copies[1]).unwrap();
    let from = samples_at(&first).unwrap();
    let swapped = folder.path().join("swapped.dcm");
    let exchanged = [&first[..from], &second[samples_at(&second).unwrap()..]].concat();
    std::fs::write(&swapped, exchanged).unwrap();
    first[from + 2 * (150 * COLUMNS + 200)] ^= 1;
    let altered = folder.path().join("altered.dcm");
    std::fs::write(&altered, first).unwrap();
    let (code, told) = verify(&[altered, swapped, copies[1].clone()]);
    assert_eq!(code, 1, "{told}");
    let verdicts: Vec<&str> = (0..3).filter_map(|i| told[i]["verdict"].as_str()).collect();
    assert_eq!(verdicts, ["altered", "other-image", "authentic"], "{told}");
    let blocks = told[0]["altered"][0]["blocks"].as_array().unwrap();
    assert_eq!(blocks.len(), 1, "{told}");
    let at = |key: &str| blocks[0][key].as_u64().unwrap();
    assert!((at("x")..at("x") + at("width")).contains(&200), "{told}");
    assert!((at("y")..at("y") + at("height")).contains(&150), "{told}");
    let picture = image::open(pictures.join("altered.png")).unwrap().to_rgb8();
    let red = |x, y| picture.get_pixel(x, y).0[0] != picture.get_pixel(x, y).0[1];
    assert!(red(200, 150) && !red(20, 20));

    // Elsewhere, with the key that is handed on.
    let bundle = told[2]["bundle"].as_str().unwrap();
    let (code, key) = mark(&["key", "--dir", dir, bundle], &[]).unwrap();
    assert_eq!(code, 0);
    let given = folder.path().join("key.json");
    std::fs::write(&given, key).unwrap();
    let words = ["verify", "--key", text(&given).unwrap()];
    let (code, printed) = mark(&words, &copies).unwrap();
    assert_eq!(code, 0, "{printed}");
    let named: BTreeSet<&str> = printed.matches("St Anne").collect();
    assert!(!named.is_empty(), "{printed}");
}
