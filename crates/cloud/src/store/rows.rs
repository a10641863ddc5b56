//! Rows of the database as values.

use harpo_protocol::id::{Digest, GenerationId};
use harpo_protocol::stack::{Figures, SealRequest};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{Generation, HintRecord, Sealed, State};
use crate::Error;

pub(super) fn generation_of(row: &SqliteRow) -> Result<Generation, Error> {
    let slot_bytes = row.try_get("slot_bytes")?;
    let request = || -> Result<SealRequest, Error> {
        Ok(SealRequest {
            figures: Figures {
                slots: row.try_get("slots")?,
                slot_bytes,
                parameter_set: row.try_get("parameter_set")?,
                interleave: row.try_get("interleave")?,
                seed: digest_at(row, "seed")?,
            },
            slots: digest_at(row, "slots_digest")?,
        })
    };
    let state = match row.try_get::<&str, _>("state")? {
        "open" => State::Open,
        "sealing" => State::Sealing(request()?),
        "sealed" => {
            let bytes: i64 = row.try_get("hint_bytes")?;
            let hint = HintRecord {
                digest: digest_at(row, "hint_digest")?,
                bytes: bytes.unsigned_abs(),
            };
            let sealed = Sealed {
                read_back: digest_at(row, "read_back")?,
                hint,
            };
            State::Sealed(request()?, sealed)
        }
        _ => State::Retired,
    };
    let id = GenerationId::from_slice(row.try_get("id")?)?;
    Ok(Generation {
        id,
        slot_bytes,
        state,
    })
}

pub(super) fn digest_at<I>(row: &SqliteRow, column: I) -> Result<Digest, Error>
where
    I: sqlx::ColumnIndex<SqliteRow>,
{
    Ok(Digest::from_slice(row.try_get(column)?)?)
}
