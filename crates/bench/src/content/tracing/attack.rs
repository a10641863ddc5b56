//! What happens to exported pictures before they turn up: display, crop, scale, JPEG, noise, collusion.

use anyhow::{Context, Result};
use harpo_watermark::Plane;
use harpo_watermark::tracing::Picture;
use image::imageops::{self, FilterType};
use image::{GrayImage, ImageFormat};
use jpeg_encoder::{ColorType, Encoder};
use rand_chacha::ChaCha8Rng;
use rand_core::Rng;

/// How samples become grey levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// They stay as they are, with all bits.
    Deep,
    /// 8 bits from the smallest to the largest sample.
    Full,
    /// 8 bits through the window that the file asks for, or one around the brighter half of the samples.
    Window,
}

/// How several exports of one picture become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Collusion {
    Mean,
    Least,
    Most,
    /// Each square of 32 x 32 from one of them.
    Mosaic,
}

/// One thing that is done to a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Attack {
    pub(super) name: &'static str,
    pub(super) view: View,
    /// Colluders, and what they do.
    pub(super) collusion: Option<(usize, Collusion)>,
    /// Noise, in multiples of the picture's own.
    pub(super) noise: f64,
    /// What is left of each side.
    pub(super) crop: f64,
    pub(super) scale: f64,
    pub(super) jpeg: Option<u8>,
}

const PLAIN: Attack = Attack {
    name: "none",
    view: View::Deep,
    collusion: None,
    noise: 0.0,
    crop: 1.0,
    scale: 1.0,
    jpeg: None,
};
const SHOWN: Attack = Attack {
    name: "8 bits, window",
    view: View::Window,
    ..PLAIN
};
/// Sides that leave three quarters of the area.
const THREE_QUARTERS: f64 = 0.866;

const fn jpeg(name: &'static str, quality: u8) -> Attack {
    Attack {
        name,
        jpeg: Some(quality),
        ..SHOWN
    }
}

const fn scale(name: &'static str, scale: f64) -> Attack {
    Attack {
        name,
        scale,
        ..SHOWN
    }
}

const fn collusion(name: &'static str, colluders: usize, how: Collusion) -> Attack {
    Attack {
        name,
        collusion: Some((colluders, how)),
        ..PLAIN
    }
}

/// All attacks, in the order of tables.
pub(super) const ATTACKS: [Attack; 26] = [
    PLAIN,
    Attack {
        name: "8 bits, full range",
        view: View::Full,
        ..PLAIN
    },
    SHOWN,
    jpeg("JPEG 50", 50),
    jpeg("JPEG 25", 25),
    Attack {
        name: "JPEG 50, full range",
        view: View::Full,
        jpeg: Some(50),
        ..PLAIN
    },
    Attack {
        name: "JPEG 25, full range",
        view: View::Full,
        jpeg: Some(25),
        ..PLAIN
    },
    scale("scale 0.5", 0.5),
    scale("scale 0.75", 0.75),
    scale("scale 1.5", 1.5),
    scale("scale 2", 2.0),
    Attack {
        name: "crop, 25 % of the area",
        crop: THREE_QUARTERS,
        ..SHOWN
    },
    Attack {
        name: "crop, 25 % of each side",
        crop: 0.75,
        ..SHOWN
    },
    Attack {
        name: "noise as at acquisition",
        noise: 1.0,
        ..SHOWN
    },
    Attack {
        name: "crop 25 %, JPEG 50",
        crop: THREE_QUARTERS,
        jpeg: Some(50),
        ..SHOWN
    },
    Attack {
        name: "scale 0.5, JPEG 50",
        scale: 0.5,
        jpeg: Some(50),
        ..SHOWN
    },
    collusion("2 colluders, mean", 2, Collusion::Mean),
    collusion("2 colluders, mosaic", 2, Collusion::Mosaic),
    collusion("3 colluders, mean", 3, Collusion::Mean),
    collusion("3 colluders, least", 3, Collusion::Least),
    collusion("3 colluders, most", 3, Collusion::Most),
    collusion("3 colluders, mosaic", 3, Collusion::Mosaic),
    Attack {
        name: "3 colluders, mean, JPEG 50",
        collusion: Some((3, Collusion::Mean)),
        jpeg: Some(50),
        ..SHOWN
    },
    collusion("5 colluders, mean", 5, Collusion::Mean),
    collusion("5 colluders, least", 5, Collusion::Least),
    collusion("5 colluders, mosaic", 5, Collusion::Mosaic),
];

