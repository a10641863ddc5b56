//! What a mark carries.

/// Whose image it is: read without a key (docs/reliability-mark.md 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The hospital that produced the bundle.
    pub origin: [u8; 16],
    /// The bundle.
    pub bundle: [u8; 16],
    /// The first half of the SHA-256 of the SOP Instance UID.
    pub instance: [u8; 16],
    /// The frame of that instance, from 0.
    pub frame: u32,
}

/// All that a mark says; the statement is hidden and proven by the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Whose image it is.
    pub identity: Identity,
    /// The digest of what the producer signed about the bundle.
    pub statement: [u8; 32],
}

impl Identity {
    /// Bytes of the fixed form.
    pub(super) const BYTES: usize = 52;

    /// Origin, bundle, instance, frame (little endian).
    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..16].copy_from_slice(&self.origin);
        bytes[16..32].copy_from_slice(&self.bundle);
        bytes[32..48].copy_from_slice(&self.instance);
        bytes[48..].copy_from_slice(&self.frame.to_le_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let part = |from: usize| {
            let mut part = [0; 16];
            part.copy_from_slice(&bytes[from..from + 16]);
            part
        };
        let mut frame = [0; 4];
        frame.copy_from_slice(&bytes[48..]);
        Self {
            origin: part(0),
            bundle: part(16),
            instance: part(32),
            frame: u32::from_le_bytes(frame),
        }
    }
}
