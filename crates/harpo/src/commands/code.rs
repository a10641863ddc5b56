//! The one-time code with which a party joins.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use harpo_protocol::identity::EnrolCode;
use zeroize::Zeroizing;

/// Longer than any code.
const MOST_BYTES: u64 = 4096;

/// Three ways to say it: what stands on a command line can be read by every user of the machine.
#[derive(Debug, Args)]
pub(crate) struct Code {
    /// One-time code that `harpo trust enrol` printed; other users of this machine can see it here
    #[arg(long, env = "HARPO_CODE", hide_env_values = true)]
    code: Option<EnrolCode>,
    /// File with the code; `-` is standard input. Goes before the others
    #[arg(long, value_name = "FILE")]
    code_file: Option<PathBuf>,
}

impl Code {
    /// The code, from wherever it was given.
    pub(crate) fn read(self) -> Result<EnrolCode> {
        match (self.code_file, self.code) {
            (Some(path), _) => from_file(&path),
            (None, Some(code)) => Ok(code),
            (None, None) => bail!(
                "no enrolment code: give it by --code-file FILE, in the environment as HARPO_CODE, or by --code"
            ),
        }
    }
}

fn from_file(path: &Path) -> Result<EnrolCode> {
    let mut text = Zeroizing::new(String::new());
    if path == Path::new("-") {
        std::io::stdin()
            .take(MOST_BYTES)
            .read_to_string(&mut text)
            .context("reading the code from standard input")?;
    } else {
        std::fs::File::open(path)
            .and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text))
            .with_context(|| format!("reading the code from {}", path.display()))?;
    }
    text.parse()
        .with_context(|| format!("what {} holds is no code", path.display()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        code: Code,
    }

    #[test]
    fn a_code_is_read_from_the_command_line_or_a_file() {
        let generated = EnrolCode::generate(b"certificate", &mut harpo_service::random::system());
        let text = generated.to_text();
        let code = |words: &[&str]| {
            let words = ["harpo"].iter().chain(words);
            Cli::try_parse_from(words).map(|cli| cli.code.read())
        };
        assert_eq!(code(&["--code", &text]).unwrap().unwrap(), generated);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("code");
        std::fs::write(&path, format!("{text}\n")).unwrap();
        let file = path.to_str().unwrap();
        assert_eq!(code(&["--code-file", file]).unwrap().unwrap(), generated);
        std::fs::write(&path, "harpo1-wrong").unwrap();
        let complaint = format!("{:#}", code(&["--code-file", file]).unwrap().unwrap_err());
        assert!(complaint.contains(file), "{complaint}");
        let missing = format!("{:#}", code(&[]).unwrap().unwrap_err());
        assert!(missing.contains("HARPO_CODE"), "{missing}");
        assert!(code(&["--code", "nonsense"]).is_err());
    }
}
