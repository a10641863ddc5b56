//! Payload against distortion, of every scheme on the same samples.

use harpo_watermark::Plane;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use rayon::prelude::*;
use serde::Serialize;

use super::super::baselines::{OURS, REFERENCE, Scheme, schemes};
use super::super::images::{Group, Image, Modality};
use super::{Change, Mean, carrier};

/// Bits for each sample.
pub(super) const RATES: [f64; 8] = [0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0];

/// This project's engine at one rate, over all images of a group.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct GainRow {
    pub(crate) modality: Modality,
    pub(crate) synthetic: bool,
    pub(crate) bpp: f64,
    pub(crate) images: usize,
    /// Images that had room.
    pub(crate) carried: usize,
    /// Of the mean square error over the images that had room, each in units of its peak,
    /// 2^BitsStored − 1.
    pub(crate) psnr_db: Option<f64>,
    /// Images that had room with both schemes: what gains are of.
    pub(crate) compared: usize,
    /// The mean of these images' gains, each the difference of two PSNRs of that image.
    pub(crate) gain_over_sachnev_db: Option<f64>,
    /// The middle one of these gains.
    pub(crate) median_gain_db: Option<f64>,
    /// The least of these gains.
    pub(crate) least_gain_db: Option<f64>,
    pub(crate) mse: Option<f64>,
    pub(crate) largest_error: u16,
    /// Whether payload and original came back exactly, wherever there was room.
    pub(crate) exact: bool,
}

/// One scheme at one rate.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RateRow {
    pub(crate) modality: Modality,
    pub(crate) synthetic: bool,
    pub(crate) scheme: &'static str,
    pub(crate) bpp: f64,
    pub(crate) images: usize,
    pub(crate) carried: usize,
    pub(crate) psnr_db: Option<f64>,
    pub(crate) mse: Option<f64>,
    pub(crate) largest_error: u16,
    pub(crate) exact: bool,
}

/// What one scheme did to one image at each rate; `None` without room.
pub(super) struct Curve {
    scheme: &'static str,
    image: usize,
    points: [Option<Point>; RATES.len()],
}

#[derive(Clone, Copy)]
struct Point {
    change: Change,
    exact: bool,
}

/// Every scheme on every image.
pub(super) fn curves(images: &[&Image], most_samples: usize) -> Vec<Curve> {
    let planes: Vec<Plane> = images
        .iter()
        .map(|image| centre(carrier(image), most_samples))
        .collect();
    let pairs: Vec<(usize, &dyn Scheme)> = (0..planes.len())
        .flat_map(|image| schemes().map(|scheme| (image, scheme)))
        .collect();
    let curves = pairs.into_par_iter().map(|(image, scheme)| Curve {
        scheme: scheme.name(),
        image,
        points: points(scheme, &planes[image]),
    });
    curves.collect()
}

/// The middle of a plane that is larger than `most` samples.
pub(crate) fn centre(plane: &Plane, most: usize) -> Plane {
    let (width, height) = (plane.width(), plane.height());
    let samples = plane.samples().len();
    if samples <= most {
        return plane.clone();
    }
    let part = (most as f64 / samples as f64).sqrt();
    let cut = |side: usize| ((side as f64 * part) as usize).max(1);
    let (columns, rows) = (cut(width), cut(height));
    let (left, top) = ((width - columns) / 2, (height - rows) / 2);
    let lines = plane.samples().chunks(width).skip(top).take(rows);
    let samples = lines.flat_map(|line| &line[left..left + columns]).copied();
    Plane::new(columns, rows, plane.depth(), samples.collect()).unwrap_or_else(|_| plane.clone())
}

/// Rate after rate, until there is no room.
fn points(scheme: &dyn Scheme, plane: &Plane) -> [Option<Point>; RATES.len()] {
    let mut points = [None; RATES.len()];
    for (point, rate) in points.iter_mut().zip(RATES) {
        *point = try_rate(scheme, plane, rate);
        if point.is_none() {
            break;
        }
    }
    points
}

