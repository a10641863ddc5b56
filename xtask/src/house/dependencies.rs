//! Who may know whom. ARCHITECTURE.md explains the table.

use crate::metadata::Workspace;

/// Per member, the other members that it may name, for any purpose, tests included. Trust, cloud and
/// gateway never meet outside the binary.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("harpo-oblivious", &[]),
    ("harpo-codec", &[]),
    ("harpo-watermark", &[]),
    ("harpo-protocol", &[]),
    ("harpo-service", &["harpo-protocol"]),
    ("harpo-trust", &["harpo-protocol", "harpo-service"]),
    (
        "harpo-cloud",
        &["harpo-oblivious", "harpo-protocol", "harpo-service"],
    ),
    (
        "harpo-gateway",
        &[
            "harpo-codec",
            "harpo-oblivious",
            "harpo-protocol",
            "harpo-service",
            "harpo-watermark",
        ],
    ),
    // Carries what it cannot read.
    ("harpo-relay", &["harpo-protocol", "harpo-service"]),
    // The cloud provider as an attacker, and the real decisions of the parties under it.
    (
        "harpo-lab",
        &[
            "harpo-cloud",
            "harpo-gateway",
            "harpo-oblivious",
            "harpo-protocol",
            "harpo-service",
            "harpo-trust",
        ],
    ),
    (
        "harpo",
        &[
            "harpo-lab",
            "harpo-relay",
            "harpo-oblivious",
            "harpo-protocol",
            "harpo-service",
            "harpo-trust",
            "harpo-cloud",
            "harpo-gateway",
        ],
    ),
    // Black-box: it may speak the protocol as a hostile peer, but link no party.
    (
        "harpo-e2e",
        &["harpo-oblivious", "harpo-protocol", "harpo-service"],
    ),
    // Decoders of another party's bytes; it links no party.
    (
        "harpo-fuzz",
        &[
            "harpo-codec",
            "harpo-oblivious",
            "harpo-protocol",
            "harpo-service",
        ],
    ),
    // Nobody names the benchmarks. Of the parties they know the gateway, which reads DICOM and seals.
    (
        "harpo-bench",
        &[
            "harpo-codec",
            "harpo-gateway",
            "harpo-oblivious",
            "harpo-protocol",
            "harpo-watermark",
        ],
    ),
    ("xtask", &[]),
];

/// Per member, what nothing that it is built from may be called (a name, or a beginning that ends in `-`).
const MAY_NOT_CONTAIN: &[(&str, &[&str], &str)] = &[
    ("harpo-oblivious", IO, "the ring engine is pure"),
    ("harpo-codec", IO, "the codec is pure"),
    ("harpo-watermark", IO, "marks are pure"),
    (
        "harpo-watermark",
        &["dicom-"],
        "marks know planes, not files",
    ),
    (
        "harpo-protocol",
        IO,
        "the protocol is free of input and output",
    ),
    ("harpo-trust", DICOM, "trust knows no pixels"),
    ("harpo-cloud", DICOM, "the cloud knows no images"),
    ("harpo-relay", DICOM, "the relay knows no images"),
    (
        "harpo-relay",
        // It keeps nothing either; but the database is in what all services share.
        &["cedar-policy"],
        "the relay decides nothing",
    ),
    (
        "harpo-cloud",
        &["cedar-policy"],
        "the cloud makes no decisions",
    ),
];

const IO: &[&str] = &[
    "tokio",
    "mio",
    "sqlx",
    "sqlx-core",
    "axum",
    "hyper",
    "reqwest",
    "rustls",
    "object_store",
];
const DICOM: &[&str] = &["dicom-", "harpo-watermark"];

/// The one member that may name DICOM's crates.
const KNOWS_DICOM: &str = "harpo-gateway";

