//! One function for each modality.

use harpo_watermark::Plane;
use rand_core::Rng;

use super::field::{Field, Texture, between, normals};

/// An ellipse of one tissue.
struct Ellipse {
    x: f64,
    y: f64,
    across: f64,
    down: f64,
    turn: f64,
    value: f64,
}

impl Ellipse {
    /// Below 1 inside.
    fn distance(&self, x: f64, y: f64) -> f64 {
        let (sin, cos) = self.turn.sin_cos();
        let (x, y) = (x - self.x, y - self.y);
        let (along, aside) = (x * cos + y * sin, y * cos - x * sin);
        ((along / self.across).powi(2) + (aside / self.down).powi(2)).sqrt()
    }

    /// Moved and grown a little, as the next slice would show it.
    fn later(mut self, place: f64, step: f64) -> Self {
        self.x += 0.002 * (place * 0.31 + step).sin();
        self.across *= 1.0 + 0.05 * (place * 0.11 + step).sin();
        self.down *= 1.0 + 0.05 * (place * 0.13 + 2.0 * step).sin();
        self
    }
}

/// The tissue at a place: later ellipses cover earlier ones, with an edge as wide as a sample or
/// two.
fn tissue(shapes: &[Ellipse], outside: f64, x: f64, y: f64, edge: f64) -> f64 {
    shapes.iter().fold(outside, |value, shape| {
        let inside = ((1.0 - shape.distance(x, y)) * shape.across.min(shape.down) / edge + 0.5)
            .clamp(0.0, 1.0);
        value * (1.0 - inside) + shape.value * inside
    })
}

/// Rounds and clips to the depth.
fn plane(
    width: usize,
    height: usize,
    depth: u32,
    mut value: impl FnMut(usize, usize) -> f64,
) -> Vec<Plane> {
    let max = f64::from(u16::MAX >> (16 - depth));
    let mut samples = Vec::with_capacity(width * height);
    for y in 0..height {
        samples.extend((0..width).map(|x| value(x, y).round().clamp(0.0, max) as u16));
    }
    Plane::new(width, height, depth, samples)
        .into_iter()
        .collect()
}

/// Ellipses scattered over a part of the picture.
fn scattered(
    random: &mut impl Rng,
    count: usize,
    reach: f64,
    size: (f64, f64),
    value: (f64, f64),
) -> Vec<Ellipse> {
    (0..count)
        .map(|_| Ellipse {
            x: between(random, -reach, reach),
            y: between(random, -reach, reach),
            across: between(random, size.0, size.1),
            down: between(random, size.0, size.1),
            turn: between(random, 0.0, 3.0),
            value: between(random, value.0, value.1),
        })
        .collect()
}

fn ellipse(x: f64, y: f64, across: f64, down: f64, value: f64) -> Ellipse {
    Ellipse {
        x,
        y,
        across,
        down,
        turn: 0.0,
        value,
    }
}

/// Axial CT, 512 × 512, 12 bits, rescale intercept −1024: a constant outside of the round field of
/// view; inside air, and a trunk with fat, muscle, organs, vessels and spine; noise of 10 to 20 HU
/// with the grain of a soft kernel, more in the middle of the body.
pub(super) fn ct(anatomy: &mut impl Rng, noise: &mut impl Rng, place: f64) -> Vec<Plane> {
    const SIDE: usize = 512;
    let wide = between(anatomy, 0.62, 0.8);
    let high = wide * between(anatomy, 0.62, 0.75);
    let mut shapes = vec![
        ellipse(0.0, 0.0, wide, high, -100.0),
        ellipse(0.0, 0.0, wide - 0.06, high - 0.06, 55.0),
        ellipse(0.0, -0.02, wide - 0.11, high - 0.12, -80.0),
        ellipse(-wide * 0.4, -0.05, wide * 0.38, high * 0.55, 60.0),
        ellipse(wide * 0.45, -0.08, wide * 0.22, high * 0.35, 50.0),
    ];
    shapes.extend(scattered(
        anatomy,
        14,
        high * 0.6,
        (0.03, 0.12),
        (-20.0, 120.0),
    ));
    shapes.push(ellipse(0.0, high * 0.52, 0.11, 0.1, 350.0));
    shapes.push(ellipse(0.0, high * 0.52, 0.07, 0.06, 160.0));
    let shapes: Vec<Ellipse> = (0..)
        .zip(shapes)
        .map(|(step, shape)| shape.later(place, f64::from(step)))
        .collect();
    let texture = Texture::new(anatomy, 40.0, 3);
    let sigma = between(anatomy, 10.0, 16.0);
    let grain = Field::noise(noise, SIDE, SIDE, 0.25);
    plane(SIDE, SIDE, 12, |column, row| {
        let (x, y) = (column as f64 / 256.0 - 1.0, row as f64 / 256.0 - 1.0);
        let radius = (x * x + y * y).sqrt();
        if radius > 0.98 {
            return 0.0;
        }
        let value = tissue(&shapes, -1000.0, x, y, 0.006);
        let body = value > -500.0;
        let soft = if body {
            6.0 * texture.at(column as f64 + place, row as f64)
        } else {
            0.0
        };
        let sigma = sigma * if body { 1.3 - 0.4 * radius } else { 0.8 };
        1024.0 + value + soft + sigma * grain.at(column, row)
    })
}

