//! What `cargo metadata` says of the workspace, cut down to what the chores need.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The workspace: where it is and what depends on what.
#[derive(Debug, Clone, Default)]
pub(crate) struct Workspace {
    /// The folder of the top-level `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Where cargo builds.
    pub(crate) target: PathBuf,
    /// The members' names and folders.
    pub(crate) members: BTreeMap<String, PathBuf>,
    /// Per member, the packages that its manifest names, of every kind: development too.
    pub(crate) named: BTreeMap<String, BTreeSet<String>>,
    /// Per package of the whole tree, the packages that it is built from (normal and build
    /// dependencies, features of the whole workspace).
    pub(crate) built_from: BTreeMap<String, BTreeSet<String>>,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn read() -> Result<Self> {
        let output = Command::new(cargo())
            .args(["metadata", "--format-version", "1", "--filter-platform"])
            .arg(host()?)
            .output()
            .context("cannot run cargo metadata")?;
        ensure!(
            output.status.success(),
            "cargo metadata failed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Self::parse(&serde_json::from_slice(&output.stdout)?)
    }

    fn parse(value: &Value) -> Result<Self> {
        let mut workspace = Self {
            root: path(&value["workspace_root"])?,
            target: path(&value["target_directory"])?,
            ..Self::default()
        };
        let members: BTreeSet<&str> = array(&value["workspace_members"])?
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let mut names = BTreeMap::new();
        for package in array(&value["packages"])? {
            let (id, name) = (text(&package["id"])?, text(&package["name"])?);
            names.insert(id, name);
            if !members.contains(id) {
                continue;
            }
            let folder = path(&package["manifest_path"])?
                .parent()
                .map(Path::to_path_buf);
            workspace.members.insert(
                name.to_owned(),
                folder.context("a manifest without a folder")?,
            );
            let dependencies = array(&package["dependencies"])?
                .iter()
                .map(|dependency| text(&dependency["name"]).map(str::to_owned))
                .collect::<Result<_>>()?;
            workspace.named.insert(name.to_owned(), dependencies);
        }
        for node in array(&value["resolve"]["nodes"])? {
            let name = names
                .get(text(&node["id"])?)
                .context("a node without a package")?;
            // Two versions of one package share an entry: what either needs, the name needs.
            let needs = workspace.built_from.entry((*name).to_owned()).or_default();
            for dependency in array(&node["deps"])? {
                let built = array(&dependency["dep_kinds"])?
                    .iter()
                    .any(|kind| kind["kind"].as_str() != Some("dev"));
                if built {
                    let package = names
                        .get(text(&dependency["pkg"])?)
                        .context("a dependency without a package")?;
                    needs.insert((*package).to_owned());
                }
            }
        }
        Ok(workspace)
    }

    /// Everything that `package` is built from, directly or not, each with the package that names it.
    pub(crate) fn closure(&self, package: &str) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let mut queue = vec![package.to_owned()];
        while let Some(next) = queue.pop() {
            for dependency in self.built_from.get(&next).into_iter().flatten() {
                if dependency != package && !found.contains_key(dependency) {
                    found.insert(dependency.clone(), next.clone());
                    queue.push(dependency.clone());
                }
            }
        }
        found
    }
}

/// The cargo that runs this program.
pub(crate) fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

/// The platform that the compiler builds for here.
fn host() -> Result<String> {
    let output = Command::new("rustc")
        .arg("-vV")
        .output()
        .context("cannot run rustc")?;
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .find_map(|line| line.strip_prefix("host: ").map(str::to_owned))
        .context("rustc -vV names no host")
}

fn array(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().context("cargo metadata: expected a list")
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().context("cargo metadata: expected a string")
}

fn path(value: &Value) -> Result<PathBuf> {
    text(value).map(PathBuf::from)
}