pub(super) fn check(workspace: &Workspace) -> Vec<String> {
    let mut complaints = Vec::new();
    for (member, named) in &workspace.named {
        let Some((_, allowed)) = MAY_NAME.iter().find(|(name, _)| name == member) else {
            complaints.push(format!(
                "{member} is not in the table of xtask/src/house/dependencies.rs: say there whom it may know"
            ));
            continue;
        };
        for other in named
            .iter()
            .filter(|name| workspace.members.contains_key(*name))
        {
            if other != member && !allowed.contains(&other.as_str()) {
                complaints.push(format!(
                    "{member} names {other}, which it may not know (also not in tests); it may name: {}",
                    list(allowed)
                ));
            }
        }
        for dicom in named.iter().filter(|name| name.starts_with("dicom-")) {
            if member != KNOWS_DICOM {
                complaints.push(format!(
                    "{member} names {dicom}: only {KNOWS_DICOM} names dicom_*"
                ));
            }
        }
    }
    for (member, forbidden, why) in MAY_NOT_CONTAIN {
        for (package, through) in workspace.closure(member) {
            if forbidden.iter().any(|pattern| matches(pattern, &package)) {
                complaints.push(format!(
                    "{member} is built from {package} (through {through}): {why}"
                ));
            }
        }
    }
    complaints
}

fn matches(pattern: &str, package: &str) -> bool {
    package == pattern || pattern.ends_with('-') && package.starts_with(pattern)
}

fn list(names: &[&str]) -> String {
    if names.is_empty() {
        return "no other member".to_owned();
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A workspace of the given arrows, named and built from alike.
    fn workspace(arrows: &[(&str, &str)]) -> Workspace {
        let mut workspace = Workspace::default();
        for (from, to) in arrows {
            for name in [from, to] {
                if name.starts_with("harpo") {
                    workspace
                        .members
                        .insert((*name).to_owned(), "unused".into());
                    workspace.named.entry((*name).to_owned()).or_default();
                }
            }
            if let Some(named) = workspace.named.get_mut(*from) {
                named.insert((*to).to_owned());
            }
            let needs = workspace.built_from.entry((*from).to_owned()).or_default();
            needs.insert((*to).to_owned());
        }
        workspace
    }

    fn complaint(arrows: &[(&str, &str)]) -> String {
        check(&workspace(arrows)).join("\n")
    }

    #[test]
    fn the_allowed_arrows_pass() {
        let arrows = [
            ("harpo-gateway", "dicom-core"),
            ("harpo-cloud", "harpo-oblivious"),
            ("harpo", "harpo-trust"),
        ];
        assert_eq!(complaint(&arrows), "");
    }

    #[test]
    fn parties_that_meet_are_found() {
        let complaint = complaint(&[("harpo-cloud", "harpo-trust")]);
        assert!(
            complaint.contains("harpo-cloud names harpo-trust"),
            "{complaint}"
        );
    }

    #[test]
    fn an_arrow_that_points_back_is_found() {
        let complaint = complaint(&[("harpo-protocol", "harpo-service")]);
        assert!(
            complaint.contains("harpo-protocol names harpo-service"),
            "{complaint}"
        );
    }

    #[test]
    fn dicom_outside_the_gateway_is_found() {
        let complaint = complaint(&[("harpo-trust", "dicom-object")]);
        assert!(
            complaint.contains("only harpo-gateway names dicom_*"),
            "{complaint}"
        );
    }

    #[test]
    fn input_and_output_far_below_a_pure_crate_are_found() {
        let complaint = complaint(&[("harpo-oblivious", "innocent"), ("innocent", "tokio")]);
        assert!(
            complaint.contains("harpo-oblivious is built from tokio (through innocent)"),
            "{complaint}"
        );
    }

    #[test]
    fn a_newcomer_must_be_entered_in_the_table() {
        let complaint = complaint(&[("harpo-newcomer", "serde")]);
        assert!(
            complaint.contains("harpo-newcomer is not in the table"),
            "{complaint}"
        );
    }
}
