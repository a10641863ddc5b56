//! `cargo xtask fuzz`: the targets of `crates/fuzz` under libFuzzer.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::metadata::Workspace;

/// Seconds for each target if nothing is said.
const SECONDS: u32 = 60;

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    /// All targets if there is none.
    target: Option<String>,
    seconds: u32,
}

pub(crate) fn run(words: &[String]) -> Result<()> {
    let request = parse(words)?;
    let workspace = Workspace::read()?;
    let folder = workspace.root.join("fuzz");
    let known = targets(&fs::read_to_string(folder.join("Cargo.toml"))?);
    let chosen = match request.target {
        None => known,
        Some(target) if known.contains(&target) => vec![target],
        Some(target) => bail!(
            "there is no target `{target}`; there are: {}",
            known.join(", ")
        ),
    };
    for target in chosen {
        // libFuzzer adds what it finds to the first folder; the second is the one that is kept in the repository.
        let found = workspace.target.join("fuzz-corpus").join(&target);
        fs::create_dir_all(&found).with_context(|| format!("cannot create {}", found.display()))?;
        let status = Command::new("cargo")
            .args(["+nightly", "fuzz", "run", "--sanitizer", "none"])
            .args(["--fuzz-dir", "."])
            .arg("--target-dir")
            .arg(workspace.target.join("fuzz"))
            .arg(&target)
            .arg(&found)
            .arg(folder.join("corpus").join(&target))
            .arg("--")
            .arg(format!("-max_total_time={}", request.seconds))
            .current_dir(&folder)
            // The outer cargo names its own toolchain in these.
            .env_remove("RUSTUP_TOOLCHAIN")
            .env_remove("CARGO")
            .status()
            .context("cannot run cargo fuzz; CONTRIBUTING.md says how to install it")?;
        ensure!(
            status.success(),
            "{target} ended with {status}: the input that failed is in fuzz/artifacts/{target}"
        );
    }
    Ok(())
}

fn parse(words: &[String]) -> Result<Request> {
    let mut request = Request {
        target: None,
        seconds: SECONDS,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seconds" => {
                let number = words.next().context("--seconds needs a number")?;
                request.seconds = number
                    .parse()
                    .ok()
                    // libFuzzer takes 0 for "for ever".
                    .filter(|seconds| *seconds > 0)
                    .with_context(|| format!("`{number}` is no number of seconds"))?;
            }
            flag if flag.starts_with('-') => {
                bail!("unknown argument `{flag}`; only --seconds N is known")
            }
            name if request.target.is_none() => request.target = Some(name.to_owned()),
            name => bail!("one target or all of them, not also `{name}`"),
        }
    }
    Ok(request)
}

/// Names of the programs in the manifest of `fuzz/`.
fn targets(manifest: &str) -> Vec<String> {
    let programs = manifest.split("[[bin]]").skip(1);
    programs
        .filter_map(|program| program.split('"').nth(1))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Request> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&words)
    }

    #[test]
    fn a_target_and_a_time_are_read_in_any_order() {
        for line in ["query --seconds 5", "--seconds 5 query"] {
            let expected = Request {
                target: Some("query".into()),
                seconds: 5,
            };
            assert_eq!(parsed(line).unwrap(), expected);
        }
        assert_eq!(parsed("").unwrap().seconds, SECONDS);
        for bad in ["--seconds", "--seconds soon", "--second 5", "query hint"] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_manifest_names_every_target_that_there_is() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let manifest = fs::read_to_string(format!("{root}/fuzz/Cargo.toml")).unwrap();
        let listed = targets(&manifest);
        assert!(listed.contains(&"query".to_owned()));
        let table = fs::read_to_string(format!("{root}/crates/fuzz/src/lib.rs")).unwrap();
        for target in &listed {
            assert!(
                table.contains(&format!("(\"{target}\", {target})")),
                "{target} is not in the table of crates/fuzz"
            );
            let corpus = format!("{root}/fuzz/corpus/{target}");
            assert!(fs::read_dir(&corpus).unwrap().next().is_some(), "{corpus}");
        }
        assert_eq!(listed.len(), table.matches("    (\"").count());
    }
}
