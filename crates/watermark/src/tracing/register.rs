//! Registration: which image of a study a leaked picture shows, at which scale, and which part
//! (docs/tracing-mark.md 6).

mod coarse;
mod fft;
mod refine;

use super::picture::{Picture, Placement};
use crate::Plane;
use coarse::{Features, Guess};
use refine::{Level, refine};

/// Longest side at which guesses are compared first, refined next, and refined last.
const SIDES: [usize; 3] = [160, 400, 1100];
/// Guesses that are refined at each of these.
const KEPT: [usize; 3] = [10, 4, 2];
/// A whole picture that explains this much needs no search.
const EVIDENT: f64 = 0.98;
/// What explains less than this is no registration.
const LEAST: f64 = 0.15;

/// Where a leaked picture lies in an original.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Registration {
    /// The place.
    pub placement: Placement,
    /// The part of the leaked picture's variance that is a function of the original's values there
    /// (the correlation ratio), 0 to 1.
    pub explained: f64,
}

/// Finds `leaked` in `original`: scales of 0.45 to 2.2 of the original's, the same along both axes
/// within a few per cent, and any part of the original; or the whole original at any size.
pub fn register(original: &Plane, leaked: &Picture) -> Option<Registration> {
    locate(std::slice::from_ref(original), leaked).map(|(_, registration)| registration)
}

/// Which of `originals` the leaked picture shows, by index, and where.
///
/// What is found explains the picture best; the accusation that follows does not rest on it being
/// right, only its success does.
pub fn locate(originals: &[Plane], leaked: &Picture) -> Option<(usize, Registration)> {
    let levels = SIDES.map(|side| Level::of_picture(leaked, side));
    let whole = |image: usize| Guess {
        image,
        placement: Placement::whole(&originals[image], leaked),
    };
    let smallest: Vec<Level> = originals
        .iter()
        .map(|plane| Level::of_plane(plane, 2 * SIDES[0]))
        .collect();
    // As it stands first: most leaks show a whole image.
    let mut guesses: Vec<(f64, Guess)> = (0..originals.len())
        .map(whole)
        .map(|guess| {
            (
                levels[0].explained(&smallest[guess.image], &guess.placement),
                guess,
            )
        })
        .collect();
    sort(&mut guesses);
    guesses.truncate(KEPT[0]);
    let found = narrow(originals, leaked, &levels, &smallest, guesses.clone());
    if found.is_some_and(|(explained, _)| explained >= EVIDENT) {
        return accept(found);
    }
    let features: Vec<Features> = originals.iter().map(Features::of_plane).collect();
    let mut others = coarse::search(&features, originals, leaked, KEPT[0]);
    others.dedup_by(|a, b| a == b);
    let others = others.into_iter().map(|guess| (0.0, guess)).collect();
    let searched = narrow(originals, leaked, &levels, &smallest, others);
    let better = |a: &(f64, Guess), b: &(f64, Guess)| a.0.total_cmp(&b.0);
    accept(found.into_iter().chain(searched).max_by(better))
}

fn accept(found: Option<(f64, Guess)>) -> Option<(usize, Registration)> {
    let (explained, guess) = found.filter(|(explained, _)| *explained >= LEAST)?;
    Some((
        guess.image,
        Registration {
            placement: guess.placement,
            explained,
        },
    ))
}

/// Refines guesses at one resolution after the other, fewer each time.
fn narrow(
    originals: &[Plane],
    leaked: &Picture,
    levels: &[Level; 3],
    smallest: &[Level],
    mut guesses: Vec<(f64, Guess)>,
) -> Option<(f64, Guess)> {
    for (step, level) in levels.iter().enumerate() {
        for (explained, guess) in &mut guesses {
            let original;
            let reduced = if step == 0 {
                &smallest[guess.image]
            } else {
                original = Level::of_plane(&originals[guess.image], 2 * SIDES[step]);
                &original
            };
            (*explained, guess.placement) = refine(level, reduced, guess.placement);
            if step + 1 == levels.len() {
                snap(
                    level,
                    reduced,
                    leaked,
                    &originals[guess.image],
                    explained,
                    &mut guess.placement,
                );
            }
        }
        sort(&mut guesses);
        if let Some(kept) = KEPT.get(step + 1) {
            guesses.truncate(*kept);
        }
    }
    guesses.into_iter().next()
}

fn sort(guesses: &mut [(f64, Guess)]) {
    guesses.sort_by(|a, b| b.0.total_cmp(&a.0));
}

/// Prefers the whole picture, or whole pixels at the original's own scale, where they explain as much:
/// then nothing is interpolated.
fn snap(
    level: &Level,
    reduced: &Level,
    leaked: &Picture,
    original: &Plane,
    explained: &mut f64,
    placement: &mut Placement,
) {
    let exact = Placement {
        scale_x: 1.0,
        scale_y: 1.0,
        left: placement.left.round(),
        top: placement.top.round(),
    };
    let near = |other: &Placement| {
        let width = leaked.width() as f64;
        let height = leaked.height() as f64;
        (other.left - placement.left).abs() < 1.0
            && (other.top - placement.top).abs() < 1.0
            && ((other.scale_x - placement.scale_x) * width).abs() < 1.5
            && ((other.scale_y - placement.scale_y) * height).abs() < 1.5
    };
    for candidate in [Placement::whole(original, leaked), exact] {
        if near(&candidate) {
            let value = level.explained(reduced, &candidate);
            if value >= *explained - 0.002 * (1.0 - *explained) {
                (*explained, *placement) = (value.max(*explained), candidate);
                return;
            }
        }
    }
}
