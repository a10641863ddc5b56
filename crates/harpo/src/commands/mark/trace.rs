//! `harpo mark trace`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use harpo_gateway::content::leak::{Leaked, MAX_LEAKED_SAMPLES, Named, Report, trace};
use harpo_gateway::content::records::{ExportList, Records};
use harpo_gateway::dicom::{Limits, inspect};
use serde_json::json;

use super::super::say::say;
use super::{Gateway, read};

#[derive(Debug, Args)]
pub(crate) struct Trace {
    /// Leaked DICOM files, PNGs or JPEGs, of one study
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    gateway: Gateway,
    /// The study; without it, the one that a leaked DICOM file names first, then each that was exported
    #[arg(long, value_name = "UID")]
    study: Option<String>,
    /// Originals as attested, in place of the local copies of the study; several times for several
    #[arg(long, value_name = "FILE")]
    original: Vec<PathBuf>,
    /// Exports of another hospital, as its `harpo gateway exports --json` prints them
    #[arg(long, value_name = "FILE")]
    exports: Vec<PathBuf>,
    /// The probability, at most, that anybody innocent is named
    #[arg(long, value_name = "P", default_value_t = 1e-6, value_parser = probability)]
    false_accusation: f64,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

fn probability(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(p) if 0.0 < p && p <= 0.01 => Ok(p),
        _ => Err("it must be above 0 and at most 0.01".into()),
    }
}

impl Trace {
    pub(super) async fn run(self) -> Result<ExitCode> {
        let records = self.gateway.records().await?;
        let mut lists = Vec::new();
        for path in &self.exports {
            let list: ExportList =
                serde_json::from_slice(&read(path)?).with_context(|| path.display().to_string())?;
            lists.push(list);
        }
        let mut leaked = Vec::new();
        let mut named = None;
        for path in &self.files {
            let name = path.display().to_string();
            let bytes = read(path)?;
            leaked.extend(Leaked::read(&name, &bytes).with_context(|| name.clone())?);
            if leaked.iter().map(Leaked::samples).sum::<usize>() > MAX_LEAKED_SAMPLES {
                bail!(
                    "{name} and those before it have too many pixels to be traced at once; trace fewer"
                );
            }
            named = named
                .or_else(|| Some(inspect(&bytes, &Limits::default()).ok()?.study_instance_uid));
        }
        let studies = match self.study.clone() {
            Some(study) => vec![study],
            // What a leaked file says of itself is tried first, and may be false.
            None => {
                let exported = records.exported_studies(&lists).await?;
                let others = exported
                    .into_iter()
                    .filter(|study| named.as_ref() != Some(study));
                named.clone().into_iter().chain(others).collect()
            }
        };
        let report = self.search(&records, &studies, &lists, &leaked).await?;
        match self.json {
            true => println!("{}", serde_json::to_string_pretty(&json!(report))?),
            false => print(&report),
        }
        Ok(ExitCode::from(u8::from(report.accused.is_empty())))
    }

    /// Tries one study after the other until somebody is named; else what came nearest.
    async fn search(
        &self,
        records: &Records,
        studies: &[String],
        lists: &[ExportList],
        leaked: &[Leaked],
    ) -> Result<Report> {
        let mut cases = Vec::new();
        let mut candidates = 0;
        for study in studies {
            let exports = records.candidates(study, lists).await?;
            candidates += exports.values().map(|c| c.takers().len()).sum::<usize>();
            cases.push((study, exports));
        }
        let mut nearest: Option<Report> = None;
        for (study, exports) in cases {
            let originals = match self.original.as_slice() {
                [] => records.originals(study).await?,
                files => records.originals_from(study, files).await?,
            };
            if originals.is_empty() {
                continue;
            }
            // However many studies are tried, the bound holds for all their exports together.
            let report = trace(
                leaked,
                &originals,
                &exports,
                candidates,
                self.false_accusation,
            );
            if !report.accused.is_empty() {
                return Ok(report);
            }
            let p = |report: &Report| report.next.as_ref().map_or(0.0, |next| next.log10_p);
            if nearest.as_ref().is_none_or(|other| p(&report) < p(other)) {
                nearest = Some(report);
            }
        }
        let Some(report) = nearest else {
            bail!(
                "no originals are here to compare with: fetch the study at this gateway, or name originals with --original"
            );
        };
        Ok(report)
    }
}

fn print(report: &Report) {
    for seen in &report.seen {
        let frame = match seen.frame {
            1 => String::new(),
            frame => format!(", frame {frame}"),
        };
        match (&seen.problem, &seen.sop_instance_uid) {
            (Some(problem), _) => say(format_args!("{}{frame}: {problem}", seen.file)),
            (None, Some(uid)) => say(format_args!(
                "{}{frame}: shows instance {uid}, {} marked places of it",
                seen.file, seen.chips
            )),
            (None, None) => {}
        }
    }
    say(format_args!("{} users compared", report.candidates));
    for named in &report.accused {
        say(format_args!("EXPORTED BY {}", who(named)));
        for occasion in &named.exports {
            let export = &occasion.export;
            say(format_args!(
                "    {}  as {}, for {}, export {}",
                export.at, export.requester.role, export.requester.purpose, occasion.id
            ));
        }
        say(format_args!(
            "    an innocent user's copy fits as well with a probability of at most 10^{:.1}; confidence {}",
            named.log10_p,
            confidence(named.confidence)
        ));
    }
    if report.accused.is_empty() {
        say(format_args!("nobody can be accused"));
    }
    if let Some(next) = &report.next {
        say(format_args!(
            "next, not accused: {}; fits by chance with a probability of up to 10^{:.1}",
            who(next),
            next.log10_p
        ));
    }
}

fn who(named: &Named) -> String {
    format!(
        "{} at {}, who exported it {}",
        named.user,
        named.hospital,
        match named.exports.len() {
            1 => "once".to_owned(),
            often => format!("{often} times"),
        }
    )
}

/// With as many nines as it has, at most nine.
fn confidence(value: f64) -> String {
    format!("{:.9}", value.min(0.999_999_999))
}
