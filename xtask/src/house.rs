//! Checks of the house: who may know whom, how large files grow, and that what the code cites exists.
//!
//! The first of these is the code's side of the threat model: a party cannot call what it does not link.

mod citations;
mod dependencies;
mod documents;
mod sources;

use anyhow::{Result, bail};

use crate::metadata::Workspace;

/// Runs every check and reports all complaints together.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let mut complaints = dependencies::check(workspace);
    complaints.extend(sources::check(workspace)?);
    complaints.extend(citations::check(workspace)?);
    complaints.extend(documents::check(workspace)?);
    if complaints.is_empty() {
        return Ok(());
    }
    for complaint in &complaints {
        eprintln!("house: {complaint}");
    }
    bail!(
        "{} complaint(s) of the house, listed above",
        complaints.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_point_one_way() {
        let workspace = Workspace::read().unwrap();
        let complaints = dependencies::check(&workspace);
        assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    }
}
