//! Ways to alter a marked image.

use anyhow::Result;
use harpo_watermark::Plane;
use rand_core::Rng;

/// Attempts to find a place where the alteration changes anything.
const ATTEMPTS: usize = 32;

/// Planes of an image, to be altered.
#[derive(Clone)]
pub(super) struct Canvas {
    width: usize,
    height: usize,
    depth: u32,
    planes: Vec<Vec<u16>>,
}

impl Canvas {
    pub(super) fn of(planes: &[Plane]) -> Self {
        Canvas {
            width: planes[0].width(),
            height: planes[0].height(),
            depth: planes[0].depth(),
            planes: planes
                .iter()
                .map(|plane| plane.samples().to_vec())
                .collect(),
        }
    }

    pub(super) fn into_planes(self) -> Result<Vec<Plane>> {
        let planes = self.planes.into_iter();
        let planes = planes.map(|samples| Plane::new(self.width, self.height, self.depth, samples));
        Ok(planes.collect::<Result<_, _>>()?)
    }

    /// A square of `side` samples, less where the image ends, at a random place.
    fn place(&self, side: usize, random: &mut impl Rng) -> Part {
        let (width, height) = (side.min(self.width), side.min(self.height));
        Part {
            x: below(random, self.width - width + 1),
            y: below(random, self.height - height + 1),
            width,
            height,
        }
    }

    /// Sets every sample of a part, of all planes, by its plane and position.
    fn set(&mut self, part: Part, value: impl Fn(usize, usize, usize) -> u16) {
        for (number, plane) in self.planes.iter_mut().enumerate() {
            for (x, y) in part.positions() {
                plane[y * self.width + x] = value(number, x, y);
            }
        }
    }

    /// Mean of each plane over positions for which `within` holds.
    fn means(&self, part: Part, within: impl Fn(usize, usize) -> bool) -> Vec<u16> {
        let mean = |plane: &Vec<u16>| {
            let values = part.positions().filter(|(x, y)| within(*x, *y));
            let (sum, count) = values.fold((0u64, 0), |(sum, count), (x, y)| {
                (sum + u64::from(plane[y * self.width + x]), count + 1)
            });
            (sum / count.max(1)) as u16
        };
        self.planes.iter().map(mean).collect()
    }
}

#[derive(Clone, Copy)]
struct Part {
    x: usize,
    y: usize,
    width: usize,
    height: usize,
}

impl Part {
    fn positions(self) -> impl Iterator<Item = (usize, usize)> {
        (self.y..self.y + self.height)
            .flat_map(move |y| (self.x..self.x + self.width).map(move |x| (x, y)))
    }

    fn overlaps(self, other: Part) -> bool {
        self.x < other.x + other.width
            && other.x < self.x + self.width
            && self.y < other.y + other.height
            && other.y < self.y + self.height
    }
}

fn below(random: &mut impl Rng, count: usize) -> usize {
    ((u64::from(random.next_u32()) * count as u64) >> 32) as usize
}

/// What is done to an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alteration {
    Sample,
    Noise,
    CopyMove,
    Collage,
    Swap,
    Inpainting,
    Lesion,
}

impl Alteration {
    pub(super) const ALL: [Alteration; 7] = [
        Alteration::Sample,
        Alteration::Noise,
        Alteration::CopyMove,
        Alteration::Collage,
        Alteration::Swap,
        Alteration::Inpainting,
        Alteration::Lesion,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Alteration::Sample => "one sample by one",
            Alteration::Noise => "a block of noise",
            Alteration::CopyMove => "a block copied within the image",
            Alteration::Collage => "a block of another marked image at its own place",
            Alteration::Swap => "two blocks swapped",
            Alteration::Inpainting => "a block painted over with its mean",
            Alteration::Lesion => "a disk replaced by its surroundings",
        }
    }

    /// Alters the canvas at a random place. `other` is another image of the same shape and key.
    /// False if no place was found where anything changes.
    pub(super) fn apply(self, canvas: &mut Canvas, other: &[Plane], random: &mut impl Rng) -> bool {
        for _ in 0..ATTEMPTS {
            let mut altered = canvas.clone();
            self.once(&mut altered, other, random);
            if altered.planes != canvas.planes {
                *canvas = altered;
                return true;
            }
        }
        false
    }

    fn once(self, canvas: &mut Canvas, other: &[Plane], random: &mut impl Rng) {
        let part = canvas.place(16, random);
        match self {
            Alteration::Sample => sample(canvas, random),
            Alteration::Noise => {
                let seed = random.next_u32();
                let max = u16::MAX >> (16 - canvas.depth);
                canvas.set(part, |plane, x, y| scrambled(seed, plane, x, y) & max);
            }
            Alteration::CopyMove => {
                let from = canvas.place(16, random);
                let old = canvas.clone();
                paste(canvas, part, &old, from);
            }
            Alteration::Collage => paste(canvas, part, &Canvas::of(other), part),
            Alteration::Swap => {
                let from = canvas.place(16, random);
                if !from.overlaps(part) {
                    let old = canvas.clone();
                    paste(canvas, part, &old, from);
                    paste(canvas, from, &old, part);
                }
            }
            Alteration::Inpainting => {
                let means = canvas.means(part, |_, _| true);
                canvas.set(part, |plane, _, _| means[plane]);
            }
            Alteration::Lesion => lesion(canvas, random),
        }
    }
}

/// One sample of one plane, up or down by one.
fn sample(canvas: &mut Canvas, random: &mut impl Rng) {
    let plane = below(random, canvas.planes.len());
    let index = below(random, canvas.width * canvas.height);
    let max = u16::MAX >> (16 - canvas.depth);
    let value = &mut canvas.planes[plane][index];
    *value = match *value {
        0 => 1,
        value if value == max || random.next_u32() & 1 == 1 => value - 1,
        value => value + 1,
    };
}

/// Copies a part of one image to a part of the same size of another.
fn paste(canvas: &mut Canvas, to: Part, source: &Canvas, from: Part) {
    let width = source.width;
    canvas.set(to, |plane, x, y| {
        source.planes[plane][(y - to.y + from.y) * width + (x - to.x + from.x)]
    });
}

/// Removes what a disk of 6 to 20 samples' radius shows: its samples get the mean of a ring around
/// it.
fn lesion(canvas: &mut Canvas, random: &mut impl Rng) {
    let radius = 6 + below(random, 15);
    let part = canvas.place(2 * radius + 5, random);
    let centre = (part.x + part.width / 2, part.y + part.height / 2);
    let inside = move |x: usize, y: usize| {
        x.abs_diff(centre.0).pow(2) + y.abs_diff(centre.1).pow(2) <= radius * radius
    };
    let means = canvas.means(part, |x, y| !inside(x, y));
    let old = canvas.clone();
    canvas.set(part, |plane, x, y| {
        if inside(x, y) {
            means[plane]
        } else {
            old.planes[plane][y * old.width + x]
        }
    });
}

/// A number that looks random, of a position.
fn scrambled(seed: u32, plane: usize, x: usize, y: usize) -> u16 {
    let mixed = (u64::from(seed) << 32 | (plane << 28 | y << 14 | x) as u64)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 40) as u16
}
