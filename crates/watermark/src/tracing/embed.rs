//! Embedding (docs/tracing-mark.md 5).

use super::TraceError;
use super::code::Codeword;
use super::key::{ImageId, Tracer};
use super::layout::{Layout, profile};
use super::strength::{Display, amplitudes};
use crate::Plane;

/// What a mark changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distortion {
    /// Mean squared error, in stored units squared.
    pub mse: f64,
    /// The largest change, in stored units.
    pub largest: u16,
    /// Chips that carry the mark.
    pub chips: usize,
    /// Peak signal to noise ratio where the peak is the largest sample of the depth, in dB.
    pub psnr_depth: f64,
    /// The same where the peak is the range of the display: what a viewer sees.
    pub psnr_display: f64,
}

/// Thresholds of ordered dither (Bayer), 8 x 8, in 64ths.
const BAYER: [[u8; 8]; 8] = [
    [0, 32, 8, 40, 2, 34, 10, 42],
    [48, 16, 56, 24, 50, 18, 58, 26],
    [12, 44, 4, 36, 14, 46, 6, 38],
    [60, 28, 52, 20, 62, 30, 54, 22],
    [3, 35, 11, 43, 1, 33, 9, 41],
    [51, 19, 59, 27, 49, 17, 57, 25],
    [15, 47, 7, 39, 13, 45, 5, 37],
    [63, 31, 55, 23, 61, 29, 53, 21],
];

impl Tracer {
    /// Writes `codeword` into `plane`, which is `image` of the study.
    pub fn embed(
        &self,
        plane: &mut Plane,
        image: &ImageId,
        codeword: &Codeword,
        display: &Display,
    ) -> Result<Distortion, TraceError> {
        let layout = Layout::new(self, image, plane.width(), plane.height())?;
        let mut signed = amplitudes(plane, &layout, display);
        for (amplitude, position) in signed.iter_mut().zip(&layout.positions) {
            if !codeword.bit(*position) {
                *amplitude = -*amplitude;
            }
        }
        let chips = signed.iter().filter(|amplitude| **amplitude != 0.0).count();
        Ok(write(plane, &layout, &signed).finish(plane, display, chips))
    }

    /// Writes `codeword` into a colour image: the chips are those of `luminance`, and red, green and
    /// blue change alike, so that the luminance changes by as much. All planes have one shape and depth.
    pub fn embed_rgb(
        &self,
        planes: [&mut Plane; 3],
        luminance: &Plane,
        image: &ImageId,
        codeword: &Codeword,
        display: &Display,
    ) -> Result<[Distortion; 3], TraceError> {
        let shape = |plane: &Plane| (plane.width(), plane.height(), plane.depth());
        if planes.iter().any(|plane| shape(plane) != shape(luminance)) {
            return Err(TraceError::Colour);
        }
        let layout = Layout::new(self, image, luminance.width(), luminance.height())?;
        let mut signed = amplitudes(luminance, &layout, display);
        for (amplitude, position) in signed.iter_mut().zip(&layout.positions) {
            if !codeword.bit(*position) {
                *amplitude = -*amplitude;
            }
        }
        let chips = signed.iter().filter(|amplitude| **amplitude != 0.0).count();
        Ok(planes.map(|plane| write(plane, &layout, &signed).finish(plane, display, chips)))
    }
}

/// Sums over what was written.
#[derive(Default)]
struct Sums {
    squares: u64,
    largest: u16,
}

impl Sums {
    fn finish(self, plane: &Plane, display: &Display, chips: usize) -> Distortion {
        let mse = self.squares as f64 / plane.samples().len() as f64;
        let psnr = |peak: f64| 10.0 * (peak * peak / mse).log10();
        Distortion {
            mse,
            largest: self.largest,
            chips,
            psnr_depth: psnr(f64::from(plane.max())),
            psnr_display: psnr(f64::from(display.range()) * 255.0 / 256.0),
        }
    }
}

/// Adds to every chip its signed amplitude times the window, rounded by ordered dither, clipped.
fn write(plane: &mut Plane, layout: &Layout, signed: &[f32]) -> Sums {
    let (side, width, max) = (layout.side, plane.width(), f32::from(plane.max()));
    let window: Vec<f32> = (0..side)
        .map(|at| profile(at as f32 + 0.5, side as f32))
        .collect();
    let samples = plane.samples_mut();
    let mut sums = Sums::default();
    for row in 0..layout.rows {
        let amplitudes = &signed[row * layout.columns..(row + 1) * layout.columns];
        for (dy, down) in window.iter().enumerate() {
            let start = (layout.top + row * side + dy) * width + layout.left;
            let line = &mut samples[start..start + layout.columns * side];
            let dither = BAYER[dy % 8].map(|threshold| (f32::from(threshold) + 0.5) / 64.0);
            for (chip, amplitude) in line.chunks_exact_mut(side).zip(amplitudes) {
                let scaled = amplitude * down;
                for (eight, across) in chip.chunks_exact_mut(8).zip(window.chunks_exact(8)) {
                    for ((sample, across), dither) in eight.iter_mut().zip(across).zip(&dither) {
                        let marked = f32::from(*sample) + scaled * across + dither;
                        // Conversion truncates, which is rounding down as nothing is negative here.
                        let marked = marked.clamp(0.0, max) as i32 as u16;
                        let change = marked.abs_diff(*sample);
                        sums.squares += u64::from(u32::from(change) * u32::from(change));
                        sums.largest = sums.largest.max(change);
                        *sample = marked;
                    }
                }
            }
        }
    }
    sums
}
