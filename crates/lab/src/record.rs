//! What a run leaves: the cloud's view, which attacks may read, and the truth, which only games may.
//!
//! The two are of equal length and order: `truth.uploads[i]` is about `view.uploads[i]`. Parties, objects and
//! generations are numbered in the order in which the log first names them, so that numbers tell nothing but equality.

use harpo_protocol::time::Timestamp;

/// What the cloud knows: its event log, each event in the fewest bytes, for logs of millions.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Slots that were written, in the order of the log.
    pub uploads: Vec<Upload>,
    /// What was sealed.
    pub seals: Vec<Seal>,
    /// What was read, in the order of the log.
    pub fetches: Vec<Fetch>,
}

/// A slot, or in baselines without slots an object, arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upload {
    /// When.
    pub time: Timestamp,
    /// Of which generation; 0 where there are none.
    pub generation: u32,
    /// Its index there.
    pub slot: u32,
    /// Its length.
    pub bytes: u64,
    /// Whose account wrote it, where the system shows that.
    pub account: Option<u32>,
    /// The stable name under which it is read again, where the system has one.
    pub object: Option<u32>,
}

/// A generation became readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// When.
    pub time: Timestamp,
    /// Which.
    pub generation: u32,
    /// How many slots it has.
    pub slots: u32,
}

/// A retrieval, or in baselines the download of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// When.
    pub time: Timestamp,
    /// The stack: numbered by its first generation.
    pub stack: u32,
    /// How many generations it had by then.
    pub generations: u32,
    /// Number of queries.
    pub queries: u32,
    /// Length of the answers.
    pub bytes_down: u64,
    /// Network address, where it tells gateways apart: none behind a relay.
    pub peer: Option<u32>,
    /// What else holds connections together: a pass, or an account.
    pub account: Option<u32>,
    /// The stable name of what was read, where the system has one.
    pub object: Option<u32>,
}

/// What really happened.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    /// For each of [`View::uploads`].
    pub uploads: Vec<Written>,
    /// For each of [`View::fetches`].
    pub fetches: Vec<Read>,
    /// For each bundle, by number.
    pub bundles: Vec<Bundle>,
}

/// A bundle: what one study of one patient brought at one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bundle {
    /// Whose.
    pub patient: u32,
    /// The hospital that made it.
    pub hospital: u16,
    /// When trust had all of it.
    pub deposited: Timestamp,
    /// Fragments.
    pub fragments: u32,
}

/// What an upload held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The bundles of which it holds fragments; none for cover.
    pub bundles: Vec<u32>,
    /// Whether it was brought back by re-placement; fresh ones and cover are not.
    pub replaced: bool,
}

/// Why something was retrieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// Nobody wanted anything: dummies alone.
    Cover,
    /// For re-placement.
    Errand,
    /// Asked for ahead.
    Ahead,
    /// Somebody waited.
    Reader,
}

/// What a fetch was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Who fetched.
    pub hospital: u16,
    /// The bundles of which it brought something.
    pub bundles: Vec<u32>,
    /// The strongest reason.
    pub why: Why,
    /// Whether it was made outside the rounds, because it could not wait.
    pub at_once: bool,
}

/// A run.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// For attackers.
    pub view: View,
    /// For games.
    pub truth: Truth,
}
