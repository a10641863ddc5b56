//! How source files and manifests look.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::metadata::Workspace;

/// Longer than this, a file tells more than one story.
const MOST_LINES: usize = 600;

pub(super) fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for (name, folder) in &workspace.members {
        let manifest = fs::read_to_string(folder.join("Cargo.toml"))
            .with_context(|| format!("cannot read the manifest of {name}"))?;
        if !inherits_lints(&manifest) {
            complaints.push(format!("{name} does not inherit the workspace's lints: add `[lints]` with `workspace = true`"));
        }
        for file in rust_files(folder)? {
            let shown = file
                .strip_prefix(&workspace.root)
                .unwrap_or(&file)
                .display();
            if file.file_name().is_some_and(|name| name == "mod.rs") {
                complaints.push(format!(
                    "{shown}: name the module foo.rs beside foo/, not foo/mod.rs"
                ));
            }
            let lines = read(&file)?.lines().count();
            if lines > MOST_LINES {
                complaints.push(format!(
                    "{shown} has {lines} lines, more than {MOST_LINES}: split it by what it tells"
                ));
            }
        }
    }
    Ok(complaints)
}

/// Every `.rs` file below `folder`.
pub(super) fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                if path.file_name().is_some_and(|name| name != "target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

pub(super) fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

fn inherits_lints(manifest: &str) -> bool {
    let mut in_lints = false;
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            in_lints = line == "[lints]";
        } else if in_lints && line.replace(' ', "") == "workspace=true" {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lints_must_be_inherited_in_their_own_table() {
        assert!(inherits_lints(
            "[package]\nname = \"x\"\n\n[lints]\nworkspace = true\n"
        ));
        assert!(!inherits_lints("[package]\nname = \"x\"\n"));
        assert!(!inherits_lints(
            "[lints]\n\n[dependencies]\nworkspace = true\n"
        ));
    }

    #[test]
    fn long_files_and_mod_rs_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_path_buf();
        fs::create_dir_all(root.join("src/foo")).unwrap();
        fs::write(root.join("Cargo.toml"), "[lints]\nworkspace = true\n").unwrap();
        fs::write(root.join("src/foo/mod.rs"), "//! Short.\n").unwrap();
        fs::write(root.join("src/long.rs"), "//\n".repeat(MOST_LINES + 1)).unwrap();
        let workspace = Workspace {
            root: root.clone(),
            members: [("x".to_owned(), root)].into(),
            ..Workspace::default()
        };
        let complaints = check(&workspace).unwrap();
        assert_eq!(complaints.len(), 2, "{complaints:?}");
        assert!(
            complaints[0].starts_with("src/foo/mod.rs"),
            "{complaints:?}"
        );
        assert!(
            complaints[1].starts_with("src/long.rs has 601 lines"),
            "{complaints:?}"
        );
    }
}
