//! Little-endian bit strings: value 0 occupies the lowest bits of byte 0 (oblivious-encoding 1.3).

/// Writes `values`, `bits` (at most 32) bits each, to `out`, which has exactly room for them.
pub(crate) fn pack(values: &[u32], bits: u32, out: &mut [u8]) {
    debug_assert_eq!(values.len() * bits as usize, out.len() * 8);
    let mut held = 0u64;
    let mut count = 0;
    let mut rest = out.iter_mut();
    for &value in values {
        held |= u64::from(value) << count;
        count += bits;
        while count >= 8 {
            if let Some(byte) = rest.next() {
                *byte = held as u8;
            }
            held >>= 8;
            count -= 8;
        }
    }
}

/// Reads `out.len()` values of `bits` (at most 32) bits each from `bytes`, which has exactly as many.
pub(crate) fn unpack(bytes: &[u8], bits: u32, out: &mut [u32]) {
    debug_assert_eq!(bytes.len() * 8, out.len() * bits as usize);
    let mask = (1u64 << bits) - 1;
    let mut held = 0u64;
    let mut count = 0;
    let mut rest = bytes.iter();
    for value in out {
        while count < bits {
            held |= u64::from(rest.next().copied().unwrap_or(0)) << count;
            count += 8;
        }
        *value = (held & mask) as u32;
        held >>= bits;
        count -= bits;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn unpack_undoes_pack(values in prop::collection::vec(any::<u32>(), 16), bits in 1u32..=32) {
            let values: Vec<u32> = values.iter().map(|v| (u64::from(*v) & ((1 << bits) - 1)) as u32).collect();
            let mut bytes = vec![0; 2 * bits as usize];
            pack(&values, bits, &mut bytes);
            let mut back = vec![0; 16];
            unpack(&bytes, bits, &mut back);
            prop_assert_eq!(back, values);
        }
    }

    #[test]
    fn value_zero_is_in_the_low_bits() {
        let mut bytes = [0; 3];
        pack(&[1, 2, 3, 4, 0, 0, 0, 0], 3, &mut bytes);
        assert_eq!(bytes, [0b1101_0001, 0b0000_1000, 0]);
    }
}
