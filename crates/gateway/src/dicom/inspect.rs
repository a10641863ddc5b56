//! What the gateway needs to know about an object before it keeps it.
//!
//! Reads Part 10 files (PS3.10), files whose meta header is wrong or missing, and bare data sets.
//! Pixel data is never loaded. The whole data set is walked, so that whoever parses it later knows
//! that its nesting is bounded and that it is not cut off.

mod opening;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{BufReader, Cursor, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use dicom_core::{Tag, VR};
use dicom_encoding::{Codec, TransferSyntax, TransferSyntaxIndex as _};
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;
use serde::{Deserialize, Serialize};

pub use opening::{MetaForm, Opening};

use super::charset::Charset;
use super::json::{self, Dataset};
use super::uid;
use super::walk::{Inflating, Source, Syntax, Token, WalkError, Walker};

/// How much a single object may ask of us.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most bytes that a deflated data set may inflate to.
    pub inflated_bytes: u64,
    /// Longest value of an attribute that is read here, in bytes.
    pub value_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            inflated_bytes: 512 << 20,
            value_bytes: 64 << 10,
        }
    }
}

/// Why an object is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// Neither a Part 10 file nor a data set that starts as one does.
    #[error(
        "this is not a DICOM object: no DICM mark and no data set at its start; send DICOM files only"
    )]
    NotDicom,
    /// A transfer syntax that the registry does not list.
    #[error(
        "transfer syntax {uid:?} is not known; convert the object to a standard one and send it again"
    )]
    UnknownTransferSyntax {
        /// As the file states it.
        uid: String,
    },
    /// A UID that every composite instance must have.
    #[error("{name} is missing; the object cannot be filed; have its source correct it")]
    MissingUid {
        /// Keyword of the attribute.
        name: &'static str,
    },
    /// A UID with other characters than digits and dots, or more than 64.
    #[error("{name} is not a valid UID: {value:?}; have its source correct it")]
    InvalidUid {
        /// Keyword of the attribute.
        name: &'static str,
        /// Its value, shortened.
        value: String,
    },
    /// An attribute that stands twice means different things to different readers.
    #[error("{tag} stands twice in the data set; the object is damaged")]
    Repeated {
        /// The attribute.
        tag: Tag,
    },
    /// The data set cannot be walked.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// The file cannot be read.
    #[error("reading the object failed; check the disk")]
    Read(#[source] std::io::Error),
}

/// Whose images they are. Empty where the object does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patient {
    /// Patient ID (0010,0020).
    pub id: String,
    /// Issuer of Patient ID (0010,0021).
    pub issuer: String,
    /// Patient's Name (0010,0010), all component groups.
    pub name: String,
    /// Patient's Birth Date (0010,0030), `YYYYMMDD`.
    pub birth_date: String,
    /// Patient's Sex (0010,0040).
    pub sex: String,
}

/// What a catalogue says about an instance, by level, in the DICOM JSON model: the attributes that
/// QIDO-RS returns by default (PS3.18 tables 10.6.3-3 to 10.6.3-5) and the instance has.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Attributes {
    /// Of the study and its patient.
    pub study: Dataset,
    /// Of the series.
    pub series: Dataset,
    /// Of the instance.
    pub instance: Dataset,
}

/// An object that may be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// How the data set is written.
    pub transfer_syntax_uid: String,
    /// SOP Class UID (0008,0016).
    pub sop_class_uid: String,
    /// SOP Instance UID (0008,0018).
    pub sop_instance_uid: String,
    /// Study Instance UID (0020,000D).
    pub study_instance_uid: String,
    /// Series Instance UID (0020,000E).
    pub series_instance_uid: String,
    /// The patient.
    pub patient: Patient,
    /// For the catalogue.
    pub attributes: Attributes,
    /// Bytes before the data set: preamble and meta header.
    pub dataset_offset: u64,
    /// The state of what stands before the data set.
    pub meta: MetaForm,
}

/// Reads a Part 10 file, or what hospitals take for one, from memory.
///
/// # Errors
/// See [`InspectError`].
pub fn inspect(bytes: &[u8], limits: &Limits) -> Result<Header, InspectError> {
    let (opening, dataset) = open_bytes(bytes)?;
    header(opening, dataset, bytes.len() as u64, limits)
}

/// Reads the meta header of a file in memory; the rest is its data set.
///
/// # Errors
/// See [`InspectError`].
pub fn open_bytes(bytes: &[u8]) -> Result<(Opening, Cursor<&[u8]>), InspectError> {
    let head = &bytes[..bytes.len().min(opening::HEAD_BYTES)];
    let opening = Opening::read(head, bytes.len() as u64)?;
    let start = usize::try_from(opening.dataset_offset)
        .unwrap_or(usize::MAX)
        .min(bytes.len());
    Ok((opening, Cursor::new(&bytes[start..])))
}

