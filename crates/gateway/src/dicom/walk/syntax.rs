//! How a transfer syntax writes elements (PS3.5 section 7 and annex A).

use crate::dicom::uid;

/// How elements are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Syntax {
    /// Value representations are written out.
    pub explicit: bool,
    /// Numbers are big endian.
    pub big_endian: bool,
}

impl Syntax {
    /// Implicit VR Little Endian.
    pub const IMPLICIT_LE: Self = Self {
        explicit: false,
        big_endian: false,
    };
    /// Explicit VR Little Endian.
    pub const EXPLICIT_LE: Self = Self {
        explicit: true,
        big_endian: false,
    };
    /// Explicit VR Big Endian.
    pub const EXPLICIT_BE: Self = Self {
        explicit: true,
        big_endian: true,
    };

    /// The syntax of a transfer syntax. All but two write Explicit VR Little Endian.
    #[must_use]
    pub fn of(transfer_syntax_uid: &str) -> Self {
        match transfer_syntax_uid {
            uid::IMPLICIT_LE => Self::IMPLICIT_LE,
            uid::EXPLICIT_BE => Self::EXPLICIT_BE,
            _ => Self::EXPLICIT_LE,
        }
    }

    pub(super) fn u16(self, b: [u8; 2]) -> u16 {
        if self.big_endian {
            u16::from_be_bytes(b)
        } else {
            u16::from_le_bytes(b)
        }
    }

    pub(super) fn u32(self, b: [u8; 4]) -> u32 {
        if self.big_endian {
            u32::from_be_bytes(b)
        } else {
            u32::from_le_bytes(b)
        }
    }
}
