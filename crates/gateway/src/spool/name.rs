//! File names: `<instance>-<digest>-<time>-<source>.dcm`.
//!
//! * instance: the first 16 bytes of SHA-256 over the SOP Instance UID;
//! * digest: SHA-256 over the data set;
//! * time: milliseconds since the Unix epoch, 12 digits;
//! * source: `a` or `u`, and the application entity title or user name in UTF-8.
//!
//! Everything is hexadecimal, so no sender chooses a character of it, and at most 225 bytes long.

use std::fmt;

use aws_lc_rs::digest;

use super::Source;

/// Most bytes of a source's name that are kept. Titles have 16; user names are checked to fit.
pub(crate) const MAX_SOURCE_BYTES: usize = 48;

/// The facts in a file's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileName {
    /// Known when writing; when parsing, the file's own word is taken and held against the digest.
    pub(super) sop_instance_uid: String,
    pub(super) dataset_sha256: [u8; 32],
    pub(super) received_ms: u64,
    pub(super) source: Source,
}

/// SHA-256.
pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0u8; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

fn short_digest(uid: &str) -> String {
    hex::encode(&sha256(uid.as_bytes())[..16])
}

/// The name of a study's folder.
pub(super) fn study_dir(study_instance_uid: &str) -> String {
    short_digest(study_instance_uid)
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, source) = match &self.source {
            Source::AeTitle(title) => ('a', title),
            Source::User(user) => ('u', user),
        };
        let mut end = source.len().min(MAX_SOURCE_BYTES);
        while !source.is_char_boundary(end) {
            end -= 1;
        }
        write!(
            f,
            "{}-{}-{:012x}-{kind}{}.dcm",
            short_digest(&self.sop_instance_uid),
            hex::encode(self.dataset_sha256),
            self.received_ms,
            hex::encode(&source[..end]),
        )
    }
}

impl FileName {
    /// Reads the name of a file that holds `sop_instance_uid`; `None` if it is not one of ours.
    pub(super) fn parse(name: &str, sop_instance_uid: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(".dcm")?.split('-');
        let (instance, digest, time, source) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || instance != short_digest(sop_instance_uid) {
            return None;
        }
        let text = |hex_text: &str| String::from_utf8(hex::decode(hex_text).ok()?).ok();
        let source = match source.split_at_checked(1)? {
            ("a", title) => Source::AeTitle(text(title)?),
            ("u", user) => Source::User(text(user)?),
            _ => return None,
        };
        Some(Self {
            sop_instance_uid: sop_instance_uid.to_owned(),
            dataset_sha256: hex::decode(digest).ok()?.try_into().ok()?,
            received_ms: u64::from_str_radix(time, 16).ok()?,
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_carries_its_facts_and_no_senders_characters() {
        for source in [
            Source::AeTitle("../../ETC".into()),
            Source::User("dr.müller\0/".into()),
            Source::AeTitle(String::new()),
        ] {
            let name = FileName {
                sop_instance_uid: "1.2.3".into(),
                dataset_sha256: sha256(b"x"),
                received_ms: 1_700_000_000_000,
                source,
            };
            let text = name.to_string();
            assert!(
                text.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.'),
                "{text}"
            );
            assert_eq!(FileName::parse(&text, "1.2.3"), Some(name));
            assert_eq!(FileName::parse(&text, "1.2.4"), None);
        }
    }

    #[test]
    fn long_sources_are_cut_at_a_character() {
        let name = FileName {
            sop_instance_uid: "1.2.3".into(),
            dataset_sha256: [0; 32],
            received_ms: u64::MAX,
            source: Source::User("é".repeat(100)),
        };
        assert!(name.to_string().len() <= 225, "{}", name.to_string().len());
        assert!(FileName::parse(&name.to_string(), "1.2.3").is_some());
    }
}
