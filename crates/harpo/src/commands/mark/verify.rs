//! `harpo mark verify`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use harpo_gateway::content::judge::{AlteredFrame, Judgement, Verdict, VerifyKey, judge, named};
use harpo_gateway::content::overlay::{Rect, png};
use harpo_gateway::content::records::Records;
use harpo_protocol::id::BundleId;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{read, records, unlike};

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
        Verdict::Altered | Verdict::OtherImage => 1,
        Verdict::Unmarked | Verdict::UnknownKey => 2,
    }
}

async fn one(path: &Path, keys: &mut Keys) -> Result<Judgement> {
    let file = read(path)?;
    let bundle = named(&file)?;
    let key = match bundle {
        None => None,
        Some(bundle) => keys.of(bundle).await?,
    };
    Ok(judge(&file, key)?)
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
            println!("{}: cannot be verified: {error:#}", path.display());
            return;
        }
    };
    println!("{}: {}", path.display(), judgement.verdict.words());
    println!("    instance {}", judgement.sop_instance_uid);
    if let (Some(bundle), Some(origin)) = (judgement.bundle, judgement.origin) {
        let name = judgement
            .origin_name
            .as_deref()
            .unwrap_or("a hospital not known here");
        println!("    the mark names {name} (party {origin}), bundle {bundle}");
    }
    if let Some(attested) = judgement.attested {
        println!("    attested {attested}");
    }
    match judgement.data_set_unchanged {
        Some(true) => println!("    everything else in the file is as attested"),
        Some(false) => println!(
            "    the pixels are as attested, and something else in the file is not: names, dates or other attributes"
        ),
        None => {}
    }
    for altered in &judgement.altered {
        println!(
            "    frame {}: {} of {} blocks altered{}",
            altered.frame,
            altered.blocks.len(),
            altered.of_blocks,
            extent(altered)
        );
    }
    match judgement.verdict {
        Verdict::UnknownKey => println!(
            "    its key is not here: ask a gateway that opened the bundle, or its hospital for `harpo mark key`"
        ),
        Verdict::OtherImage => {
            println!("    the mark was made for another image than the file says it is");
        }
        _ => {}
    }
    for picture in pictures {
        println!("    see {}", picture.display());
    }
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
