//! Least squares disclosure: the mix of hospitals that best explains how often each sign is seen, hour by hour
//! (Pérez-González and Troncoso 2012).

use super::{Attack, Practice, Scorer, Seen, by};
use crate::attacks_knowledge::{WEEK_HOURS, Week};
use crate::attacks_signs::Signs;
use crate::game::Game;

pub(super) fn attack() -> Box<dyn Attack> {
    Box::new(LeastSquaresDisclosure)
}

struct LeastSquaresDisclosure;

/// How strongly shares are drawn to zero, against the sum of squares of a habit: habits are alike.
const RIDGE: f64 = 1e-3;

impl Attack for LeastSquaresDisclosure {
    fn name(&self) -> &'static str {
        "least squares disclosure"
    }

    fn about(&self) -> &'static str {
        "the mix of hospitals whose habits best explain, by least squares, how often a sign is seen in each hour"
    }

    fn plays(&self, game: Game) -> bool {
        game.asks_origin()
    }

    fn prepare<'a>(
        &self,
        game: Game,
        practice: &Practice<'_>,
        seen: Seen<'a>,
    ) -> Box<dyn Scorer + 'a> {
        let signs = Signs::of(game, seen);
        let habits = match game.numeral() {
            "iii" => &practice.knowledge.deposits,
            _ => &practice.knowledge.consults,
        };
        let table: Vec<Vec<f64>> =
            signs.weeks.iter().map(|week| explain(habits, week)).collect();
        by(move |trial| {
            let part = signs.asked(trial).and_then(|(sign, of)| table.get(sign)?.get(of));
            part.copied().unwrap_or(f64::NAN)
        })
    }
}

/// How much each habit has of a sign's hours: the ridge regression of the sign's counts on the habits, as shares.
fn explain(habits: &[Week], seen: &Week) -> Vec<f64> {
    let count: f64 = seen.iter().sum();
    let dot = |a: &Week, b: &Week| -> f64 { a.iter().zip(b).map(|(x, y)| x * y).sum() };
    let size = habits.len();
    let mut rows: Vec<Vec<f64>> = habits
        .iter()
        .map(|habit| {
            let mut row: Vec<f64> = habits.iter().map(|other| dot(habit, other)).collect();
            row.push(dot(habit, seen) / count.max(1.0));
            row
        })
        .collect();
    for (number, row) in rows.iter_mut().enumerate() {
        row[number] += RIDGE / WEEK_HOURS as f64;
    }
    // Gauss without exchange: the matrix is symmetric and positive definite.
    for pivot in 0..size {
        let (above, below) = rows.split_at_mut(pivot + 1);
        let from = &above[pivot];
        for row in below {
            let factor = row[pivot] / from[pivot];
            for (value, of) in row[pivot..].iter_mut().zip(&from[pivot..]) {
                *value -= factor * of;
            }
        }
    }
    let mut parts = vec![0.0; size];
    for row in (0..size).rev() {
        let known: f64 = (row + 1..size).map(|column| rows[row][column] * parts[column]).sum();
        parts[row] = (rows[row][size] - known) / rows[row][row];
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::{WEEK_HOURS, explain};

    #[test]
    fn a_mix_of_two_habits_is_found() {
        let habit = |every: usize, at: usize| {
            let mut week = [0.1; WEEK_HOURS];
            week.iter_mut().skip(at).step_by(every).for_each(|hour| *hour += 1.0);
            let all: f64 = week.iter().sum();
            week.map(|hour| hour / all)
        };
        let habits = [habit(24, 8), habit(24, 20), habit(7, 3)];
        let seen = std::array::from_fn(|hour| 300.0 * habits[0][hour] + 100.0 * habits[2][hour]);
        let parts = explain(&habits, &seen);
        for (part, expected) in parts.iter().zip([0.75, 0.0, 0.25]) {
            assert!((part - expected).abs() < 0.02, "{parts:?}");
        }
    }
}