/// Reads a data set without preamble and meta header, as C-STORE carries it.
///
/// # Errors
/// See [`InspectError`].
pub fn inspect_dataset(
    bytes: &[u8],
    transfer_syntax_uid: &str,
    limits: &Limits,
) -> Result<Header, InspectError> {
    let opening = Opening {
        transfer_syntax_uid: transfer_syntax_uid.to_owned(),
        dataset_offset: 0,
        meta: MetaForm::Missing,
    };
    header(opening, Cursor::new(bytes), bytes.len() as u64, limits)
}

/// As [`inspect`], from a file.
///
/// # Errors
/// See [`InspectError`].
pub fn inspect_file(path: &Path, limits: &Limits) -> Result<Header, InspectError> {
    let (opening, file, length) = open_file(path)?;
    header(opening, BufReader::new(file), length, limits)
}

/// Reads the meta header of a file, and leaves the file at the start of its data set.
///
/// # Errors
/// See [`InspectError`].
pub fn open_file(path: &Path) -> Result<(Opening, File, u64), InspectError> {
    let mut file = File::open(path).map_err(InspectError::Read)?;
    let length = file.metadata().map_err(InspectError::Read)?.len();
    let mut head = Vec::new();
    (&mut file)
        .take(opening::HEAD_BYTES as u64)
        .read_to_end(&mut head)
        .map_err(InspectError::Read)?;
    let opening = Opening::read(&head, length)?;
    file.seek(SeekFrom::Start(opening.dataset_offset))
        .map_err(InspectError::Read)?;
    Ok((opening, file, length))
}

/// A walker over the data set that `source` stands at the start of.
///
/// # Errors
/// [`InspectError::UnknownTransferSyntax`].
pub fn walker<'a>(
    opening: &Opening,
    source: impl Source + 'a,
    length: u64,
    limits: &Limits,
) -> Result<Walker<'a>, InspectError> {
    let uid = opening.transfer_syntax_uid.as_str();
    let Some(syntax) = TransferSyntaxRegistry.get(uid) else {
        let uid = uid.chars().take(uid::MAX_LENGTH).collect();
        return Err(InspectError::UnknownTransferSyntax { uid });
    };
    Ok(if adapts_dataset(syntax) {
        let inflating = Inflating::new(source, limits.inflated_bytes);
        Walker::new(inflating, 0, None, Syntax::EXPLICIT_LE)
    } else {
        Walker::new(
            source,
            opening.dataset_offset,
            Some(length),
            Syntax::of(uid),
        )
    })
}

/// Whether the whole data set is deflated in this transfer syntax.
#[must_use]
pub fn is_deflated(transfer_syntax_uid: &str) -> bool {
    TransferSyntaxRegistry
        .get(transfer_syntax_uid)
        .is_some_and(adapts_dataset)
}

// The deflated syntaxes are the ones that adapt the whole data set.
fn adapts_dataset(syntax: &TransferSyntax) -> bool {
    matches!(syntax.codec(), Codec::Dataset(_))
}

fn header(
    opening: Opening,
    source: impl Source,
    length: u64,
    limits: &Limits,
) -> Result<Header, InspectError> {
    let mut walker = walker(&opening, source, length, limits)?;
    let mut found = Found {
        limit: limits.value_bytes,
        ..Found::default()
    };
    while let Some(token) = walker.next()? {
        if walker.depth() <= 1 {
            found.take(token, &mut walker)?;
        }
    }
    drop(walker);
    found.into_header(opening)
}

/// What has been found so far.
#[derive(Default)]
struct Found {
    limit: u64,
    charset: Charset,
    attributes: Attributes,
    patient: Patient,
}

/// Attributes by level, beside those that the standard makes obligatory.
const STUDY: &[Tag] = &[
    Tag(0x0008, 0x0020), // Study Date
    Tag(0x0008, 0x0030), // Study Time
    Tag(0x0008, 0x0050), // Accession Number
    Tag(0x0008, 0x0090), // Referring Physician's Name
    Tag(0x0008, 0x0201), // Timezone Offset From UTC
    Tag(0x0008, 0x1030), // Study Description
    Tag(0x0010, 0x0010),
    Tag(0x0010, 0x0020),
    Tag(0x0010, 0x0021),
    Tag(0x0010, 0x0030),
    Tag(0x0010, 0x0040),
    Tag(0x0020, 0x000D),
    Tag(0x0020, 0x0010), // Study ID
];
const SERIES: &[Tag] = &[
    Tag(0x0008, 0x0021), // Series Date
    Tag(0x0008, 0x0031), // Series Time
    Tag(0x0008, 0x0060), // Modality
    Tag(0x0008, 0x103E), // Series Description
    Tag(0x0018, 0x0015), // Body Part Examined
    Tag(0x0020, 0x000E),
    Tag(0x0020, 0x0011), // Series Number
    Tag(0x0040, 0x0244), // Performed Procedure Step Start Date
    Tag(0x0040, 0x0245), // Performed Procedure Step Start Time
];
const INSTANCE: &[Tag] = &[
    Tag(0x0008, 0x0016),
    Tag(0x0008, 0x0018),
    Tag(0x0020, 0x0013), // Instance Number
    Tag(0x0028, 0x0008), // Number of Frames
    Tag(0x0028, 0x0010), // Rows
    Tag(0x0028, 0x0011), // Columns
    Tag(0x0028, 0x0100), // Bits Allocated
];
const CHARACTER_SET: Tag = Tag(0x0008, 0x0005);
/// Request Attributes Sequence, the one sequence that QIDO-RS returns of a series.
const REQUEST_ATTRIBUTES: Tag = Tag(0x0040, 0x0275);

