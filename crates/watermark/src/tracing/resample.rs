//! Resampling of an original to the grid of what leaked: separable, with the kernel widened where
//! the leaked picture is smaller, as viewers and image libraries do.

/// The kernels that programs use most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kernel {
    /// Average of what a pixel covers; the nearest pixel when enlarging.
    Box,
    /// Bilinear.
    Tent,
    /// Bicubic (Catmull-Rom).
    Cubic,
    /// Lanczos of three lobes.
    Lanczos,
}

impl Kernel {
    /// All of them.
    pub(super) const ALL: [Self; 4] = [Self::Tent, Self::Cubic, Self::Box, Self::Lanczos];

    fn radius(self) -> f64 {
        match self {
            Self::Box => 0.5,
            Self::Tent => 1.0,
            Self::Cubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    fn weight(self, at: f64) -> f64 {
        let at = at.abs();
        match self {
            Self::Box if at <= 0.5 => 1.0,
            Self::Tent if at < 1.0 => 1.0 - at,
            Self::Cubic if at < 1.0 => (1.5 * at - 2.5) * at * at + 1.0,
            Self::Cubic if at < 2.0 => ((-0.5 * at + 2.5) * at - 4.0) * at + 2.0,
            Self::Lanczos if at < 1e-9 => 1.0,
            Self::Lanczos if at < 3.0 => {
                let turn = std::f64::consts::PI * at;
                3.0 * turn.sin() * (turn / 3.0).sin() / (turn * turn)
            }
            _ => 0.0,
        }
    }
}

/// The taps of one axis.
pub(super) struct Axis {
    starts: Vec<u32>,
    taps: usize,
    weights: Vec<f32>,
}

impl Axis {
    /// `length` outputs, the k-th centred at `offset` + `scale` (k + 1/2) on an axis of `side` samples.
    pub(super) fn new(kernel: Kernel, side: usize, length: usize, scale: f64, offset: f64) -> Self {
        let stretch = scale.max(1.0);
        let radius = kernel.radius() * stretch;
        let taps = ((2.0 * radius).ceil() as usize + 1).min(side);
        let mut starts = Vec::with_capacity(length);
        let mut weights = vec![0.0; length * taps];
        for (k, weights) in weights.chunks_exact_mut(taps).enumerate() {
            let centre = offset + scale * (k as f64 + 0.5);
            let first = (centre - radius).floor().clamp(0.0, (side - taps) as f64) as usize;
            starts.push(first as u32);
            let mut sum = 0.0;
            for (tap, weight) in weights.iter_mut().enumerate() {
                let value = kernel.weight(((first + tap) as f64 + 0.5 - centre) / stretch);
                *weight = value as f32;
                sum += value;
            }
            if sum.abs() < 1e-6 {
                // Outside: the nearest sample.
                let nearest = (centre.floor().max(0.0) as usize).clamp(first, first + taps - 1);
                weights.fill(0.0);
                weights[nearest - first] = 1.0;
            } else {
                weights.iter_mut().for_each(|weight| *weight /= sum as f32);
            }
        }
        Self {
            starts,
            taps,
            weights,
        }
    }

    fn outputs(&self) -> impl Iterator<Item = (usize, &[f32])> {
        self.starts
            .iter()
            .map(|start| *start as usize)
            .zip(self.weights.chunks_exact(self.taps))
    }
}

/// Resamples `input`, rows of `width`, along both axes.
pub(super) fn resample(input: &[f32], width: usize, across: &Axis, down: &Axis) -> Vec<f32> {
    let columns = across.starts.len();
    let rows = down.starts.len();
    let first = down.starts.iter().min().map_or(0, |start| *start as usize);
    let last = down.starts.iter().max().map_or(0, |start| *start as usize) + down.taps;
    let mut wide = vec![0.0; columns * (last - first)];
    for (input, wide) in input[first * width..last * width]
        .chunks_exact(width)
        .zip(wide.chunks_exact_mut(columns))
    {
        for ((start, weights), out) in across.outputs().zip(wide) {
            *out = input[start..start + weights.len()]
                .iter()
                .zip(weights)
                .map(|(a, b)| a * b)
                .sum();
        }
    }
    let mut output = vec![0.0; columns * rows];
    for ((start, weights), out) in down.outputs().zip(output.chunks_exact_mut(columns)) {
        let lines = wide[(start - first) * columns..].chunks_exact(columns);
        for (line, weight) in lines.zip(weights).filter(|(_, weight)| **weight != 0.0) {
            out.iter_mut()
                .zip(line)
                .for_each(|(out, sample)| *out += weight * sample);
        }
    }
    output
}
