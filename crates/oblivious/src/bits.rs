//! Little-endian bit strings: value 0 occupies the lowest bits of byte 0 (oblivious-encoding 1.3).

use crate::ring::{LANES, Row};

/// Most bits of a value: with up to seven bits before it, it lies within eight bytes.
const MAX_BITS: u32 = 57;
/// Bytes of a row of the widest values, and what reading eight bytes at its end may touch beyond.
const ROW_ROOM: usize = 2 * MAX_BITS as usize + 8;

/// Writes rows of sixteen values, `bits` (at most 57) bits each, to `out`, which has exactly room for them.
#[inline(always)]
pub(crate) fn pack_row(values: &[u64; LANES], bits: u32, out: &mut [u8]) {
    debug_assert!(out.len() == 2 * bits as usize && bits <= MAX_BITS);
    let mut room = [0u8; ROW_ROOM];
    for (lane, value) in values.iter().enumerate() {
        let bit = lane * bits as usize;
        let at = &mut room[bit / 8..bit / 8 + 8];
        let mut word = [0; 8];
        word.copy_from_slice(at);
        let word = u64::from_le_bytes(word) | value << (bit % 8);
        at.copy_from_slice(&word.to_le_bytes());
    }
    out.copy_from_slice(&room[..out.len()]);
}

/// Reads a row of sixteen values of `bits` (at most 57) bits each.
#[inline(always)]
pub(crate) fn unpack_row(bytes: &[u8], bits: u32) -> [u64; LANES] {
    debug_assert!(bytes.len() == 2 * bits as usize && bits <= MAX_BITS);
    let mut room = [0u8; ROW_ROOM];
    room[..bytes.len()].copy_from_slice(bytes);
    let mask = (1u64 << bits) - 1;
    let mut row = [0; LANES];
    for (lane, value) in row.iter_mut().enumerate() {
        let bit = lane * bits as usize;
        let mut word = [0; 8];
        word.copy_from_slice(&room[bit / 8..bit / 8 + 8]);
        *value = u64::from_le_bytes(word) >> (bit % 8) & mask;
    }
    row
}

/// Writes residues, whole rows of them.
pub(crate) fn pack(values: &[u32], bits: u32, out: &mut [u8]) {
    let rows = values.as_chunks::<LANES>().0;
    for (row, out) in rows.iter().zip(out.chunks_exact_mut(2 * bits as usize)) {
        pack_row(&row.map(u64::from), bits, out);
    }
}

/// Reads residues of at most 32 bits, whole rows of them.
pub(crate) fn unpack(bytes: &[u8], bits: u32, out: &mut [u32]) {
    debug_assert_eq!(bytes.len() * 8, out.len() * bits as usize);
    let rows: &mut [Row] = out.as_chunks_mut().0;
    for (row, bytes) in rows.iter_mut().zip(bytes.chunks_exact(2 * bits as usize)) {
        *row = unpack_row(bytes, bits).map(|value| value as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn unpack_undoes_pack(values in prop::array::uniform16(any::<u64>()), bits in 1u32..=57) {
            let values = values.map(|v| v & ((1 << bits) - 1));
            let mut bytes = vec![0; 2 * bits as usize];
            pack_row(&values, bits, &mut bytes);
            prop_assert_eq!(unpack_row(&bytes, bits), values);
        }
    }

    #[test]
    fn value_zero_is_in_the_low_bits() {
        let mut bytes = [0; 6];
        let mut values = [0; 16];
        values[..4].copy_from_slice(&[1, 2, 3, 4]);
        pack_row(&values, 3, &mut bytes);
        assert_eq!(bytes[..3], [0b1101_0001, 0b0000_1000, 0]);
    }
}
