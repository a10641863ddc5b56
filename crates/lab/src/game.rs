//! The games (docs/unlinkability.md 2): what the attacker is asked, how questions are drawn, and how well attacks do.
//!
//! Each game draws as many questions whose answer is yes as ones whose answer is no, so that a guess scores 0.5. The no
//! of a pair keeps the first item of a yes and takes another second item. Questions about retrievals match the second
//! item in time: the attacker is taken to know from elsewhere, to the minute, when a patient is looked at again, and
//! has
//! to find the line of the log. What it then scores above 0.5 it has from the log.

use serde::{Deserialize, Serialize};

mod chart;
mod draw;
mod play;
mod prior;

#[cfg(test)]
pub(crate) mod synthetic;
#[cfg(test)]
mod tests;

pub use draw::{Identification, Questions, draw};
pub use play::{Options, Outcome, best, play};

/// What the attacker is asked. Linkability after Pfitzmann and Hansen: can it tell sufficiently whether two items of
/// interest are related?
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Game {
    /// (i) Two slots of one generation (of one day, where there are none): of the same patient? Yes: both hold
    /// fragments
    /// of one patient. No: both hold something, and no patient is in both. A patient is drawn first, then its slots.
    UploadsWithinEpoch,
    /// (i) Two slots from anywhere in the log: of the same patient? Slots of one study count, and copies.
    UploadsWholeLog,
    /// (i) Two slots from anywhere in the log that hold the same bundle. An exponential delay of mean D in a log of
    /// length T cannot score below about 1 - 2D/T + 2(D/T)^2 here, whatever the traffic.
    UploadsOfOneStudy,
    /// (i) Two slots from anywhere in the log that hold different bundles of one patient, none of them shared. Episodes
    /// of care alone make this more than a guess, whatever the log says: studies of one patient come near in time.
    UploadsOfDifferentStudies,
    /// (ii) Two retrievals less than an hour apart: for the same patient? Both brought something. No: another retrieval
    /// of the same minute, of whatever else, in place of the second.
    RetrievalsWithinWindow,
    /// (ii) Two retrievals from anywhere in the log, otherwise as within the window.
    RetrievalsWholeLog,
    /// (ii) As in the whole log, but for readers and what was asked for ahead: no errands on the side of yes.
    RetrievalsConsults,
    /// (ii) Two retrievals that brought something, from anywhere in the log, not matched in time: what episodes of care
    /// alone tell whoever knows which retrievals brought something.
    RetrievalsUnmatched,
    /// (ii) Two retrievals outside the rounds, at once, from anywhere in the log. No: any other at once in place of the
    /// second. They are too few to be matched in time.
    RetrievalsAtOnce,
    /// (iii) An upload: from this hospital? No: a hospital drawn as often as it uploads in the same generation.
    UploadOriginWithinEpoch,
    /// (iii) An upload: from this hospital? No: a hospital drawn as often as it uploads, so that size alone scores 0.5.
    UploadOrigin,
    /// (iv) A retrieval, of whatever: by this hospital? No: a hospital drawn as often as it retrieves.
    RetrievalOrigin,
    /// (iv) A retrieval for a reader or asked for ahead: by this hospital? No: one drawn as often as it consults.
    RetrievalOriginConsults,
    /// (iv) A retrieval outside the rounds, at once: by this hospital? No: one drawn as often as it retrieves so.
    RetrievalOriginAtOnce,
    /// (v) A retrieval that brought something: of this bundle? The attacker knows when each bundle was deposited and
    /// where it was written first. No: what another retrieval within three hours brought, so that recency alone scores
    /// 0.5. Besides: which of 100 bundles that could be read by then? Where rounds name the stack beforehand, for
    /// everybody alike, the stack is no news of the log: the other retrieval is of the same stack, and who guesses from
    /// priors knows the stack too.
    RetrievalTarget,
    /// (v) The same for readers and what was asked for ahead: no errands.
    RetrievalTargetConsults,
    /// (v) The same, whatever stack the other retrieval is of, and the guess from priors knows ages alone: what a stack
    /// tells whoever knows that this retrieval brought something.
    RetrievalTargetAnyStack,
}

