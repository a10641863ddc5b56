//! Headers and sizes shared by the wire formats (oblivious-encoding 4 to 6).

use aws_lc_rs::digest::Context;

use crate::{Error, ParamSetId};

/// Version of all formats.
const VERSION: u16 = 1;

pub(crate) const QUERY_MAGIC: &[u8; 4] = b"HPOQ";
pub(crate) const ANSWER_MAGIC: &[u8; 4] = b"HPOA";
pub(crate) const HINT_MAGIC: &[u8; 4] = b"HPOH";
pub(crate) const PARTIAL_MAGIC: &[u8; 4] = b"HPOP";

/// Magic, version, parameter set, digest.
const HEADER: usize = 4 + 2 + 2 + 32;
pub(crate) const QUERY_HEADER: usize = HEADER;
pub(crate) const ANSWER_HEADER: usize = HEADER;
pub(crate) const HINT_HEADER: usize = HEADER;
pub(crate) const PARTIAL_HEADER: usize = HEADER;

/// Bytes of a row of sixteen values of `bits` bits.
pub(crate) const fn row_bytes(bits: u32) -> usize {
    2 * bits as usize
}

pub(crate) fn finish_digest(context: Context) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

pub(crate) fn put_header(
    out: &mut Vec<u8>,
    magic: &[u8; 4],
    params: ParamSetId,
    digest: &[u8; 32],
) {
    out.extend_from_slice(magic);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&params.0.to_le_bytes());
    out.extend_from_slice(digest);
}

/// Checks length and header of `bytes` and returns what follows the header.
pub(crate) fn body<'a>(
    what: &'static str,
    bytes: &'a [u8],
    magic: &[u8; 4],
    params: ParamSetId,
    digest: &[u8; 32],
    length: u64,
) -> Result<&'a [u8], Error> {
    let malformed = |reason| Error::Malformed { what, reason };
    let (header, body) = bytes
        .split_at_checked(HEADER)
        .ok_or(malformed("shorter than its header"))?;
    if &header[..4] != magic {
        return Err(malformed("does not begin with the magic of its kind"));
    }
    if header[4..6] != VERSION.to_le_bytes() {
        return Err(malformed("unknown version"));
    }
    if header[6..8] != params.0.to_le_bytes() || header[8..] != digest[..] {
        return Err(Error::WrongStack { what });
    }
    if bytes.len() as u64 != length {
        return Err(malformed("length does not fit the stack"));
    }
    Ok(body)
}
