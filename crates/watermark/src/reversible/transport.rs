//! Which marked errors a host error may become, and how often.
//!
//! Among all ways to change errors of distribution p into errors of distribution q, the engine
//! wants the one with the largest H(q) − λ · (mean square change): the bits gained per sample are
//! H(q) − H(p). For a given q the cheapest change keeps the order of the errors, so the search is
//! over the cumulative distribution of q alone, where the cost falls apart into one convex,
//! piecewise linear term for each boundary between two marked errors.

use super::model::exp;

/// Errors are moved by at most this much.
const FARTHEST: usize = 1024;

/// Boundaries above which a coarser problem gives the first guess.
const WIDE: usize = 96;

/// Passes of successive over-relaxation.
const SWEEPS: usize = 40;

const RELAXATION: f64 = 1.7;

/// Boundaries of the marked distribution, cumulative from 0 to 1: entry j lies below error
/// j (errors counted from the smallest on). `bounds` are those of the host.
pub(super) fn marked_bounds(bounds: &[f64], slope: f64) -> Vec<f64> {
    let mut marked = if bounds.len() > WIDE {
        refined(bounds, slope)
    } else {
        bounds.to_vec()
    };
    let mut cells: Vec<usize> = (0..bounds.len()).collect();
    let shares = Shares::new(slope, bounds.len().min(FARTHEST));
    let free = 1..bounds.len() - 1;
    for sweep in 0..SWEEPS {
        let mut largest = 0.0f64;
        let mut relax = |j: usize| {
            let old = marked[j];
            let (target, kink) = optimum(
                bounds,
                &shares,
                j,
                (marked[j - 1], marked[j + 1]),
                &mut cells[j],
            );
            let mut new = target;
            if !kink {
                // Beyond the optimum, but within the host error where the slope holds.
                let (low, high) = (bounds[cells[j]], bounds[cells[j] + 1]);
                new = old + RELAXATION * (target - old);
                new = new.max(low).min(high);
                if new <= marked[j - 1] || new >= marked[j + 1] {
                    new = target;
                }
            }
            marked[j] = new;
            largest = largest.max((new - old).abs());
        };
        if sweep % 2 == 0 {
            free.clone().for_each(&mut relax);
        } else {
            free.clone().rev().for_each(&mut relax);
        }
        if largest < 1e-9 {
            break;
        }
    }
    marked
}

/// A first guess for a wide distribution: the answer for errors counted by twos, whose steps cost
/// four times as much.
fn refined(bounds: &[f64], slope: f64) -> Vec<f64> {
    let last = bounds.len() - 1;
    let coarse: Vec<f64> = (0..=last)
        .step_by(2)
        .chain((last % 2 == 1).then_some(last))
        .map(|j| bounds[j])
        .collect();
    let marked = marked_bounds(&coarse, 4.0 * slope);
    (0..=last)
        .map(|j| {
            let (left, right) = (j / 2, j.div_ceil(2));
            if left == right {
                return marked[left];
            }
            let share = (bounds[j] - coarse[left]) / (coarse[right] - coarse[left]);
            marked[left] + share * (marked[right] - marked[left])
        })
        .collect()
}

/// Where boundary j is best, its neighbours given, and whether that is between two host errors.
///
/// Moving the boundary through host error x changes the cost by λ(2 (x − j) + 1) for each unit
/// of mass and the entropy by ln(right / left); the first grows by steps, the second falls.
fn optimum(
    bounds: &[f64],
    shares: &Shares,
    j: usize,
    (left, right): (f64, f64),
    cell: &mut usize,
) -> (f64, bool) {
    let last = bounds.len() - 2;
    let mut x = (*cell).min(last);
    // Ends: each step goes the same way, and there are finitely many host errors.
    let mut came_down = false;
    let mut came_up = false;
    loop {
        let best = left + (right - left) * shares.of(x as i64 - j as i64);
        if best > bounds[x + 1] {
            if came_down || x == last {
                *cell = x;
                return (bounds[x + 1].min(right), true);
            }
            came_up = true;
            x += 1;
        } else if best < bounds[x] {
            if came_up || x == 0 {
                *cell = x;
                return (bounds[x].max(left), true);
            }
            came_down = true;
            x -= 1;
        } else {
            *cell = x;
            return (best, false);
        }
    }
}

/// The share of the mass between its neighbours that lies left of a boundary, 1/(1 + e^(λ(2d + 1))),
/// for the distance d of host errors.
struct Shares {
    right: Vec<f64>,
}

impl Shares {
    fn new(slope: f64, farthest: usize) -> Self {
        let unit = exp(slope);
        let mut ratio = unit;
        let right = (0..farthest)
            .map(|_| {
                let share = 1.0 / (1.0 + ratio);
                ratio = (ratio * unit * unit).min(1e300);
                share
            })
            .collect();
        Self { right }
    }

    fn of(&self, distance: i64) -> f64 {
        if distance >= 0 {
            self.right.get(distance as usize).copied().unwrap_or(0.0)
        } else {
            1.0 - self
                .right
                .get((-1 - distance) as usize)
                .copied()
                .unwrap_or(0.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entropy less λ times the cost of the transport in order, of a marked distribution.
    fn value(bounds: &[f64], marked: &[f64], slope: f64) -> f64 {
        let (mut x, mut y, mut at, mut value) = (0, 0, 0.0, 0.0);
        while x + 1 < bounds.len() && y + 1 < marked.len() {
            let end = bounds[x + 1].min(marked[y + 1]);
            value -= slope * (end - at) * (x as f64 - y as f64).powi(2);
            at = end;
            if bounds[x + 1] <= end {
                x += 1;
            } else {
                y += 1;
            }
        }
        for two in marked.windows(2) {
            let mass = two[1] - two[0];
            if mass > 0.0 {
                value -= mass * mass.ln();
            }
        }
        value
    }

    #[test]
    fn no_other_distribution_near_by_is_better() {
        use crate::reversible::model::Model;
        for (scale, shape, slope) in [(10, 2, 3.0), (44, 7, 0.3), (60, 1, 0.1), (76, 5, 0.01)] {
            let model = Model { scale, shape };
            let host = model.probabilities(0.0, model.reach() - 1, model.reach() - 1);
            let mut bounds = vec![0.0];
            for mass in host {
                bounds.push(bounds[bounds.len() - 1] + mass);
            }
            let marked = marked_bounds(&bounds, slope);
            let best = value(&bounds, &marked, slope);
            assert!(best > value(&bounds, &bounds, slope), "nothing was gained");
            for j in 1..marked.len() - 1 {
                for share in [-0.3, 0.3] {
                    let mut other = marked.clone();
                    let room = if share < 0.0 {
                        marked[j] - marked[j - 1]
                    } else {
                        marked[j + 1] - marked[j]
                    };
                    other[j] += share * room;
                    assert!(value(&bounds, &other, slope) < best + 1e-6);
                }
            }
        }
    }
}