impl Found {
    fn take(&mut self, token: Token, walker: &mut Walker<'_>) -> Result<(), InspectError> {
        match token {
            Token::SequenceStart(REQUEST_ATTRIBUTES) if walker.depth() == 1 => {
                let value = json::sequence(walker, &self.charset)?;
                self.attributes
                    .series
                    .insert(json::key(REQUEST_ATTRIBUTES), value);
            }
            Token::Element(element) if walker.depth() == 0 => {
                if element.tag == CHARACTER_SET {
                    self.charset = Charset::from_value(&walker.value(self.limit)?);
                    let value = json::utf8();
                    self.attributes
                        .study
                        .insert(json::key(CHARACTER_SET), value);
                    return Ok(());
                }
                let level = if STUDY.contains(&element.tag) {
                    &mut self.attributes.study
                } else if SERIES.contains(&element.tag) {
                    &mut self.attributes.series
                } else if INSTANCE.contains(&element.tag) {
                    &mut self.attributes.instance
                } else {
                    return Ok(());
                };
                if element.length.is_some_and(|l| l > self.limit) {
                    let (tag, length) = (element.tag, element.length.unwrap_or_default());
                    return Err(WalkError::ValueTooLong {
                        tag,
                        length,
                        limit: self.limit,
                    }
                    .into());
                }
                // A wrong VR for one of these (often UN) would hide the value from searches.
                let mut element = element;
                element.vr = super::walk::dictionary_vr(element.tag);
                if let Some(value) = json::attribute(walker, &element, &self.charset)? {
                    if element.tag == Tag(0x0010, 0x0010) {
                        self.patient.name = person_name(&value);
                    }
                    if level.insert(json::key(element.tag), value).is_some() {
                        return Err(InspectError::Repeated { tag: element.tag });
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn into_header(mut self, opening: Opening) -> Result<Header, InspectError> {
        let sop_class_uid = required(&self.attributes.instance, "00080016", "SOPClassUID")?;
        let sop_instance_uid = required(&self.attributes.instance, "00080018", "SOPInstanceUID")?;
        let study_instance_uid = required(&self.attributes.study, "0020000D", "StudyInstanceUID")?;
        let series_instance_uid =
            required(&self.attributes.series, "0020000E", "SeriesInstanceUID")?;
        let of = |key| {
            json::first(&self.attributes.study, key)
                .unwrap_or_default()
                .to_owned()
        };
        let patient = Patient {
            id: of("00100020"),
            issuer: of("00100021"),
            birth_date: of("00100030"),
            sex: of("00100040"),
            name: self.patient.name,
        };
        // Available Transfer Syntax UID: which original a client may ask for.
        let syntax = json::text(VR::UI, &opening.transfer_syntax_uid);
        self.attributes.instance.insert("00083002".into(), syntax);
        Ok(Header {
            transfer_syntax_uid: opening.transfer_syntax_uid,
            sop_class_uid,
            sop_instance_uid,
            study_instance_uid,
            series_instance_uid,
            patient,
            attributes: self.attributes,
            dataset_offset: opening.dataset_offset,
            meta: opening.meta,
        })
    }
}

fn required(level: &Dataset, key: &str, name: &'static str) -> Result<String, InspectError> {
    match json::first(level, key) {
        None => Err(InspectError::MissingUid { name }),
        Some(uid) if uid::is_valid(uid) => Ok(uid.to_owned()),
        Some(uid) => Err(InspectError::InvalidUid {
            name,
            value: uid.chars().take(uid::MAX_LENGTH).collect(),
        }),
    }
}

fn person_name(attribute: &serde_json::Value) -> String {
    let value = attribute.get("Value").and_then(|v| v.get(0));
    let part = |name| {
        value
            .and_then(|v| v.get(name))
            .and_then(serde_json::Value::as_str)
            .unwrap_or("")
    };
    let name = ["Alphabetic", "Ideographic", "Phonetic"]
        .map(part)
        .join("=");
    name.trim_end_matches('=').to_owned()
}
