//! `harpo mark verify`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use harpo_gateway::content::judge::{AlteredFrame, Judgement, Verdict, VerifyKey, judge, named};
use harpo_gateway::content::overlay::{Rect, png};
use harpo_gateway::content::records::Records;
use harpo_gateway::dicom::{Limits, inspect};
use harpo_protocol::id::BundleId;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::super::say::say;
use super::{read, records, unlike};

/// Most frames that a line names.
const NAMED: usize = 10;

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// DICOM files, from anywhere
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Folder of a gateway that sealed or opened the files' bundles
    #[arg(long, required_unless_present = "key")]
    dir: Option<PathBuf>,
    /// Key of a bundle, as `harpo mark key` prints it; may be given several times
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    /// Folder for a PNG of each altered frame, its altered blocks in red
    #[arg(long, value_name = "DIR")]
    picture: Option<PathBuf>,
    /// Print a JSON list instead of text
    #[arg(long)]
    json: bool,
}

/// Where keys come from.
struct Keys {
    held: Vec<VerifyKey>,
    records: Option<Records>,
}

impl Keys {
    /// The key of a bundle, if it was given or the gateway has it.
    async fn of(&mut self, bundle: BundleId) -> Result<Option<&VerifyKey>> {
        let held = |keys: &[VerifyKey]| keys.iter().position(|key| key.bundle() == bundle);
        if let (None, Some(records)) = (held(&self.held), &self.records)
            && let Some(keys) = records.keys(bundle).await?
        {
            self.held.push(VerifyKey::new(&keys)?);
        }
        Ok(held(&self.held).and_then(|index| self.held.get(index)))
    }

    /// The keys whose attestations list an instance, of those that were given and those that the gateway
    /// has for the study.
    async fn listing(&mut self, instance: &str, study: Option<&str>) -> Result<Vec<&VerifyKey>> {
        if let (Some(records), Some(study)) = (&self.records, study) {
            for keys in records.keys_of(study).await? {
                if self.held.iter().all(|key| key.bundle() != keys.bundle) {
                    self.held.push(VerifyKey::new(&keys)?);
                }
            }
        }
        Ok(self.held.iter().filter(|k| k.lists(instance)).collect())
    }
}

impl Verify {
    pub(super) async fn run(self) -> Result<ExitCode> {
        let mut keys = Keys {
            held: Vec::new(),
            records: None,
        };
        for path in &self.key {
            let key = VerifyKey::from_json(&Zeroizing::new(read(path)?));
            keys.held
                .push(key.with_context(|| path.display().to_string())?);
        }
        if let Some(dir) = &self.dir {
            keys.records = Some(records(dir).await?);
        }
        if let Some(dir) = &self.picture {
            fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        }
        let mut told = Vec::new();
        let mut drawn = Vec::new();
        for path in &self.files {
            let result = one(path, &mut keys).await;
            let pictures = match (&result, &self.picture) {
                (Ok(judgement), Some(dir)) => draw(judgement, path, dir, &mut drawn)?,
                _ => Vec::new(),
            };
            if !self.json {
                print(path, &result, &pictures);
            }
            told.push((path, result, pictures));
        }
        if self.json {
            let rows: Vec<Value> = told
                .iter()
                .map(|(path, result, pictures)| row(path, result, pictures))
                .collect();
            println!("{}", serde_json::to_string_pretty(&rows)?);
        }
        let verdicts = told.iter().map(|(_, result, _)| match result {
            Ok(judgement) => code(judgement.verdict),
            Err(_) => 2,
        });
        let verdicts: Vec<u8> = verdicts.collect();
        Ok(ExitCode::from(match verdicts.contains(&1) {
            true => 1,
            false => verdicts.into_iter().max().unwrap_or(0),
        }))
    }
}

fn code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Authentic => 0,
        Verdict::Altered
        | Verdict::OtherImage
        | Verdict::DescriptionChanged
        | Verdict::MarkMissing => 1,
        Verdict::Unmarked | Verdict::UnknownKey => 2,
    }
}

async fn one(path: &Path, keys: &mut Keys) -> Result<Judgement> {
    let file = read(path)?;
    let named = named(&file)?;
    for bundle in &named.bundles {
        if let Some(key) = keys.of(*bundle).await? {
            return Ok(judge(&file, Some(key))?);
        }
    }
    // No mark leads to a key, and an attestation may still know the instance: of several, the one that
    // speaks best of it.
    let study = inspect(&file, &Limits::default()).ok();
    let study = study.map(|found| found.study_instance_uid);
    let listing = keys.listing(&named.sop_instance_uid, study.as_deref());
    let mut best = judge(&file, None)?;
    for (index, key) in listing.await?.into_iter().enumerate() {
        let judgement = judge(&file, Some(key))?;
        if index == 0 || judgement.verdict > best.verdict {
            best = judgement;
        }
    }
    Ok(best)
}

