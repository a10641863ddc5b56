//! Unique identifiers (PS3.5 section 9.1).

use rand_core::CryptoRng;

/// Longest UID that DICOM allows, in characters.
pub const MAX_LENGTH: usize = 64;

/// The identity that this implementation states in associations and file meta headers
/// (PS3.7 D.3.3.2). Under the UUID root, so that no registration is needed.
pub const IMPLEMENTATION_CLASS: &str = "2.25.259147064512931187209517464211839275121";

/// The version name beside [`IMPLEMENTATION_CLASS`], at most 16 characters.
pub const IMPLEMENTATION_VERSION: &str = "HARPOCRATES_0_1";

/// Verification SOP class (C-ECHO).
pub const VERIFICATION: &str = "1.2.840.10008.1.1";
/// The DICOM application context (PS3.7 A.2.1).
pub const APPLICATION_CONTEXT: &str = "1.2.840.10008.3.1.1.1";
/// Implicit VR Little Endian.
pub const IMPLICIT_LE: &str = "1.2.840.10008.1.2";
/// Explicit VR Little Endian.
pub const EXPLICIT_LE: &str = "1.2.840.10008.1.2.1";
/// Deflated Explicit VR Little Endian.
pub const DEFLATED_LE: &str = "1.2.840.10008.1.2.1.99";
/// Explicit VR Big Endian (retired, still sent by old modalities).
pub const EXPLICIT_BE: &str = "1.2.840.10008.1.2.2";

/// Whether `uid` has the form of a UID: 1 to 64 digits and dots, components not empty.
///
/// Leading zeros in components are tolerated: they are wrong, common and harmless.
#[must_use]
pub fn is_valid(uid: &str) -> bool {
    !uid.is_empty()
        && uid.len() <= MAX_LENGTH
        && uid
            .split('.')
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

/// A fresh UID under the UUID root 2.25 (PS3.5 B.2).
pub fn random(rng: &mut impl CryptoRng) -> String {
    let mut bytes = [0u8; 16];
    rng.fill_bytes(&mut bytes);
    format!("2.25.{}", u128::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judges_forms() {
        let long = "1".repeat(64);
        for good in ["1.2.840.10008.1.1", "2.25.0", "1", "1.2.03", long.as_str()] {
            assert!(is_valid(good), "{good}");
        }
        let too_long = "1".repeat(65);
        for bad in [
            "",
            ".",
            "1.",
            ".1",
            "1..2",
            "1.2a",
            "1 2",
            "../1",
            too_long.as_str(),
        ] {
            assert!(!is_valid(bad), "{bad}");
        }
        assert!(is_valid(IMPLEMENTATION_CLASS));
        assert!(IMPLEMENTATION_VERSION.len() <= 16);
    }
}
