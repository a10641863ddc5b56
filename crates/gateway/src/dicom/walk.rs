//! An iterative walk over the elements of a data set (PS3.5 section 7).
//!
//! The walker never recurses, reads no value that its caller did not ask for, and checks every
//! length against what is left before it believes it. Hostile input costs time linear in its size.
//!
//! It is tolerant where hospitals' files are known to be wrong: value representations that do not
//! exist, implicit elements among explicit ones, private sequences written as `UN`, a last sequence
//! delimiter that is missing.

mod error;
mod source;
mod syntax;
#[cfg(test)]
mod tests;

pub use error::WalkError;
pub use source::{Inflating, Source};
pub use syntax::Syntax;

use std::io::Read as _;

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::StandardDataDictionary;

/// Deepest nesting of sequences that is read. Real structured reports stay below 20.
pub const MAX_DEPTH: usize = 64;

/// Most elements and items in one data set. An enhanced multi-frame image of 10,000 frames has
/// about 600,000.
pub const MAX_TOKENS: u64 = 8_000_000;

/// Item (FFFE,E000).
const ITEM: Tag = Tag(0xFFFE, 0xE000);
/// Item delimitation (FFFE,E00D).
const ITEM_END: Tag = Tag(0xFFFE, 0xE00D);
/// Sequence delimitation (FFFE,E0DD).
const SEQUENCE_END: Tag = Tag(0xFFFE, 0xE0DD);
const UNDEFINED: u32 = u32::MAX;

/// The head of an element whose value follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element {
    /// Its tag.
    pub tag: Tag,
    /// Its value representation; `UN` where it cannot be told.
    pub vr: VR,
    /// Length of the value in bytes; `None` for encapsulated pixel data.
    pub length: Option<u64>,
    /// Where the value starts, in bytes from the start of the source.
    pub at: u64,
    /// How the value is written.
    pub syntax: Syntax,
}

/// What the walker meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// An element. Its value may be read with [`Walker::value`] before going on.
    Element(Element),
    /// A sequence opens.
    SequenceStart(Tag),
    /// The innermost sequence closes.
    SequenceEnd,
    /// An item opens.
    ItemStart,
    /// The innermost item closes.
    ItemEnd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sequence(Tag),
    Item,
    /// Encapsulated pixel data: items hold bytes, not elements.
    Fragments(Tag),
}

#[derive(Debug, Clone, Copy)]
struct Level {
    kind: Kind,
    /// Offset where it ends; `None` where a delimiter ends it.
    end: Option<u64>,
    syntax: Syntax,
}

/// See the module.
pub struct Walker<'a> {
    source: Box<dyn Source + 'a>,
    offset: u64,
    /// Total length of the source, where known.
    end: Option<u64>,
    syntax: Syntax,
    levels: Vec<Level>,
    /// Unread bytes of the current value.
    pending: u64,
    current: Tag,
    tokens: u64,
}

impl std::fmt::Debug for Walker<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walker")
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

impl<'a> Walker<'a> {
    /// Walks `source`, whose next byte is number `offset`, up to `end` where the length is known.
    pub fn new(source: impl Source + 'a, offset: u64, end: Option<u64>, syntax: Syntax) -> Self {
        Self {
            source: Box::new(source),
            offset,
            end,
            syntax,
            levels: Vec::new(),
            pending: 0,
            current: Tag(0, 0),
            tokens: 0,
        }
    }

