//! What the documents point at exists: links to files, and paths in backticks.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::sources::read;
use crate::metadata::Workspace;

/// Paths in backticks are checked when they begin with one of these.
const FOLDERS: &[&str] = &["crates/", "docs/", "xtask/"];

pub(super) fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for document in documents(&workspace.root)? {
        let folder = document.parent().unwrap_or(&workspace.root);
        let shown = document
            .strip_prefix(&workspace.root)
            .unwrap_or(&document)
            .display();
        let text = read(&document)?;
        for link in links(&text) {
            if !folder.join(&link).exists() {
                complaints.push(format!("{shown} links to {link}, which does not exist"));
            }
        }
        for path in paths(&text) {
            if !workspace.root.join(&path).exists() {
                complaints.push(format!("{shown} names {path}, which does not exist"));
            }
        }
    }
    Ok(complaints)
}

/// The Markdown files at the top and in docs/.
fn documents(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in [root.to_path_buf(), root.join("docs")] {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Targets of `[text](target)` that are files, without the part after `#`.
fn links(text: &str) -> Vec<String> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.split('#').next().unwrap_or(target))
        .filter(|target| !target.is_empty() && !target.contains(':'))
        .map(str::to_owned)
        .collect()
}

/// Paths of this repository in backticks.
fn paths(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines() {
        for quoted in line.split('`').skip(1).step_by(2) {
            let whole = !quoted.contains([' ', '*', '…', '<']);
            if whole && FOLDERS.iter().any(|folder| quoted.starts_with(folder)) {
                found.push(quoted.to_owned());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_paths_are_found() {
        let text = "See [a](docs/a.md#b), [c](https://c.example) and [d](#d).\n`crates/x`, `cargo test`, `docs/*.md`";
        assert_eq!(links(text), ["docs/a.md"]);
        assert_eq!(paths(text), ["crates/x"]);
    }

    #[test]
    fn what_does_not_exist_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_path_buf();
        fs::create_dir(root.join("docs")).unwrap();
        fs::write(
            root.join("README.md"),
            "[a](docs/a.md) [b](docs/b.md) `docs/c.md`",
        )
        .unwrap();
        fs::write(root.join("docs/a.md"), "[up](../README.md)").unwrap();
        let workspace = Workspace {
            root,
            ..Workspace::default()
        };
        let complaints = check(&workspace).unwrap();
        assert_eq!(
            complaints,
            [
                "README.md links to docs/b.md, which does not exist",
                "README.md names docs/c.md, which does not exist"
            ]
        );
    }
}
