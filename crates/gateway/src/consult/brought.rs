//! Everything of a bundle, on the local disk, not opened yet.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use harpo_protocol::cell::Layout;
use harpo_protocol::id::GenerationId;
use harpo_protocol::release::Secrets;

use super::ConsultError;
use super::progress::Progress;
use super::retrieve::Answers;
use super::stream::Streamed;
use crate::hints::HeldStack;
use crate::open::{OpenError, Opener};

/// See the module.
pub(super) enum Brought {
    Fragments(File),
    Answers {
        held: Arc<HeldStack>,
        slots: Vec<(GenerationId, u32)>,
        answers: Answers,
    },
    Stack {
        slots: Vec<(GenerationId, u32)>,
        stack: Streamed,
    },
}

impl Brought {
    /// Hands every fragment to `opener`. Blocks.
    pub(super) fn open(
        self,
        opener: &mut Opener,
        secrets: &Secrets,
        layout: &Layout,
        progress: &Progress,
    ) -> Result<(), ConsultError> {
        match self {
            Self::Fragments(file) => open_fragments(&file, opener, layout),
            Self::Answers {
                held,
                slots,
                answers,
            } => answers.decode(&held, progress, |index, slot| {
                open_slot(slots[index], &slot, opener, secrets, layout)
            }),
            Self::Stack { slots, stack } => stack.slots(progress, |index, slot| {
                open_slot(slots[index], &slot, opener, secrets, layout)
            }),
        }
    }
}

fn open_fragments(file: &File, opener: &mut Opener, layout: &Layout) -> Result<(), ConsultError> {
    let size = layout.fragment_bytes();
    for index in 0..opener.fragments() {
        let mut fragment = vec![0; size];
        file.read_exact_at(&mut fragment, u64::from(index) * size as u64)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => OpenError::Fragment { index },
                _ => error.into(),
            })?;
        opener.fragment(index, fragment)?;
    }
    Ok(())
}

fn open_slot(
    at: (GenerationId, u32),
    slot: &[u8],
    opener: &mut Opener,
    secrets: &Secrets,
    layout: &Layout,
) -> Result<(), ConsultError> {
    let cell_bytes = layout.cell_bytes as usize;
    for (index, placement) in (0u32..).zip(&secrets.placements) {
        if (placement.at.generation, placement.at.slot) == at {
            let start = usize::from(placement.at.cell) * cell_bytes;
            let cell = slot
                .get(start..start + cell_bytes)
                .ok_or(OpenError::Fragment { index })?;
            opener.cell(index, placement.at, &placement.key, cell)?;
        }
    }
    Ok(())
}
