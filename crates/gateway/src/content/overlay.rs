//! Pictures for people: a frame as a screen shows it, with what was found drawn over it.

use std::io::{self, Cursor};

use harpo_watermark::Plane;
use image::{ImageFormat, Rgb, RgbImage};
use serde::Serialize;

use super::picture::Picture;

/// A rectangle of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rect {
    /// First column.
    pub x: usize,
    /// First row.
    pub y: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// A frame of `picture` with 8 bits for each colour: through its window, or from the least to the
/// largest sample where it has none. `planes` are those of the frame, one or three.
#[must_use]
pub fn shown(picture: &Picture, planes: &[Plane]) -> RgbImage {
    let width = planes.first().map_or(0, Plane::width);
    let height = planes.first().map_or(0, Plane::height);
    let bytes: Vec<Vec<u8>> = match planes {
        [red, green, blue] if picture.photometric == "RGB" => {
            [red, green, blue].map(top_bits).into_iter().collect()
        }
        // Of other colour spaces the first plane is the brightness.
        [first, ..] => vec![grey(picture, first)],
        [] => Vec::new(),
    };
    let at = |index: usize| match bytes.as_slice() {
        [red, green, blue] => Rgb([red[index], green[index], blue[index]]),
        [grey, ..] => Rgb([grey[index]; 3]),
        [] => Rgb([0; 3]),
    };
    // Sides are at most those of DICOM, which fit.
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        at(y as usize * width + x as usize)
    })
}

/// Tints rectangles red, and draws a line around those that have no neighbour there.
pub fn accuse(image: &mut RgbImage, rects: &[Rect]) {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let mut hit = vec![false; width * height];
    for rect in rects {
        for y in rect.y..(rect.y + rect.height).min(height) {
            let row = y * width;
            let to = (rect.x + rect.width).min(width);
            if let Some(cells) = hit.get_mut(row + rect.x.min(to)..row + to) {
                cells.fill(true);
            }
        }
    }
    let outside = |x: isize, y: isize| {
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else {
            return true;
        };
        x >= width || y >= height || !hit[y * width + x]
    };
    for (x, y, pixel) in image.enumerate_pixels_mut() {
        let (x, y) = (x as isize, y as isize);
        if outside(x, y) {
            continue;
        }
        let edge = [(x - 1, y), (x + 1, y), (x, y - 1), (x, y + 1)];
        if edge.into_iter().any(|(x, y)| outside(x, y)) {
            *pixel = Rgb([255, 0, 0]);
        } else {
            let Rgb([red, green, blue]) = *pixel;
            *pixel = Rgb([red / 2 + 128, green / 2, blue / 2]);
        }
    }
}

/// The picture as a PNG file.
///
/// # Errors
/// If it is empty.
pub fn png(image: &RgbImage) -> io::Result<Vec<u8>> {
    let mut file = Cursor::new(Vec::new());
    image
        .write_to(&mut file, ImageFormat::Png)
        .map_err(io::Error::other)?;
    Ok(file.into_inner())
}

fn top_bits(plane: &Plane) -> Vec<u8> {
    let shift = plane.depth() - 8;
    plane.samples().iter().map(|s| (s >> shift) as u8).collect()
}

/// As PS3.3 C.11.2.1.2 shows it.
fn grey(picture: &Picture, plane: &Plane) -> Vec<u8> {
    let zero = if picture.signed {
        f64::from(1u32 << (plane.depth() - 1))
    } else {
        0.0
    };
    let (slope, intercept) = picture.rescale.map_or((1.0, 0.0), |pair| (pair.0, pair.1));
    let value = |sample: u16| (f64::from(sample) - zero) * slope + intercept;
    let (centre, width) = match picture.window {
        Some(pair) => (pair.0, pair.1),
        None => {
            let values = plane.samples().iter().map(|s| value(*s));
            let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), v| {
                (low.min(v), high.max(v))
            });
            ((low + high) / 2.0 + 0.5, high - low + 1.0)
        }
    };
    let inverted = picture.photometric == "MONOCHROME1";
    let span = (width - 1.0).max(1e-9);
    plane
        .samples()
        .iter()
        .map(|sample| {
            let share = (value(*sample) - (centre - 0.5)) / span + 0.5;
            let byte = (share.clamp(0.0, 1.0) * 255.0).round() as u8;
            if inverted { 255 - byte } else { byte }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Picture {
        Picture {
            rows: 2,
            columns: 2,
            samples: 1,
            planar: false,
            frames: 1,
            bits_allocated: 16,
            bits_stored: 12,
            high_bit: 11,
            signed: true,
            big_endian: false,
            photometric: "MONOCHROME2".into(),
            modality: "CT".into(),
            sop_instance_uid: "1.2".into(),
            window: Some(super::super::picture::Pair(0.0, 256.0)),
            rescale: None,
            offset: 0,
            length: 8,
        }
    }

    fn greys(picture: &Picture, samples: [u16; 4]) -> Vec<u8> {
        let plane = Plane::new(2, 2, 12, samples.to_vec()).unwrap();
        let image = shown(picture, &[plane]);
        image.pixels().map(|p| p.0[0]).collect()
    }

    #[test]
    fn the_window_makes_greys() {
        // Values 0, -128, 127 and 2047 in offset binary.
        let samples = [2048, 1920, 2175, 4095];
        assert_eq!(greys(&picture(), samples), [128, 0, 255, 255]);
        let inverted = Picture {
            photometric: "MONOCHROME1".into(),
            ..picture()
        };
        assert_eq!(greys(&inverted, samples), [127, 255, 0, 0]);
        let bare = Picture {
            window: None,
            ..picture()
        };
        assert_eq!(greys(&bare, [10, 20, 30, 10]), [0, 128, 255, 0]);
        assert_eq!(
            greys(&bare, [7; 4]),
            [0; 4].map(|_| greys(&bare, [7; 4])[0])
        );
    }

    #[test]
    fn what_was_found_is_red_with_a_line_around_it() {
        let mut image = RgbImage::from_pixel(8, 6, Rgb([100; 3]));
        // Two neighbours, and one that lies partly outside.
        let rect = |x, y, width, height| Rect {
            x,
            y,
            width,
            height,
        };
        accuse(
            &mut image,
            &[rect(0, 0, 3, 4), rect(3, 0, 2, 4), rect(7, 5, 16, 16)],
        );
        assert_eq!(image.get_pixel(2, 1).0, [178, 50, 50]);
        assert_eq!(image.get_pixel(3, 1).0, [178, 50, 50]);
        assert_eq!(image.get_pixel(4, 1).0, [255, 0, 0]);
        assert_eq!(image.get_pixel(5, 1).0, [100; 3]);
        assert_eq!(image.get_pixel(7, 5).0, [255, 0, 0]);
        accuse(
            &mut image,
            &[rect(100, 100, 1, 1), rect(usize::MAX - 1, 0, 1, 1)],
        );
        let file = png(&image).unwrap();
        assert_eq!(image::load_from_memory(&file).unwrap().to_rgb8(), image);
    }
}
