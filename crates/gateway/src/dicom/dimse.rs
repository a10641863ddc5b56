//! DIMSE command sets (PS3.7): always Implicit VR Little Endian, group 0000.

use std::io::Cursor;

use dicom_core::Tag;

use super::charset::Charset;
use super::walk::{Syntax, Token, Walker};

/// Longest command set that is read, in bytes. Real ones have a few hundred.
pub const MAX_COMMAND_BYTES: usize = 16 << 10;

/// Command Field values (PS3.7 E.1-1).
pub mod command {
    /// C-STORE-RQ.
    pub const STORE_RQ: u16 = 0x0001;
    /// C-ECHO-RQ.
    pub const ECHO_RQ: u16 = 0x0030;
    /// C-CANCEL-RQ.
    pub const CANCEL_RQ: u16 = 0x0FFF;
    /// Set in every response.
    pub const RESPONSE: u16 = 0x8000;
}

/// Status values (PS3.7 annex C, PS3.4 B.2.3).
pub mod status {
    /// Success.
    pub const SUCCESS: u16 = 0x0000;
    /// Processing failure.
    pub const PROCESSING_FAILURE: u16 = 0x0110;
    /// Duplicate SOP instance.
    pub const DUPLICATE: u16 = 0x0111;
    /// No such SOP class.
    pub const NO_SUCH_SOP_CLASS: u16 = 0x0118;
    /// Unrecognised operation.
    pub const UNRECOGNISED_OPERATION: u16 = 0x0211;
    /// Refused: out of resources.
    pub const OUT_OF_RESOURCES: u16 = 0xA700;
    /// Error: data set does not match SOP class.
    pub const DOES_NOT_MATCH: u16 = 0xA900;
    /// Error: cannot understand.
    pub const CANNOT_UNDERSTAND: u16 = 0xC000;
}

/// Command Data Set Type that says that no data set follows.
const NO_DATASET: u16 = 0x0101;

/// A command set, as far as C-ECHO and C-STORE need it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Command {
    /// Command Field (0000,0100).
    pub field: u16,
    /// Message ID (0000,0110), or the one being responded to (0000,0120).
    pub message_id: u16,
    /// Whether a data set follows.
    pub has_dataset: bool,
    /// Status (0000,0900), in responses.
    pub status: u16,
    /// Affected SOP Class UID (0000,0002).
    pub sop_class_uid: String,
    /// Affected SOP Instance UID (0000,1000).
    pub sop_instance_uid: String,
    /// Error Comment (0000,0902), at most 64 characters.
    pub comment: String,
}

/// The command set cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the command set is damaged")]
pub struct BadCommand;

impl Command {
    /// Whether this is a response.
    #[must_use]
    pub fn is_response(&self) -> bool {
        self.field & command::RESPONSE != 0
    }

    /// The response to this request.
    #[must_use]
    pub fn response(&self, status: u16, comment: &str) -> Self {
        Self {
            field: self.field | command::RESPONSE,
            message_id: self.message_id,
            has_dataset: false,
            status,
            sop_class_uid: self.sop_class_uid.clone(),
            sop_instance_uid: self.sop_instance_uid.clone(),
            comment: comment
                .chars()
                .filter(|c| c.is_ascii() && *c != '\\')
                .take(64)
                .collect(),
        }
    }

    /// Reads a command set.
    ///
    /// # Errors
    /// [`BadCommand`].
    pub fn read(bytes: &[u8]) -> Result<Self, BadCommand> {
        let mut walker = Walker::new(
            Cursor::new(bytes),
            0,
            Some(bytes.len() as u64),
            Syntax::IMPLICIT_LE,
        );
        let mut out = Self {
            has_dataset: true,
            ..Self::default()
        };
        let mut field = None;
        while let Some(token) = walker.next().map_err(|_| BadCommand)? {
            let Token::Element(element) = token else {
                return Err(BadCommand);
            };
            if element.tag.group() != 0 {
                return Err(BadCommand);
            }
            let value = walker
                .value(MAX_COMMAND_BYTES as u64)
                .map_err(|_| BadCommand)?;
            let number = || {
                value
                    .first_chunk::<2>()
                    .map(|b| u16::from_le_bytes(*b))
                    .ok_or(BadCommand)
            };
            let text = || Charset::default().values(&value).swap_remove(0);
            match element.tag.element() {
                0x0002 => out.sop_class_uid = text(),
                0x0100 => field = Some(number()?),
                0x0110 | 0x0120 => out.message_id = number()?,
                0x0800 => out.has_dataset = number()? != NO_DATASET,
                0x0900 => out.status = number()?,
                0x0902 => out.comment = text(),
                0x1000 => out.sop_instance_uid = text(),
                _ => {}
            }
        }
        out.field = field.ok_or(BadCommand)?;
        Ok(out)
    }

    /// Writes the command set.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let response = self.is_response();
        let mut group = Vec::with_capacity(256);
        uid(&mut group, 0x0002, &self.sop_class_uid);
        number(&mut group, 0x0100, self.field);
        number(
            &mut group,
            if response { 0x0120 } else { 0x0110 },
            self.message_id,
        );
        if self.field == command::STORE_RQ {
            number(&mut group, 0x0700, 0); // medium priority
        }
        number(
            &mut group,
            0x0800,
            if self.has_dataset { 0x0001 } else { NO_DATASET },
        );
        if response {
            number(&mut group, 0x0900, self.status);
            if !self.comment.is_empty() {
                let mut comment = self.comment.clone().into_bytes();
                comment.resize(comment.len() + comment.len() % 2, b' ');
                put(&mut group, 0x0902, &comment);
            }
        }
        uid(&mut group, 0x1000, &self.sop_instance_uid);
        let mut out = Vec::with_capacity(group.len() + 12);
        let length = u32::try_from(group.len()).unwrap_or(0);
        put(&mut out, 0x0000, &length.to_le_bytes());
        out.extend_from_slice(&group);
        out
    }
}

fn uid(out: &mut Vec<u8>, element: u16, value: &str) {
    if !value.is_empty() {
        let mut value = value.as_bytes().to_vec();
        value.resize(value.len() + value.len() % 2, 0);
        put(out, element, &value);
    }
}

fn number(out: &mut Vec<u8>, element: u16, value: u16) {
    put(out, element, &value.to_le_bytes());
}

fn put(out: &mut Vec<u8>, element: u16, value: &[u8]) {
    let tag = Tag(0x0000, element);
    out.extend_from_slice(&tag.group().to_le_bytes());
    out.extend_from_slice(&tag.element().to_le_bytes());
    out.extend_from_slice(&u32::try_from(value.len()).unwrap_or(0).to_le_bytes());
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_it_writes() {
        let request = Command {
            field: command::STORE_RQ,
            message_id: 7,
            has_dataset: true,
            sop_class_uid: "1.2.840.10008.5.1.4.1.1.2".into(),
            sop_instance_uid: "1.2.3".into(),
            ..Command::default()
        };
        assert_eq!(Command::read(&request.write()).unwrap(), request);
        let response = request.response(status::DUPLICATE, "already here\\different");
        let read = Command::read(&response.write()).unwrap();
        assert_eq!(
            (read.field, read.status, read.message_id),
            (0x8001, 0x0111, 7)
        );
        assert_eq!(read.comment, "already heredifferent");
        assert!(!read.has_dataset);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Command::read(&bytes);
        }
    }
}
