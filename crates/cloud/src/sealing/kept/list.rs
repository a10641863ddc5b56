//! The list of stripes that are durable.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use harpo_oblivious::GenerationInfo;
use harpo_protocol::id::Digest;
use harpo_service::files;

use crate::Error;

/// The first line, before the digest of the generation's figures.
const HEAD: &str = "harpocrates encoded generation 2";

/// The last line, once the slots that the stripes were made from were what was written.
const CHECKED: &str = "checked\n";

/// What is known of a stripe that is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// SHA-256 of its encoded rows.
    pub(super) rows: Digest,
    /// SHA-256 of what it was made from: its piece of each slot, in order. That it is right is known only when all slots
    /// were read to their end.
    pub(super) plain: Digest,
}

pub(super) struct List {
    path: PathBuf,
    head: String,
    pub(super) entries: Vec<Option<Entry>>,
    checked: bool,
}

impl List {
    /// Reads the list; one for other figures, or none, is an empty one. What a crash cut short is not counted.
    pub(super) fn open(path: &Path, info: &GenerationInfo, stripes: usize) -> Result<Self, Error> {
        let head = format!("{HEAD} {} {stripes}\n", hex::encode(info.digest()));
        let mut entries = vec![None; stripes];
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => String::new(),
            Err(error) => return Err(Error::file("read", path)(error)),
        };
        let lines = text.strip_prefix(&head).unwrap_or_default();
        for line in lines.split_inclusive('\n') {
            if let Some((index, entry)) = parse(line)
                && let Some(place) = entries.get_mut(index)
            {
                *place = Some(entry);
            }
        }
        Ok(Self {
            path: path.to_owned(),
            head,
            entries,
            checked: lines.ends_with(CHECKED),
        })
    }

    pub(super) fn count(&self) -> usize {
        self.entries.iter().flatten().count()
    }

    /// Whether every stripe is there, and made from the right slots.
    pub(super) fn is_finished(&self) -> bool {
        self.checked && self.entries.iter().all(Option::is_some)
    }

    /// The stripes came from slots that were read to their end and are what was written.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        self.checked = true;
        self.rewrite()
    }

    /// Writes the list as it is, atomically. One that lacks a stripe is not finished.
    pub(super) fn rewrite(&mut self) -> Result<(), Error> {
        self.checked = self.is_finished();
        let mut text = self.head.clone();
        for (index, entry) in self.entries.iter().enumerate() {
            text.extend(entry.map(|entry| line(index, entry)));
        }
        if self.checked {
            text.push_str(CHECKED);
        }
        files::write_durable(&self.path, text.as_bytes(), 0o600)
            .map_err(Error::file("write", &self.path))
    }

    /// Adds a stripe that is durable.
    pub(super) fn append(&mut self, index: usize, entry: Entry) -> Result<(), Error> {
        OpenOptions::new()
            .append(true)
            .open(&self.path)
            .and_then(|mut file| {
                file.write_all(line(index, entry).as_bytes())?;
                file.sync_data()
            })
            .map_err(Error::file("write", &self.path))?;
        self.entries[index] = Some(entry);
        Ok(())
    }
}

fn line(index: usize, entry: Entry) -> String {
    let (rows, plain) = (hex::encode(entry.rows.0), hex::encode(entry.plain.0));
    format!("{index} {rows} {plain}\n")
}

/// A whole line's stripe.
fn parse(line: &str) -> Option<(usize, Entry)> {
    let (index, digests) = line.strip_suffix('\n')?.split_once(' ')?;
    let (rows, plain) = digests.split_once(' ')?;
    let digest = |text| Digest::from_slice(&hex::decode(text).ok()?).ok();
    let entry = Entry {
        rows: digest(rows)?,
        plain: digest(plain)?,
    };
    Some((index.parse().ok()?, entry))
}