    /// How many sequences are open.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.levels
            .iter()
            .filter(|l| matches!(l.kind, Kind::Sequence(_)))
            .count()
    }

    /// Where the walker stands, in bytes from the start of the source.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next token, or `None` at the end of the data set. Unread values are skipped.
    ///
    /// # Errors
    /// See [`WalkError`]. After an error the walker is of no further use.
    #[expect(
        clippy::should_implement_trait,
        reason = "it lends and fails, an iterator cannot"
    )]
    pub fn next(&mut self) -> Result<Option<Token>, WalkError> {
        loop {
            self.skip_value()?;
            self.tokens += 1;
            if self.tokens > MAX_TOKENS {
                return Err(WalkError::TooManyElements);
            }
            let Some(level) = self.levels.last().copied() else {
                return self.element();
            };
            if level.end.is_some_and(|end| self.offset >= end) {
                return Ok(Some(self.close(level)));
            }
            match level.kind {
                Kind::Sequence(tag) => return self.item(tag, level),
                Kind::Item => return self.element(),
                Kind::Fragments(tag) => self.fragment(tag)?,
            }
        }
    }

    /// The value of the element that [`Self::next`] returned last, at most `limit` bytes.
    ///
    /// # Errors
    /// [`WalkError::ValueTooLong`] if it is longer; the walk may go on after that.
    pub fn value(&mut self, limit: u64) -> Result<Vec<u8>, WalkError> {
        if self.pending > limit {
            return Err(WalkError::ValueTooLong {
                tag: self.current,
                length: self.pending,
                limit,
            });
        }
        let wanted = self.pending;
        // Grown by reading, so that a wrong length cannot make us allocate.
        let mut value = Vec::new();
        (&mut self.source)
            .take(wanted)
            .read_to_end(&mut value)
            .map_err(|e| self.failed(e))?;
        if value.len() as u64 != wanted {
            return Err(WalkError::Truncated {
                tag: self.current,
                offset: self.offset,
            });
        }
        self.offset += wanted;
        self.pending = 0;
        Ok(value)
    }

    fn skip_value(&mut self) -> Result<(), WalkError> {
        if self.pending > 0 {
            let n = std::mem::take(&mut self.pending);
            self.source.skip(n).map_err(|e| self.failed(e))?;
            self.offset += n;
        }
        Ok(())
    }

    fn close(&mut self, level: Level) -> Token {
        self.levels.pop();
        match level.kind {
            Kind::Item => Token::ItemEnd,
            Kind::Sequence(_) | Kind::Fragments(_) => Token::SequenceEnd,
        }
    }

    fn syntax(&self) -> Syntax {
        self.levels.last().map_or(self.syntax, |l| l.syntax)
    }

    /// Reads a tag, or `None` if the source ends cleanly before it.
    fn tag(&mut self, syntax: Syntax) -> Result<Option<Tag>, WalkError> {
        let mut b = [0u8; 4];
        let mut got = 0;
        while got < 4 {
            match self.source.read(&mut b[got..]) {
                Ok(0) if got == 0 => return Ok(None),
                Ok(0) => {
                    return Err(WalkError::Truncated {
                        tag: self.current,
                        offset: self.offset,
                    });
                }
                Ok(n) => got += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.failed(e)),
            }
        }
        self.offset += 4;
        let tag = Tag(syntax.u16([b[0], b[1]]), syntax.u16([b[2], b[3]]));
        self.current = tag;
        Ok(Some(tag))
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], WalkError> {
        let mut b = [0u8; N];
        self.source.read_exact(&mut b).map_err(|e| self.failed(e))?;
        self.offset += N as u64;
        Ok(b)
    }

    fn element(&mut self) -> Result<Option<Token>, WalkError> {
        let syntax = self.syntax();
        let Some(tag) = self.tag(syntax)? else {
            return self.ended();
        };
        let start = self.offset - 4;
        if tag.group() == 0xFFFE {
            return self.delimiter(tag, syntax, start);
        }
        let (vr, length) = self.head(tag, syntax)?;
        if length == UNDEFINED {
            return self.undefined(tag, vr, syntax, start).map(Some);
        }
        let length = u64::from(length);
        self.check(tag, start, length)?;
        if vr == VR::SQ {
            self.open(Kind::Sequence(tag), Some(self.offset + length), syntax)?;
            return Ok(Some(Token::SequenceStart(tag)));
        }
        self.pending = length;
        Ok(Some(Token::Element(Element {
            tag,
            vr,
            length: Some(length),
            at: self.offset,
            syntax,
        })))
    }

    /// The value representation and length after a tag (PS3.5 section 7.1).
    fn head(&mut self, tag: Tag, syntax: Syntax) -> Result<(VR, u32), WalkError> {
        let b: [u8; 4] = self.bytes()?;
        let written = [b[0], b[1]];
        // Some writers leave implicit elements among explicit ones: no VR is not two capitals.
        if !syntax.explicit || !written.iter().all(u8::is_ascii_uppercase) {
            return Ok((dictionary_vr(tag), syntax.u32(b)));
        }
        let vr = VR::from_binary(written);
        let short = matches!(
            vr,
            Some(
                VR::AE
                    | VR::AS
                    | VR::AT
                    | VR::CS
                    | VR::DA
                    | VR::DS
                    | VR::DT
                    | VR::FL
                    | VR::FD
                    | VR::IS
                    | VR::LO
                    | VR::LT
                    | VR::PN
                    | VR::SH
                    | VR::SL
                    | VR::SS
                    | VR::ST
                    | VR::TM
                    | VR::UI
                    | VR::UL
                    | VR::US
            )
        );
        if short {
            return Ok((vr.unwrap_or(VR::UN), u32::from(syntax.u16([b[2], b[3]]))));
        }
        // Every representation added since 1993 has the long form (PS3.5 section 7.1.2).
        let length = syntax.u32(self.bytes()?);
        Ok((vr.unwrap_or(VR::UN), length))
    }

    fn undefined(
        &mut self,
        tag: Tag,
        vr: VR,
        syntax: Syntax,
        start: u64,
    ) -> Result<Token, WalkError> {
        let at = self.offset;
        match vr {
            VR::SQ => {
                self.open(Kind::Sequence(tag), None, syntax)?;
                Ok(Token::SequenceStart(tag))
            }
            // PS3.5 section 6.2.2: an unknown sequence is written as implicit little endian.
            VR::UN => {
                let inner = if syntax.explicit {
                    Syntax::IMPLICIT_LE
                } else {
                    syntax
                };
                self.open(Kind::Sequence(tag), None, inner)?;
                Ok(Token::SequenceStart(tag))
            }
            VR::OB | VR::OW => {
                self.open(Kind::Fragments(tag), None, syntax)?;
                Ok(Token::Element(Element {
                    tag,
                    vr,
                    length: None,
                    at,
                    syntax,
                }))
            }
            _ => Err(WalkError::Unexpected { tag, offset: start }),
        }
    }

    /// The source ended between elements: fine at the top, and where only delimiters are missing.
    fn ended(&mut self) -> Result<Option<Token>, WalkError> {
        match self.levels.last().copied() {
            None => Ok(None),
            Some(level) if level.end.is_none() => Ok(Some(self.close(level))),
            Some(_) => Err(WalkError::Truncated {
                tag: self.current,
                offset: self.offset,
            }),
        }
    }

    fn delimiter(
        &mut self,
        tag: Tag,
        syntax: Syntax,
        start: u64,
    ) -> Result<Option<Token>, WalkError> {
        let _length = syntax.u32(self.bytes()?);
        match self.levels.last().copied() {
            Some(level) if tag == ITEM_END && level.kind == Kind::Item => {
                Ok(Some(self.close(level)))
            }
            _ => Err(WalkError::Unexpected { tag, offset: start }),
        }
    }

    fn item(&mut self, sequence: Tag, level: Level) -> Result<Option<Token>, WalkError> {
        let syntax = level.syntax;
        let Some(tag) = self.tag(syntax)? else {
            return self.ended();
        };
        let start = self.offset - 4;
        let length = syntax.u32(self.bytes()?);
        match tag {
            ITEM => {
                let end = if length == UNDEFINED {
                    None
                } else {
                    self.check(sequence, start, u64::from(length))?;
                    Some(self.offset + u64::from(length))
                };
                self.open(Kind::Item, end, syntax)?;
                Ok(Some(Token::ItemStart))
            }
            SEQUENCE_END => Ok(Some(self.close(level))),
            _ => Err(WalkError::Unexpected { tag, offset: start }),
        }
    }

    /// One fragment of encapsulated pixel data (PS3.5 section A.4), skipped.
    fn fragment(&mut self, pixels: Tag) -> Result<(), WalkError> {
        let syntax = self.syntax();
        let Some(tag) = self.tag(syntax)? else {
            self.levels.pop();
            return Ok(());
        };
        let start = self.offset - 4;
        let length = syntax.u32(self.bytes()?);
        match tag {
            ITEM if length != UNDEFINED => {
                self.check(pixels, start, u64::from(length))?;
                self.pending = u64::from(length);
                Ok(())
            }
            SEQUENCE_END => {
                self.levels.pop();
                Ok(())
            }
            _ => Err(WalkError::Unexpected { tag, offset: start }),
        }
    }

    fn open(&mut self, kind: Kind, end: Option<u64>, syntax: Syntax) -> Result<(), WalkError> {
        if matches!(kind, Kind::Sequence(_)) && self.depth() >= MAX_DEPTH {
            return Err(WalkError::TooDeep {
                offset: self.offset,
            });
        }
        self.levels.push(Level { kind, end, syntax });
        Ok(())
    }

    /// Holds a length against the innermost known end.
    fn check(&self, tag: Tag, start: u64, length: u64) -> Result<(), WalkError> {
        let after = self.offset + length;
        if let Some(end) = self.levels.iter().rev().find_map(|l| l.end)
            && after > end
        {
            return Err(WalkError::LengthOverrun {
                tag,
                offset: start,
                length,
            });
        }
        if self.end.is_some_and(|end| after > end) {
            return Err(WalkError::Truncated { tag, offset: start });
        }
        Ok(())
    }

    fn failed(&self, e: std::io::Error) -> WalkError {
        if let Some(over) = source::inflated_too_large(&e) {
            return WalkError::InflatesTooLarge { limit: over };
        }
        if e.kind() == std::io::ErrorKind::UnexpectedEof {
            return WalkError::Truncated {
                tag: self.current,
                offset: self.offset,
            };
        }
        WalkError::Read(e)
    }
}

/// The value representation of `tag` in the standard's dictionary (PS3.6), `UN` if unknown.
#[must_use]
pub fn dictionary_vr(tag: Tag) -> VR {
    if tag.element() == 0 {
        return VR::UL;
    }
    if tag.group() % 2 == 1 {
        // Private creators are the one thing known about private groups (PS3.5 section 7.8.1).
        return if (0x10..=0xFF).contains(&tag.element()) {
            VR::LO
        } else {
            VR::UN
        };
    }
    StandardDataDictionary
        .by_tag(tag)
        .map_or(VR::UN, |entry| entry.vr().relaxed())
}