/// Axial MR of a head, 320 × 320, 12 bits: the magnitude of a complex signal with noise in both
/// parts (Rician inside, Rayleigh in the background), a smooth bias of the coil, folded brain.
pub(super) fn mr(anatomy: &mut impl Rng, noise: &mut impl Rng, place: f64) -> Vec<Plane> {
    const SIDE: usize = 320;
    let (wide, high) = (between(anatomy, 0.55, 0.65), between(anatomy, 0.7, 0.8));
    let mut shapes = vec![
        ellipse(0.0, 0.0, wide, high, 1300.0),
        ellipse(0.0, 0.0, wide - 0.05, high - 0.05, 120.0),
        ellipse(0.0, 0.0, wide - 0.09, high - 0.09, 620.0),
        ellipse(0.0, 0.0, wide - 0.17, high - 0.18, 840.0),
        ellipse(-0.09, 0.0, 0.06, 0.2, 260.0),
        ellipse(0.09, 0.0, 0.06, 0.2, 260.0),
    ];
    shapes.extend(scattered(anatomy, 8, 0.35, (0.02, 0.07), (500.0, 900.0)));
    let shapes: Vec<Ellipse> = (0..)
        .zip(shapes)
        .map(|(step, shape)| shape.later(place, f64::from(step)))
        .collect();
    let (folds, coil) = (
        Texture::new(anatomy, 22.0, 3),
        Texture::new(anatomy, 260.0, 1),
    );
    let sigma = between(anatomy, 10.0, 18.0);
    plane(SIDE, SIDE, 12, |column, row| {
        let (x, y) = (column as f64 / 160.0 - 1.0, row as f64 / 160.0 - 1.0);
        let value = tissue(&shapes, 0.0, x, y, 0.012);
        let folded = value * (1.0 + 0.12 * folds.at(column as f64 + place, row as f64));
        let biased = folded * (1.0 + 0.25 * coil.at(column as f64, row as f64));
        let (real, imaginary) = normals(noise);
        (biased + sigma * real).hypot(sigma * imaginary)
    })
}

/// Ultrasound of a curved probe, 640 × 480, 8 bits: speckle that multiplies, compressed
/// logarithmically, with shadows and cysts; exactly black outside of the fan but for text and a
/// scale in white.
pub(super) fn ultrasound(anatomy: &mut impl Rng, noise: &mut impl Rng, place: f64) -> Vec<Plane> {
    const WIDTH: usize = 640;
    const HEIGHT: usize = 480;
    let cysts = scattered(anatomy, 5, 0.5, (0.05, 0.2), (0.0, 0.25));
    let tissues = Texture::new(anatomy, 90.0, 3);
    let (real, imaginary) = (
        Field::noise(noise, WIDTH, HEIGHT, 0.45),
        Field::noise(noise, WIDTH, HEIGHT, 0.45),
    );
    let letters: Vec<u32> = (0..24).map(|_| anatomy.next_u32()).collect();
    plane(WIDTH, HEIGHT, 8, |column, row| {
        if text(&letters, column, row) {
            return 255.0;
        }
        let (x, y) = (column as f64 - 320.0, row as f64 + 60.0);
        let (depth, angle) = ((x * x + y * y).sqrt(), x.atan2(y));
        if !(110.0..520.0).contains(&depth) || angle.abs() > 0.62 {
            return 0.0;
        }
        let (u, v) = (x / 240.0, (y - 300.0) / 200.0);
        let cyst = cysts
            .iter()
            .find(|cyst| cyst.distance(u + 0.01 * place.sin(), v) < 1.0)
            .map_or(1.0, |cyst| cyst.value);
        let scatter = (1.0 + 0.6 * tissues.at(x + 500.0 + place, y)).max(0.05) * cyst;
        let speckle = real.at(column, row).hypot(imaginary.at(column, row));
        let attenuation = 1.25 - depth / 650.0;
        let echo = 40.0 * scatter * speckle * attenuation;
        // 50 dB of range in 256 values.
        102.0 * (echo.max(1e-3) / 2.0).log10()
    })
}

