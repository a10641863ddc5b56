//! Search over a ladder of scales and all offsets, by normalised correlation of edges in reduced
//! pictures.

use rustfft::num_complex::Complex32;

use super::fft::Transform;
use crate::Plane;
use crate::tracing::picture::{Picture, Placement};
use crate::tracing::resample::{Axis, Kernel, resample};

/// Side of the reduced originals, and of the transforms.
const SIDE: usize = 192;
/// The least side of a reduced leaked picture.
const LEAST: usize = 20;
/// Steps of the ladder: 3 % each.
const STEP: f64 = 1.03;
/// From the largest leaked picture to the smallest: original pixels per leaked pixel.
const SCALES: (f64, f64) = (0.44, 2.25);
/// The leaked picture is reduced to this before the ladder.
const REDUCED: usize = 600;

/// A place to try.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Guess {
    /// Which original.
    pub(super) image: usize,
    /// Where in it.
    pub(super) placement: Placement,
}

/// The edges of a reduced original.
pub(super) struct Features {
    width: usize,
    height: usize,
    edges: Vec<f32>,
    /// Original pixels per reduced pixel.
    factor: f64,
}

impl Features {
    pub(super) fn of_plane(plane: &Plane) -> Self {
        let factor = (plane.width().max(plane.height()) as f64 / SIDE as f64).max(1.0);
        let picture = Picture::of_original(plane);
        let reduce = |side: usize| ((side as f64 / factor).round() as usize).clamp(1, SIDE);
        let (width, height) = (reduce(plane.width()), reduce(plane.height()));
        Self {
            width,
            height,
            edges: edges(&shrink(&picture, width, height), width),
            factor,
        }
    }
}

fn shrink(picture: &Picture, width: usize, height: usize) -> Vec<f32> {
    let axis = |side: usize, length: usize| {
        Axis::new(Kernel::Tent, side, length, side as f64 / length as f64, 0.0)
    };
    let (across, down) = (axis(picture.width(), width), axis(picture.height(), height));
    resample(picture.samples(), picture.width(), &across, &down)
}

/// Magnitudes of gradients, compressed around their mean so that neither window nor curve matter much.
fn edges(samples: &[f32], width: usize) -> Vec<f32> {
    let height = samples.len() / width;
    let mut edges = vec![0.0; samples.len()];
    for y in 1..height.saturating_sub(1) {
        for x in 1..width.saturating_sub(1) {
            let at = y * width + x;
            let dx = samples[at + 1] - samples[at - 1];
            let dy = samples[at + width] - samples[at - width];
            edges[at] = dx.hypot(dy);
        }
    }
    let mean = edges.iter().sum::<f32>() / edges.len() as f32;
    if mean > 0.0 {
        edges.iter_mut().for_each(|edge| *edge /= *edge + mean);
    }
    edges
}

/// The best `count` guesses over all originals.
pub(super) fn search(
    features: &[Features],
    originals: &[Plane],
    leaked: &Picture,
    count: usize,
) -> Vec<Guess> {
    let transform = Transform::new(SIDE);
    let fields: Vec<Field> = features
        .iter()
        .map(|features| Field::new(&transform, features))
        .collect();
    let shrinking = (leaked.width().max(leaked.height()) as f64 / REDUCED as f64).max(1.0);
    let reduce = |side: usize| ((side as f64 / shrinking).round() as usize).max(1);
    let (width, height) = (reduce(leaked.width()), reduce(leaked.height()));
    let Ok(reduced) = Picture::new(width, height, shrink(leaked, width, height)) else {
        return Vec::new();
    };
    let mut best: Vec<(f64, Guess)> = Vec::new();
    // Originals of one size share templates.
    let mut factors: Vec<f64> = features.iter().map(|features| features.factor).collect();
    factors.sort_by(f64::total_cmp);
    factors.dedup();
    for factor in factors {
        let mut scale = SCALES.0;
        while scale <= SCALES.1 {
            let side = |side: usize| (side as f64 * scale / factor).round() as usize;
            let template = Template::new(
                &transform,
                &reduced,
                side(leaked.width()),
                side(leaked.height()),
            );
            for (image, field) in fields.iter().enumerate() {
                let features = &features[image];
                let Some(template) = template.as_ref().filter(|_| features.factor == factor) else {
                    continue;
                };
                let Some((score, x, y)) = field.best(&transform, features, template) else {
                    continue;
                };
                let original = &originals[image];
                let place = |at: usize, side: usize, reduced: usize| {
                    at as f64 * side as f64 / reduced as f64
                };
                let placement = Placement {
                    scale_x: scale,
                    scale_y: scale,
                    left: place(x, original.width(), features.width),
                    top: place(y, original.height(), features.height),
                };
                best.push((score, Guess { image, placement }));
            }
            scale *= STEP;
        }
    }
    best.sort_by(|a, b| b.0.total_cmp(&a.0));
    best.truncate(count);
    best.into_iter().map(|(_, guess)| guess).collect()
}

