//! What can go wrong. No message holds a choice, a secret or slot bytes.

/// A refusal of the oblivious crate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The parameter set is not in the table of this version.
    #[error(
        "parameter set {0} is not known to this version; update the software or re-seal the generation"
    )]
    UnknownParams(u16),
    /// The figures of a generation contradict each other or a limit.
    #[error("shape of generation refused: {0}")]
    BadShape(&'static str),
    /// The generations cannot form one stack.
    #[error("stack refused: {0}")]
    BadStack(&'static str),
    /// The stack has more polynomials than the parameter set allows.
    #[error(
        "stack has {polys} polynomials, the parameter set allows {limit}; use a larger interleaving"
    )]
    TooManyPolys {
        /// Polynomials of the whole stack.
        polys: u64,
        /// The limit of the parameter set.
        limit: u32,
    },
    /// Decoding would fail too often.
    #[error(
        "a stack of {generations} generations and {polys} polynomials leaves too little noise margin; \
         merge generations or use a larger interleaving"
    )]
    TooNoisy {
        /// Generations in the stack.
        generations: usize,
        /// Polynomials of the whole stack.
        polys: u32,
    },
    /// Bytes that are not a value of this format.
    #[error("{what} malformed: {reason}")]
    Malformed {
        /// Which object was read.
        what: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An object of another stack or generation was offered.
    #[error("{what} belongs to another stack or generation; fetch it again for the current one")]
    WrongStack {
        /// Which object it was.
        what: &'static str,
    },
    /// A generation was added a second time.
    #[error("{what} already holds this generation")]
    AddedTwice {
        /// Which sum it was.
        what: &'static str,
    },
    /// Generations of the stack are missing from a sum.
    #[error("{what} lacks {missing} of the stack's generations; add them first")]
    Incomplete {
        /// Which sum it was.
        what: &'static str,
        /// How many are missing.
        missing: usize,
    },
    /// There is not one answer for each query.
    #[error("{queries} queries came with {answers} answers; give one for each")]
    Unpaired {
        /// Queries given.
        queries: usize,
        /// Answers given.
        answers: usize,
    },
    /// The system gives no such memory.
    #[error(
        "{bytes} bytes of memory for a generation were refused; free memory or use smaller generations"
    )]
    OutOfMemory {
        /// How many bytes were asked for.
        bytes: usize,
    },
    /// The choice names a slot that the stack does not have.
    #[error("the chosen slot is not in the stack; ask for the release again")]
    NoSuchSlot,
}

/// Why a generation could not be encoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError<E: std::error::Error + 'static> {
    /// The figures were refused.
    #[error(transparent)]
    Refused(#[from] Error),
    /// The caller could not read a slot.
    #[error("slot {slot} could not be read")]
    Read {
        /// The slot's index.
        slot: u32,
        /// The caller's error.
        source: E,
    },
}