fn try_rate(scheme: &dyn Scheme, plane: &Plane, rate: f64) -> Option<Point> {
    // Whole bytes, because the engine takes no less.
    let count = (plane.samples().len() as f64 * rate / 8.0).ceil() as usize * 8;
    let mut random = ChaCha8Rng::seed_from_u64(count as u64);
    let payload: Vec<bool> = (0..count).map(|_| random.next_u32() & 1 == 1).collect();
    let marked = scheme.embed(plane, &payload)?;
    let exact = scheme
        .extract(&marked)
        .is_some_and(|(restored, found)| restored == *plane && found == payload);
    Some(Point {
        change: Change::between(plane, &marked),
        exact,
    })
}

/// A row for each scheme and rate.
pub(super) fn rates(group: &Group<'_>, curves: &[Curve]) -> Vec<RateRow> {
    let names = schemes().map(Scheme::name);
    let rates = names.into_iter().flat_map(|scheme| {
        (0..RATES.len()).map(move |place| {
            let points = points_of(curves, scheme, place);
            let mean = Mean::of(points.clone().map(|(_, point)| point.change));
            RateRow {
                modality: group.modality,
                synthetic: group.synthetic,
                scheme,
                bpp: RATES[place],
                images: images_of(curves),
                carried: mean.images,
                psnr_db: mean.psnr_db(),
                mse: mean.mse(),
                largest_error: mean.largest,
                exact: points.clone().all(|(_, point)| point.exact),
            }
        })
    });
    rates.collect()
}

/// A row for each rate of this project's engine.
pub(super) fn gains(group: &Group<'_>, curves: &[Curve]) -> Vec<GainRow> {
    let rows = rates(group, curves);
    let ours = rows.into_iter().filter(|row| row.scheme == OURS);
    ours.enumerate()
        .map(|(place, row)| {
            let gains = image_gains(curves, place);
            GainRow {
                modality: row.modality,
                synthetic: row.synthetic,
                bpp: row.bpp,
                images: row.images,
                carried: row.carried,
                psnr_db: row.psnr_db,
                compared: gains.len(),
                gain_over_sachnev_db: (!gains.is_empty())
                    .then(|| gains.iter().sum::<f64>() / gains.len() as f64),
                median_gain_db: median(&gains),
                least_gain_db: gains.first().copied(),
                mse: row.mse,
                largest_error: row.largest_error,
                exact: row.exact,
            }
        })
        .collect()
}

/// The difference of two PSNRs of each image that had room with both schemes, the least first.
fn image_gains(curves: &[Curve], place: usize) -> Vec<f64> {
    let psnr = |change: Change| Mean::of([change].into_iter()).psnr_db();
    let mut gains: Vec<f64> = points_of(curves, OURS, place)
        .filter_map(|(image, ours)| {
            let (_, other) =
                points_of(curves, REFERENCE, place).find(|(also, _)| *also == image)?;
            Some(psnr(ours.change)? - psnr(other.change)?)
        })
        .collect();
    gains.sort_by(f64::total_cmp);
    gains
}

/// The middle one of sorted values, or the mean of the middle two.
fn median(sorted: &[f64]) -> Option<f64> {
    let (low, high) = (sorted.len().checked_sub(1)? / 2, sorted.len() / 2);
    Some((sorted[low] + sorted[high]) / 2.0)
}

/// Images with room, and what happened to them.
fn points_of<'a>(
    curves: &'a [Curve],
    scheme: &'static str,
    place: usize,
) -> impl Iterator<Item = (usize, Point)> + Clone + use<'a> {
    curves
        .iter()
        .filter(move |curve| curve.scheme == scheme)
        .filter_map(move |curve| Some((curve.image, curve.points[place]?)))
}

fn images_of(curves: &[Curve]) -> usize {
    curves
        .iter()
        .map(|curve| curve.image + 1)
        .max()
        .unwrap_or(0)
}