impl Game {
    /// Every game.
    pub const ALL: [Self; 17] = [
        Self::UploadsWithinEpoch,
        Self::UploadsWholeLog,
        Self::UploadsOfOneStudy,
        Self::UploadsOfDifferentStudies,
        Self::RetrievalsWithinWindow,
        Self::RetrievalsWholeLog,
        Self::RetrievalsConsults,
        Self::RetrievalsUnmatched,
        Self::RetrievalsAtOnce,
        Self::UploadOriginWithinEpoch,
        Self::UploadOrigin,
        Self::RetrievalOrigin,
        Self::RetrievalOriginConsults,
        Self::RetrievalOriginAtOnce,
        Self::RetrievalTarget,
        Self::RetrievalTargetConsults,
        Self::RetrievalTargetAnyStack,
    ];

    /// Its number of the five.
    #[must_use]
    pub fn numeral(self) -> &'static str {
        match self {
            Self::UploadsWithinEpoch
            | Self::UploadsWholeLog
            | Self::UploadsOfOneStudy
            | Self::UploadsOfDifferentStudies => "i",
            Self::RetrievalsWithinWindow
            | Self::RetrievalsWholeLog
            | Self::RetrievalsConsults
            | Self::RetrievalsUnmatched
            | Self::RetrievalsAtOnce => "ii",
            Self::UploadOriginWithinEpoch | Self::UploadOrigin => "iii",
            Self::RetrievalOrigin | Self::RetrievalOriginConsults | Self::RetrievalOriginAtOnce => {
                "iv"
            }
            Self::RetrievalTarget
            | Self::RetrievalTargetConsults
            | Self::RetrievalTargetAnyStack => "v",
        }
    }

    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UploadsWithinEpoch => "uploads of one patient, within an epoch",
            Self::UploadsWholeLog => "uploads of one patient, whole log",
            Self::UploadsOfOneStudy => "uploads of one study, whole log",
            Self::UploadsOfDifferentStudies => {
                "uploads of one patient's different studies, whole log"
            }
            Self::RetrievalsWithinWindow => "retrievals for one patient, within an hour",
            Self::RetrievalsWholeLog => "retrievals for one patient, whole log",
            Self::RetrievalsConsults => "consultations of one patient, whole log",
            Self::RetrievalsUnmatched => "retrievals for one patient, not matched in time",
            Self::RetrievalsAtOnce => "retrievals at once for one patient",
            Self::UploadOriginWithinEpoch => "hospital of an upload, within an epoch",
            Self::UploadOrigin => "hospital of an upload",
            Self::RetrievalOrigin => "hospital of a retrieval",
            Self::RetrievalOriginConsults => "hospital of a consultation",
            Self::RetrievalOriginAtOnce => "hospital of a retrieval at once",
            Self::RetrievalTarget => "bundle of a retrieval",
            Self::RetrievalTargetConsults => "bundle of a consultation",
            Self::RetrievalTargetAnyStack => "bundle of a retrieval, the stack being news",
        }
    }

    /// Whether the product promises 0.50 here (docs/threat-model.md). The others are for context: they measure what an
    /// exponential delay leaks by nature, or what a question tells before the log is read.
    #[must_use]
    pub fn promised(self) -> bool {
        !matches!(
            self,
            Self::UploadsWholeLog
                | Self::UploadsOfOneStudy
                | Self::UploadsOfDifferentStudies
                | Self::RetrievalsUnmatched
                | Self::RetrievalsAtOnce
                | Self::RetrievalOriginAtOnce
                | Self::RetrievalTargetAnyStack
        )
    }

    /// Whether one of several candidates is asked for, besides yes and no.
    #[must_use]
    pub fn identifies(self) -> bool {
        matches!(self.numeral(), "iii" | "iv" | "v")
    }

    /// Whether two uploads are asked about.
    #[must_use]
    pub fn pairs_uploads(self) -> bool {
        self.numeral() == "i"
    }

    /// Whether two retrievals are.
    #[must_use]
    pub fn pairs_retrievals(self) -> bool {
        self.numeral() == "ii"
    }

    /// Whether a bundle is.
    #[must_use]
    pub fn asks_target(self) -> bool {
        self.numeral() == "v"
    }

    /// Whether a hospital is.
    #[must_use]
    pub fn asks_origin(self) -> bool {
        matches!(self.numeral(), "iii" | "iv")
    }
}

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// Two uploads, by index into the view.
    Uploads(usize, usize),
    /// Two retrievals.
    Retrievals(usize, usize),
    /// An upload, and a hospital.
    UploadBy(usize, u16),
    /// A retrieval, and a hospital.
    RetrievalBy(usize, u16),
    /// A retrieval, and a bundle. The attacker is told when the bundle was deposited and where it was written first.
    RetrievalOf(usize, u32),
}
