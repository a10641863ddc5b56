//! Development chores, one command each: `cargo xtask help`.

mod fuzz;
mod house;
mod metadata;
mod steps;
mod tools;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

const HELP: &str = "\
Development chores of Harpocrates

  cargo xtask test [--only STEP,STEP]   everything that must hold before a change goes in
  cargo xtask e2e [--release] [-- ARGS] only the black-box tests; ARGS go to the test program
  cargo xtask demo [-- ARGS]            the demonstration, built for speed
  cargo xtask bench SUBJECT [OPTIONS]   measurements, built for speed: `bench retrieval`, `bench content`, `bench help`
  cargo xtask fuzz [TARGET] [--seconds N]
                                        libFuzzer on every decoder, a minute each; needs nightly and cargo-fuzz
  cargo xtask ci                        what .ci/run does: the same as `test`

Steps of `test`, in this order:
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Result<()> {
    let Some((command, rest)) = words.split_first() else {
        print_help();
        return Ok(());
    };
    match command.as_str() {
        "test" | "ci" => steps::test(&only(rest)?),
        "e2e" => {
            let (release, rest) = match rest.split_first() {
                Some((first, rest)) if first == "--release" => (true, rest),
                _ => (false, rest),
            };
            steps::e2e(release, passed_on(rest)?)
        }
        "demo" => steps::demo(passed_on(rest)?),
        "bench" => steps::bench(rest),
        "fuzz" => fuzz::run(rest),
        "help" | "--help" | "-h" => {
            print_help();
            Ok(())
        }
        other => bail!("there is no chore `{other}`; `cargo xtask help` lists them"),
    }
}

fn print_help() {
    print!("{HELP}");
    for step in steps::Step::ALL {
        println!("  {:<6} {}", step.name(), step.purpose());
    }
}

/// The steps that `--only a,b` or `--only=a,b` names; all of them without it.
fn only(words: &[String]) -> Result<Vec<steps::Step>> {
    let list = match words {
        [] => return Ok(steps::Step::ALL.to_vec()),
        [flag, list] if flag == "--only" => list.as_str(),
        [word] => word.strip_prefix("--only=").with_context(|| {
            format!("unknown argument `{word}`; only --only STEP,STEP is known")
        })?,
        _ => bail!("too many arguments; only --only STEP,STEP is known"),
    };
    let wanted = list
        .split(',')
        .map(|name| steps::Step::named(name.trim()))
        .collect::<Result<Vec<_>>>()?;
    // In the order of the whole run, whatever the order they were named in.
    Ok(steps::Step::ALL
        .into_iter()
        .filter(|step| wanted.contains(step))
        .collect())
}

/// What follows `--`.
fn passed_on(words: &[String]) -> Result<&[String]> {
    match words.split_first() {
        None => Ok(&[]),
        Some((dashes, rest)) if dashes == "--" => Ok(rest),
        Some((word, _)) => bail!("unknown argument `{word}`; put what is passed on after `--`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn steps_are_chosen_by_name_and_run_in_order() {
        let chosen = only(&words("--only clippy,fmt")).unwrap();
        assert_eq!(chosen, [steps::Step::Fmt, steps::Step::Clippy]);
        assert_eq!(only(&words("--only=fmt")).unwrap(), [steps::Step::Fmt]);
        assert_eq!(only(&[]).unwrap(), steps::Step::ALL);
    }

    #[test]
    fn unknown_words_are_refused_with_their_name() {
        let error = only(&words("--only fmt,lint")).unwrap_err().to_string();
        assert!(error.contains("`lint`"), "{error}");
        let error = run(&words("tset")).unwrap_err().to_string();
        assert!(error.contains("`tset`"), "{error}");
        assert!(passed_on(&words("--fast")).is_err());
        assert_eq!(passed_on(&words("-- --fast")).unwrap(), ["--fast"]);
    }
}
