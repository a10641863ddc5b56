//! The five games (docs/unlinkability.md 2).

use serde::{Deserialize, Serialize};

/// What the attacker is asked. Linkability after Pfitzmann and Hansen: can it tell sufficiently whether two items of
/// interest are related?
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Game {
    /// (i) Two uploads of one epoch: of the same patient?
    UploadsWithinEpoch,
    /// (i) Two uploads from anywhere in the log: of the same patient?
    UploadsWholeLog,
    /// (ii) Two retrievals close in time: for the same patient?
    RetrievalsWithinWindow,
    /// (ii) Two retrievals from anywhere in the log: for the same patient?
    RetrievalsWholeLog,
    /// (iii) An upload: from this hospital?
    UploadOrigin,
    /// (iv) A retrieval: by this hospital?
    RetrievalOrigin,
    /// (v) A retrieval: of this bundle?
    RetrievalTarget,
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