/// A line of letters of 5 × 7 dots, each dot two samples wide, and a scale at the right.
fn text(letters: &[u32], column: usize, row: usize) -> bool {
    if column == 620 && (60..440).contains(&row) || column > 612 && column < 620 && row % 40 == 20 {
        return true;
    }
    let (Some(x), Some(y)) = (column.checked_sub(12), row.checked_sub(8)) else {
        return false;
    };
    let (letter, dot) = (x / 14, x % 14 / 2);
    if y >= 14 || dot >= 5 {
        return false;
    }
    letters
        .get(letter)
        .is_some_and(|dots| dots.rotate_left((5 * (y / 2)) as u32) >> dot & 1 == 1)
}

/// A chest radiograph, 1536 × 1920, 12 bits: wide range, ribs and vessels as fine structure, little
/// noise (Poisson-like), borders of the collimator nearly black.
pub(super) fn radiograph(anatomy: &mut impl Rng, noise: &mut impl Rng, place: f64) -> Vec<Plane> {
    const WIDTH: usize = 1536;
    const HEIGHT: usize = 1920;
    let border = between(anatomy, 30.0, 90.0) as usize;
    let (lung, spine) = (between(anatomy, 0.24, 0.3), between(anatomy, 0.07, 0.1));
    let lungs = [-0.4, 0.4].map(|x| ellipse(x, -0.1, lung, 0.55, 0.0));
    let (vessels, broad) = (
        Texture::new(anatomy, 120.0, 6),
        Texture::new(anatomy, 700.0, 2),
    );
    let grain = Field::noise(noise, WIDTH, HEIGHT, 0.15);
    let pitch = between(anatomy, 21.0, 25.0);
    plane(WIDTH, HEIGHT, 12, |column, row| {
        let edge = column
            .min(WIDTH - 1 - column)
            .min(row)
            .min(HEIGHT - 1 - row);
        if edge < border {
            return 12.0 + 3.0 * grain.at(column, row);
        }
        let (x, y) = (column as f64 / 768.0 - 1.0, row as f64 / 960.0 - 1.0);
        let inside = lungs
            .iter()
            .map(|lung| lung.distance(x, y))
            .fold(9.0, f64::min);
        let air = 1.0 / (1.0 + ((inside - 1.0) * 12.0).exp());
        let ribs = (pitch * (y + 0.35 * x * x) + place).sin().max(0.55) * 220.0;
        let body = 2300.0 - 1350.0 * air + ribs * (0.3 + air);
        let column_of_bones = 650.0 * (-(x / spine).powi(2)).exp();
        let (u, v) = (column as f64, row as f64);
        let fine = vessels.at(u, v) * (60.0 + 150.0 * air) + 160.0 * broad.at(u, v);
        let value = body + column_of_bones + fine;
        value + 0.11 * value.max(0.0).sqrt() * grain.at(column, row)
    })
}

/// An endoscopic photograph, 720 × 576, three planes of 8 bits: reddish, smooth, with highlights
/// that saturate, vessels, sensor noise that neighbours share, and black corners.
pub(super) fn colour(anatomy: &mut impl Rng, noise: &mut impl Rng, place: f64) -> Vec<Plane> {
    const WIDTH: usize = 720;
    const HEIGHT: usize = 576;
    let (broad, vessels) = (
        Texture::new(anatomy, 220.0, 2),
        Texture::new(anatomy, 40.0, 4),
    );
    let highlights = scattered(anatomy, 12, 0.7, (0.01, 0.05), (0.6, 1.0));
    let tints = [(205.0, 0.12), (110.0, 0.32), (85.0, 0.3)];
    tints
        .into_iter()
        .flat_map(|(tint, contrast)| {
            let grain = Field::noise(noise, WIDTH, HEIGHT, 0.35);
            plane(WIDTH, HEIGHT, 8, |column, row| {
                let (x, y) = (column as f64 / 288.0 - 1.25, row as f64 / 288.0 - 1.0);
                if x.abs() + y.abs() > 1.7 || x.abs() > 1.2 {
                    return 0.0;
                }
                let (u, v) = (column as f64 + 2.0 * place, row as f64);
                let light = (1.1 - 0.4 * (x * x + y * y)).max(0.05) * (1.0 + 0.25 * broad.at(u, v));
                let blood = 1.0 - contrast * vessels.at(u, v).abs();
                let glint = highlights
                    .iter()
                    .map(|glint| (1.0 - glint.distance(x, y)).max(0.0) * 400.0 * glint.value)
                    .sum::<f64>();
                tint * light * blood + glint + 2.2 * grain.at(column, row)
            })
        })
        .collect()
}
