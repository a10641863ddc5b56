//! Lists the attacks: every file of `src/attacks` is one, so that adding an attack is adding a file.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?)
        .join("src")
        .join("attacks");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut names: Vec<String> = fs::read_dir(&folder)?
        .filter_map(|entry| entry.ok()?.path().file_name()?.to_str().map(str::to_owned))
        .filter_map(|file| file.strip_suffix(".rs").map(str::to_owned))
        .collect();
    names.sort();
    let mut list = String::new();
    for name in &names {
        let path = folder.join(format!("{name}.rs"));
        let _ = writeln!(list, "#[path = {path:?}]\nmod {name};");
    }
    list.push_str("/// Every attack there is, by file name.\n#[must_use]\npub fn all() -> Vec<Box<dyn Attack>> {\n    vec![");
    for name in &names {
        let _ = write!(list, "{name}::attack(), ");
    }
    list.push_str("]\n}\n");
    let out = Path::new(&env::var("OUT_DIR").map_err(io::Error::other)?).join("attacks.rs");
    fs::write(out, list)
}