/// The leaked picture's edges at one scale, without their mean.
struct Template {
    width: usize,
    height: usize,
    spectrum: Vec<Complex32>,
    norm: f64,
}

impl Template {
    fn new(transform: &Transform, leaked: &Picture, width: usize, height: usize) -> Option<Self> {
        if width.min(height) < LEAST || width.max(height) > SIDE {
            return None;
        }
        let mut edges = edges(&shrink(leaked, width, height), width);
        let mean = edges.iter().sum::<f32>() / edges.len() as f32;
        edges.iter_mut().for_each(|edge| *edge -= mean);
        let norm = edges
            .iter()
            .map(|edge| f64::from(edge * edge))
            .sum::<f64>()
            .sqrt();
        let spectrum = transform.spectrum(&edges, width);
        (norm > 1e-6).then_some(Self {
            width,
            height,
            spectrum,
            norm,
        })
    }
}

/// An original's edges, ready for correlation.
struct Field {
    spectrum: Vec<Complex32>,
    /// Sums over all rectangles from the corner, of edges and their squares; one row and column more.
    sums: Vec<[f64; 2]>,
}

impl Field {
    fn new(transform: &Transform, features: &Features) -> Self {
        let (width, height) = (features.width, features.height);
        let mut sums = vec![[0.0; 2]; (width + 1) * (height + 1)];
        for y in 0..height {
            let mut row = [0.0; 2];
            for x in 0..width {
                let edge = f64::from(features.edges[y * width + x]);
                row = [row[0] + edge, row[1] + edge * edge];
                let above = sums[y * (width + 1) + x + 1];
                sums[(y + 1) * (width + 1) + x + 1] = [above[0] + row[0], above[1] + row[1]];
            }
        }
        Self {
            spectrum: transform.spectrum(&features.edges, width),
            sums,
        }
    }

    /// The best offset: Fisher's transform of the correlation, times the root of the area.
    fn best(
        &self,
        transform: &Transform,
        features: &Features,
        template: &Template,
    ) -> Option<(f64, usize, usize)> {
        let (width, height) = (template.width, template.height);
        // A whole picture may come out one pixel larger than the original.
        if width > features.width + 1 || height > features.height + 1 {
            return None;
        }
        let (width, height) = (width.min(features.width), height.min(features.height));
        let correlation = transform.correlate(&self.spectrum, &template.spectrum);
        let area = (width * height) as f64;
        let stride = features.width + 1;
        let mut best: Option<(f64, usize, usize)> = None;
        for y in 0..=features.height - height {
            for x in 0..=features.width - width {
                let corner = |x: usize, y: usize| self.sums[y * stride + x];
                let (a, b) = (corner(x, y), corner(x + width, y));
                let (c, d) = (corner(x, y + height), corner(x + width, y + height));
                let sum = d[0] - b[0] - c[0] + a[0];
                let energy = d[1] - b[1] - c[1] + a[1] - sum * sum / area;
                if energy <= 1e-6 {
                    continue;
                }
                let value = f64::from(correlation[y * SIDE + x]) / (template.norm * energy.sqrt());
                if best.is_none_or(|(most, ..)| value > most) {
                    best = Some((value, x, y));
                }
            }
        }
        best.map(|(value, x, y)| (value.clamp(0.0, 0.999).atanh() * area.sqrt(), x, y))
    }
}