/// Writes a picture of each altered frame; their names.
fn draw(
    judgement: &Judgement,
    path: &Path,
    dir: &Path,
    taken: &mut Vec<String>,
) -> Result<Vec<PathBuf>> {
    let mut pictures = Vec::new();
    for altered in &judgement.altered {
        let ending = match judgement.frames {
            1 => ".png".to_owned(),
            _ => format!("-frame-{}.png", altered.frame),
        };
        let picture = dir.join(unlike(taken, path, &ending));
        fs::write(&picture, png(&altered.shown)?).with_context(|| picture.display().to_string())?;
        pictures.push(picture);
    }
    Ok(pictures)
}

fn print(path: &Path, result: &Result<Judgement>, pictures: &[PathBuf]) {
    let judgement = match result {
        Ok(judgement) => judgement,
        Err(error) => {
            say(format_args!(
                "{}: cannot be verified: {error:#}",
                path.display()
            ));
            return;
        }
    };
    say(format_args!(
        "{}: {}",
        path.display(),
        judgement.verdict.words()
    ));
    say(format_args!("    instance {}", judgement.sop_instance_uid));
    let unmarked = judgement.unmarked.len() == judgement.frames;
    if let (Some(bundle), Some(origin)) = (judgement.bundle, judgement.origin) {
        let name = judgement
            .origin_name
            .as_deref()
            .unwrap_or("a hospital not known here");
        let what = if unmarked {
            "an instance of this UID was sealed by"
        } else {
            "the mark names"
        };
        say(format_args!(
            "    {what} {name} (party {origin}), bundle {bundle}"
        ));
    }
    if let Some(attested) = judgement.attested {
        say(format_args!("    attested {attested}"));
    }
    for altered in &judgement.altered {
        say(format_args!(
            "    frame {}: {} of {} blocks altered{}",
            altered.frame,
            altered.blocks.len(),
            altered.of_blocks,
            extent(altered)
        ));
    }
    if let Some(unmarked) = unmarked_frames(judgement) {
        say(format_args!("    {unmarked}"));
    }
    if let Some(meaning) = meaning(judgement) {
        say(format_args!("    {meaning}"));
    }
    for picture in pictures {
        say(format_args!("    see {}", picture.display()));
    }
}

/// The frames without a mark, where others have one.
fn unmarked_frames(judgement: &Judgement) -> Option<String> {
    let unmarked = &judgement.unmarked;
    if unmarked.is_empty() || unmarked.len() == judgement.frames {
        return None;
    }
    let first = unmarked.iter().take(NAMED).map(ToString::to_string);
    let first: Vec<String> = first.collect();
    let more = match unmarked.len() - first.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "no readable mark in {} of {} frames: {}{more}",
        unmarked.len(),
        judgement.frames,
        first.join(", ")
    ))
}

/// What follows from the verdict.
fn meaning(judgement: &Judgement) -> Option<&'static str> {
    Some(match judgement.verdict {
        Verdict::Authentic => "everything else in the data set is as attested",
        Verdict::DescriptionChanged => {
            "the pixels that it holds are as marked, and something else in the data set is not as attested: names, \
             dates, what its pixels mean or how they are shown, frames left out, or bytes behind them"
        }
        Verdict::MarkMissing => {
            "its hospital attested this instance, and this is not it: marks are gone, and the data set is not as \
             attested"
        }
        Verdict::UnknownKey => {
            "its key is not here: ask a gateway that opened the bundle, or its hospital for `harpo mark key`"
        }
        Verdict::OtherImage => "the mark was made for another image than the file says it is",
        Verdict::Unmarked if judgement.data_set_unchanged == Some(true) => {
            "without a mark, the data set is as attested: this is the original"
        }
        Verdict::Unmarked | Verdict::Altered => return None,
    })
}

/// The rectangle that holds all altered blocks.
fn extent(altered: &AlteredFrame) -> String {
    let blocks = &altered.blocks;
    let least = |of: fn(&Rect) -> usize| blocks.iter().map(of).min().unwrap_or(0);
    let most = |of: fn(&Rect) -> usize| blocks.iter().map(of).max().unwrap_or(0);
    let (left, top) = (least(|b| b.x), least(|b| b.y));
    let right = most(|b| b.x + b.width);
    let bottom = most(|b| b.y + b.height);
    match blocks.is_empty() {
        true => ", and yet the image as a whole is not the one that was marked".to_owned(),
        false => format!(", within columns {left} to {right}, rows {top} to {bottom}"),
    }
}

fn row(path: &Path, result: &Result<Judgement>, pictures: &[PathBuf]) -> Value {
    match result {
        Ok(judgement) => {
            let mut row = json!(judgement);
            row["file"] = json!(path);
            row["pictures"] = json!(pictures);
            row
        }
        Err(error) => json!({"file": path, "verdict": null, "error": format!("{error:#}")}),
    }
}
