//! Commands that the documents show exist, with every option they show.

use std::collections::BTreeSet;
use std::path::Path;

use harpo_e2e::process::harpo;

/// `harpo …` in the code of a document: in fences and between backticks.
fn commands(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
            continue;
        }
        let pieces: Vec<&str> = if fenced {
            vec![line.split('#').next().unwrap_or(line).trim()]
        } else {
            line.split('`').skip(1).step_by(2).collect()
        };
        let whole = pieces
            .into_iter()
            .filter_map(|piece| piece.strip_prefix("harpo "));
        found.extend(whole.map(str::to_owned));
    }
    found
}

#[test]
fn commands_in_the_documents_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut shown = 0;
    for document in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "docs/threat-model.md",
    ] {
        let text = std::fs::read_to_string(root.join(document)).unwrap();
        for command in commands(&text) {
            let words: Vec<&str> = command.split_whitespace().collect();
            // A party alone (`harpo trust`) is a name and no command, but has help, too.
            let lower = |word: &&&str| word.chars().all(|c| c.is_ascii_lowercase());
            let path: Vec<&str> = words.iter().take_while(lower).take(3).copied().collect();
            let help = harpo(&[path.as_slice(), &["--help"]].concat());
            let help = help
                .unwrap_or_else(|error| panic!("{document} shows `harpo {command}`: {error:#}"));
            for option in words.iter().filter(|word| word.starts_with("--")) {
                assert!(
                    help.contains(option),
                    "{document} shows `harpo {command}`, which has no {option}"
                );
            }
            shown += 1;
        }
    }
    assert!(shown > 10, "{shown} commands found");
}
