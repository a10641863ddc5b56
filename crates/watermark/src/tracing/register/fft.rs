//! Fourier transforms in two dimensions.

use std::sync::Arc;

use rustfft::num_complex::Complex32;
use rustfft::{Fft, FftPlanner};

/// Transforms of square fields of one side.
pub(super) struct Transform {
    side: usize,
    forward: Arc<dyn Fft<f32>>,
    inverse: Arc<dyn Fft<f32>>,
}

impl Transform {
    pub(super) fn new(side: usize) -> Self {
        let mut planner = FftPlanner::new();
        Self {
            side,
            forward: planner.plan_fft_forward(side),
            inverse: planner.plan_fft_inverse(side),
        }
    }

    /// The spectrum (with axes exchanged) of `field`, rows of `width`, padded with zeros.
    pub(super) fn spectrum(&self, field: &[f32], width: usize) -> Vec<Complex32> {
        let mut out = vec![Complex32::default(); self.side * self.side];
        for (row, out) in field
            .chunks_exact(width)
            .zip(out.chunks_exact_mut(self.side))
        {
            for (sample, out) in row.iter().zip(out) {
                out.re = *sample;
            }
        }
        self.forward.process(&mut out);
        let mut out = self.transposed(&out);
        self.forward.process(&mut out);
        out
    }

    /// Circular correlation: at (x, y) the sum of `template` times the field shifted there.
    pub(super) fn correlate(&self, field: &[Complex32], template: &[Complex32]) -> Vec<f32> {
        let mut product: Vec<Complex32> = field
            .iter()
            .zip(template)
            .map(|(field, template)| field * template.conj())
            .collect();
        self.inverse.process(&mut product);
        let mut product = self.transposed(&product);
        self.inverse.process(&mut product);
        let scale = 1.0 / (self.side * self.side) as f32;
        product.iter().map(|value| value.re * scale).collect()
    }

    fn transposed(&self, input: &[Complex32]) -> Vec<Complex32> {
        let mut out = vec![Complex32::default(); input.len()];
        for (y, row) in input.chunks_exact(self.side).enumerate() {
            for (x, value) in row.iter().enumerate() {
                out[x * self.side + y] = *value;
            }
        }
        out
    }
}