/// Stored values that a view shows as black and white.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Levels {
    pub(super) black: f64,
    pub(super) white: f64,
}

impl Attack {
    pub(super) fn colluders(&self) -> usize {
        self.collusion.map_or(1, |(colluders, _)| colluders)
    }

    /// What is left of the exports of one image. `window` is what [`View::Window`] shows, `sigma` the
    /// standard deviation of the original's noise.
    pub(super) fn apply(
        &self,
        exports: &[Plane],
        window: Levels,
        sigma: f64,
        rng: &mut ChaCha8Rng,
    ) -> Result<Picture> {
        let first = exports.first().context("no export")?;
        let (width, height) = (first.width(), first.height());
        let mut samples = match self.collusion {
            Some((_, how)) => collude(exports, how, rng),
            None => first.samples().iter().map(|v| f64::from(*v)).collect(),
        };
        if self.noise > 0.0 {
            for sample in &mut samples {
                *sample += self.noise * sigma * normal(rng);
            }
        }
        let levels = match self.view {
            View::Deep => {
                let deep = samples.iter().map(|v| v.round() as f32).collect();
                return Ok(Picture::new(width, height, deep)?);
            }
            View::Full => Levels {
                black: samples.iter().copied().fold(f64::INFINITY, f64::min),
                white: samples.iter().copied().fold(0.0, f64::max),
            },
            View::Window => window,
        };
        let range = (levels.white - levels.black).max(1.0);
        let grey = samples.iter().map(|v| {
            (255.0 * (v - levels.black) / range)
                .round()
                .clamp(0.0, 255.0) as u8
        });
        let shown = GrayImage::from_raw(width as u32, height as u32, grey.collect());
        let shown = self.cropped(shown.context("a picture's size")?, rng);
        let seen = self.compressed(self.resized(shown))?;
        let (width, height) = (seen.width() as usize, seen.height() as usize);
        Ok(Picture::from_bytes(width, height, seen.as_raw())?)
    }

    fn cropped(&self, shown: GrayImage, rng: &mut ChaCha8Rng) -> GrayImage {
        if self.crop >= 1.0 {
            return shown;
        }
        let side = |length: u32| (f64::from(length) * self.crop).round() as u32;
        let (width, height) = (side(shown.width()), side(shown.height()));
        let x = rng.next_u32() % (shown.width() - width + 1);
        let y = rng.next_u32() % (shown.height() - height + 1);
        imageops::crop_imm(&shown, x, y, width, height).to_image()
    }

    fn resized(&self, shown: GrayImage) -> GrayImage {
        if self.scale == 1.0 {
            return shown;
        }
        let side = |length: u32| (f64::from(length) * self.scale).round() as u32;
        let (width, height) = (side(shown.width()), side(shown.height()));
        imageops::resize(&shown, width, height, FilterType::CatmullRom)
    }

    fn compressed(&self, shown: GrayImage) -> Result<GrayImage> {
        let Some(quality) = self.jpeg else {
            return Ok(shown);
        };
        let mut file = Vec::new();
        Encoder::new(&mut file, quality).encode(
            shown.as_raw(),
            u16::try_from(shown.width())?,
            u16::try_from(shown.height())?,
            ColorType::Luma,
        )?;
        Ok(image::load_from_memory_with_format(&file, ImageFormat::Jpeg)?.into_luma8())
    }
}

