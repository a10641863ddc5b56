//! What stands before the data set (PS3.10 section 7.1).

use std::io::Cursor;

use dicom_core::{Tag, VR};

use super::InspectError;
use crate::dicom::charset::Charset;
use crate::dicom::uid;
use crate::dicom::walk::{Syntax, Token, Walker};

/// How much of a file is read to find its data set: a meta header of more is refused.
pub(super) const HEAD_BYTES: usize = 128 << 10;

const PREAMBLE: usize = 128;
const MAGIC: &[u8; 4] = b"DICM";

/// The state of preamble and meta header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetaForm {
    /// As PS3.10 demands, as far as readers care: preamble, mark, transfer syntax, right length.
    Regular,
    /// Present, but wrong somewhere: no preamble, wrong length, no transfer syntax.
    Irregular,
    /// A bare data set.
    Missing,
}

/// Where the data set starts and how it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// As stated; guessed from the first element where nothing is stated.
    pub transfer_syntax_uid: String,
    /// Bytes before the data set.
    pub dataset_offset: u64,
    /// The state of what stands there.
    pub meta: MetaForm,
}

impl Opening {
    /// Reads the start of a file of `length` bytes.
    ///
    /// # Errors
    /// [`InspectError::NotDicom`], and [`InspectError::Walk`] where the meta header is cut off.
    pub fn read(head: &[u8], length: u64) -> Result<Self, InspectError> {
        let mark = |at: usize| head.get(at..at + MAGIC.len()) == Some(MAGIC);
        let (start, regular) = if mark(PREAMBLE) {
            (PREAMBLE + MAGIC.len(), true)
        } else if mark(0) {
            (MAGIC.len(), false)
        } else {
            (0, false)
        };
        let meta = Meta::read(head, start)?;
        let (transfer_syntax_uid, stated) = match meta.transfer_syntax_uid {
            Some(uid) => (uid, true),
            None => (
                guess(&head[meta.end..], length - meta.end as u64)?.to_owned(),
                false,
            ),
        };
        let form = match () {
            () if start == 0 && meta.end == 0 => MetaForm::Missing,
            () if regular && stated && meta.length_is_right => MetaForm::Regular,
            () => MetaForm::Irregular,
        };
        Ok(Self {
            transfer_syntax_uid,
            dataset_offset: meta.end as u64,
            meta: form,
        })
    }
}

struct Meta {
    transfer_syntax_uid: Option<String>,
    end: usize,
    length_is_right: bool,
}

impl Meta {
    /// Group 0002 from `start`. Its own word on its length is not believed: it ends where another
    /// group starts.
    fn read(head: &[u8], start: usize) -> Result<Self, InspectError> {
        let mut source = Cursor::new(head);
        source.set_position(start as u64);
        let mut walker = Walker::new(
            source,
            start as u64,
            Some(head.len() as u64),
            Syntax::EXPLICIT_LE,
        );
        let mut meta = Self {
            transfer_syntax_uid: None,
            end: start,
            length_is_right: false,
        };
        let mut stated_end = None;
        while head.get(meta.end..meta.end + 2) == Some(&[0x02, 0x00]) {
            let Some(Token::Element(element)) = walker.next()? else {
                break;
            };
            let value = walker.value(HEAD_BYTES as u64)?;
            meta.end = usize::try_from(walker.offset()).unwrap_or(head.len());
            match element.tag {
                Tag(0x0002, 0x0000) if element.vr == VR::UL => {
                    let length = value.first_chunk::<4>().map(|b| u32::from_le_bytes(*b));
                    stated_end = length.map(|l| meta.end as u64 + u64::from(l));
                }
                Tag(0x0002, 0x0010) => {
                    let uid = Charset::default().values(&value).swap_remove(0);
                    meta.transfer_syntax_uid = Some(uid).filter(|u| !u.is_empty());
                }
                _ => {}
            }
        }
        meta.length_is_right = stated_end == Some(meta.end as u64);
        Ok(meta)
    }
}

/// Tells the transfer syntax from the first element, which is in group 0008 in every instance.
fn guess(dataset: &[u8], length: u64) -> Result<&'static str, InspectError> {
    let Some(head) = dataset.first_chunk::<8>() else {
        return Err(InspectError::NotDicom);
    };
    let explicit = VR::from_binary([head[4], head[5]]).is_some();
    let implicit_length = u64::from(u32::from_le_bytes([head[4], head[5], head[6], head[7]]));
    match (head[0], head[1]) {
        (0x08, 0x00) if explicit => Ok(uid::EXPLICIT_LE),
        (0x08, 0x00) if implicit_length + 8 <= length => Ok(uid::IMPLICIT_LE),
        (0x00, 0x08) if explicit => Ok(uid::EXPLICIT_BE),
        _ => Err(InspectError::NotDicom),
    }
}
