//! The inner loop of prediction, compiled for the processor at hand.
//!
//! There is one source of it; with AVX2 the compiler turns it into longer vectors. All arithmetic
//! is of integers, so that the results are the same.

use super::{CLASSES, POINT};

/// Predicts samples from twelve neighbours each: left and right, above and below, (±2, ±1) and
/// (±1, ±2).
pub(super) fn run(
    neighbours: [&[u16]; 12],
    weights: [i32; 4],
    max: u16,
    centres: &mut [u16],
    contexts: &mut [u8],
) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn avx2(
            neighbours: [&[u16]; 12],
            weights: [i32; 4],
            max: u16,
            centres: &mut [u16],
            contexts: &mut [u8],
        ) {
            portable(neighbours, weights, max, centres, contexts);
        }
        if is_x86_feature_detected!("avx2") {
            // Safety: the processor was asked for the one feature that the function needs.
            #[expect(unsafe_code, reason = "code for a feature that was just detected")]
            unsafe {
                avx2(neighbours, weights, max, centres, contexts);
            }
            return;
        }
    }
    portable(neighbours, weights, max, centres, contexts);
}

/// One pass without branches, so that it vectorises.
#[inline(always)]
fn portable(
    neighbours: [&[u16]; 12],
    weights: [i32; 4],
    max: u16,
    centres: &mut [u16],
    contexts: &mut [u8],
) {
    let count = centres.len();
    let neighbours = neighbours.map(|row| &row[..count]);
    let contexts = &mut contexts[..count];
    for i in 0..count {
        let all: [u16; 12] = std::array::from_fn(|k| neighbours[k][i]);
        let (mut least, mut most) = (all[0], all[0]);
        for one in &all[1..] {
            least = least.min(*one);
            most = most.max(*one);
        }
        let range = i32::from(most - least);
        let n = all.map(i32::from);
        let groups = [
            n[0] + n[1],
            n[2] + n[3],
            n[4] + n[5] + n[6] + n[7],
            n[8] + n[9] + n[10] + n[11],
        ];
        let sum: i32 = (0..4).map(|k| groups[k] * weights[k]).sum();
        let sum = sum.clamp(0, i32::from(max) << POINT);
        // Among samples at the end of the range and next to it, the end is what was there
        // before marks: they had no other way to go.
        let sum = if range <= 1 && least == 0 { 0 } else { sum };
        let full = range <= 1 && most == max;
        let sum = if full { i32::from(max) << POINT } else { sum };
        let half = 1 << (POINT - 1);
        let centre = (sum + half) >> POINT;
        let rest = sum - (centre << POINT);
        let near: i32 = (0..4).map(|k| (n[k] - centre).abs()).sum();
        let far: i32 = (4..12).map(|k| (n[k] - centre).abs()).sum();
        let phase = (rest.abs() * 3 + half / 2) >> (POINT - 1);
        let mirrored = i32::from(rest < 0);
        centres[i] = centre as u16;
        contexts[i] = (class(2 * near + far, range) << 3 | mirrored << 2 | phase) as u8;
    }
}

/// The range if it is small, or else two classes an octave, by the exponent and the first bit of
/// the mantissa that the activity has as a float.
#[inline(always)]
fn class(activity: i32, range: i32) -> i32 {
    // Exact: sums of absolute differences stay below 2^21.
    let bits = (activity as f32).to_bits() as i32;
    let class = ((bits >> 22) - 253).clamp(3, CLASSES as i32 - 1);
    if range <= 2 { range } else { class }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_for_this_processor_equals_the_portable_one() {
        let mut state = 7u32;
        for spread in [1, 2, 5, 300, 65_535] {
            for count in [0, 1, 7, 8, 33, 100] {
                let rows: Vec<Vec<u16>> = (0..12)
                    .map(|_| {
                        let sample = |_| {
                            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                            ((state >> 8) % (spread + 1)) as u16
                        };
                        (0..count).map(sample).collect()
                    })
                    .collect();
                let neighbours = std::array::from_fn(|k| rows[k].as_slice());
                let weights = [300, 150, -20, 51];
                let mut one = (vec![0; count], vec![0; count]);
                let mut other = one.clone();
                run(neighbours, weights, u16::MAX, &mut one.0, &mut one.1);
                portable(neighbours, weights, u16::MAX, &mut other.0, &mut other.1);
                assert_eq!(one, other);
            }
        }
    }
}