fn collude(exports: &[Plane], how: Collusion, rng: &mut ChaCha8Rng) -> Vec<f64> {
    const SQUARE: usize = 32;
    let width = exports[0].width();
    let columns = width.div_ceil(SQUARE);
    let squares = columns * exports[0].height().div_ceil(SQUARE);
    let whose: Vec<usize> = (0..squares)
        .map(|_| rng.next_u32() as usize % exports.len())
        .collect();
    (0..exports[0].samples().len())
        .map(|at| {
            let values = exports.iter().map(|plane| f64::from(plane.samples()[at]));
            match how {
                Collusion::Mean => values.sum::<f64>() / exports.len() as f64,
                Collusion::Least => values.fold(f64::INFINITY, f64::min),
                Collusion::Most => values.fold(0.0, f64::max),
                Collusion::Mosaic => {
                    let square = at / width / SQUARE * columns + at % width / SQUARE;
                    f64::from(exports[whose[square]].samples()[at])
                }
            }
        })
        .collect()
}

/// The sum of twelve uniform numbers, less six: of mean 0 and variance 1, and as good as normal here.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let uniform = |word: u32| f64::from(word) / f64::from(u32::MAX);
    (0..12).map(|_| uniform(rng.next_u32())).sum::<f64>() - 6.0
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng;

    use super::*;

    fn plane(value: impl Fn(usize) -> u16) -> Plane {
        Plane::new(96, 64, 12, (0..96 * 64).map(value).collect()).unwrap()
    }

    fn run(attack: &Attack, exports: &[Plane]) -> Picture {
        let window = Levels {
            black: 1000.0,
            white: 1510.0,
        };
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        attack.apply(exports, window, 10.0, &mut rng).unwrap()
    }

    #[test]
    fn names_are_unique_and_sizes_follow() {
        let exports: Vec<Plane> = (0..5)
            .map(|k| plane(|i| (1000 + i % 300 + k) as u16))
            .collect();
        for (index, attack) in ATTACKS.iter().enumerate() {
            assert!(
                ATTACKS[..index]
                    .iter()
                    .all(|other| other.name != attack.name)
            );
            let seen = run(attack, &exports[..attack.colluders()]);
            let width = (96.0 * attack.crop).round() * attack.scale;
            assert!(
                (seen.width() as f64 - width).abs() <= 1.0,
                "{}",
                attack.name
            );
            assert_eq!(seen.samples().len(), seen.width() * seen.height());
        }
    }

    #[test]
    fn a_window_shows_black_and_white_where_it_says() {
        let shown = run(&SHOWN, &[plane(|i| (990 + 530 * (i % 2)) as u16)]);
        assert_eq!(&shown.samples()[..2], [0.0, 255.0]);
        let middle = run(&SHOWN, &[plane(|_| 1254)]);
        assert_eq!(middle.samples()[0], 127.0);
    }

    #[test]
    fn colluders_do_what_they_say() {
        let exports = [plane(|_| 1000), plane(|_| 1010), plane(|_| 1023)];
        let values = |how| run(&collusion("", 3, how), &exports).samples().to_vec();
        assert!(values(Collusion::Mean).iter().all(|v| *v == 1011.0));
        assert!(values(Collusion::Least).iter().all(|v| *v == 1000.0));
        assert!(values(Collusion::Most).iter().all(|v| *v == 1023.0));
        let mosaic = values(Collusion::Mosaic);
        assert!(
            [1000.0, 1010.0, 1023.0]
                .iter()
                .any(|v| mosaic.contains(v) && mosaic[0] != *v)
        );
    }

    #[test]
    fn noise_has_the_deviation_that_was_asked_for() {
        let attack = Attack {
            noise: 2.0,
            ..PLAIN
        };
        let noisy = run(&attack, &[plane(|_| 2000)]);
        let squares: f32 = noisy.samples().iter().map(|v| (v - 2000.0).powi(2)).sum();
        let deviation = (squares / noisy.samples().len() as f32).sqrt();
        assert!((18.0..22.0).contains(&deviation), "{deviation}");
    }
}
