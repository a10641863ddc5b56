use std::collections::HashSet;

use super::{Knowledge, Outside, Practice, Seen, all};
use crate::game::synthetic::habits;
use crate::game::{Game, Options, draw, play};
use crate::statistics::roc;

#[test]
fn every_attack_has_a_name_a_sentence_and_a_game() {
    let attacks = all();
    let names: HashSet<&str> = attacks.iter().map(|attack| attack.name()).collect();
    assert_eq!(names.len(), attacks.len());
    for attack in &attacks {
        assert!(!attack.about().is_empty());
        assert!(
            Game::ALL.iter().any(|&game| attack.plays(game)),
            "{}",
            attack.name()
        );
    }
    for game in Game::ALL {
        assert!(
            attacks.iter().filter(|attack| attack.plays(game)).count() > 3,
            "{game:?}"
        );
    }
}

/// Attacks that read habits, where hospitals have some. Also without what [`play`] learns of a score's direction: a sign
/// that is the wrong way round is found.
#[test]
fn habits_of_hospitals_are_read_by_each_attack_alone() {
    let (practice, attacked) = (habits(70), habits(71));
    let knowledge = Knowledge::of(&practice);
    let outside = [Outside::of(&practice), Outside::of(&attacked)];
    let [seen, here] = [(&practice, &outside[0]), (&attacked, &outside[1])].map(|(of, outside)| {
        let view = &of.view;
        Seen { view, outside }
    });
    for (name, game) in [
        ("hour profile", Game::RetrievalOrigin),
        ("statistical disclosure", Game::RetrievalOrigin),
        ("least squares disclosure", Game::RetrievalOrigin),
        ("likelihood ratio", Game::UploadOrigin),
    ] {
        let options = Options {
            games: vec![game],
            attacks: vec![name.to_owned()],
            pairs: 1000,
            practice_pairs: 1000,
            identifications: 0,
            ..Options::default()
        };
        let outcomes = play(&practice, &attacked, &options);
        assert_eq!(outcomes.len(), 1, "{name}");
        let found = &outcomes[0];
        assert!(found.auc > 0.85 && found.ci_low > 0.75, "{found:?}");

        let attack = all()
            .into_iter()
            .find(|attack| attack.name() == name)
            .unwrap();
        let lessons = &draw(&practice, &[game], 500, 0, 60, 1)[0];
        let learned = Practice {
            seen,
            trials: &lessons.trials,
            answers: &lessons.answers,
            knowledge: &knowledge,
        };
        let exam = &draw(&attacked, &[game], 500, 0, 60, 2)[0];
        let scores = attack.prepare(game, &learned, here).scores(&exam.trials);
        let own: Vec<u32> = (0..scores.len() as u32).collect();
        let raw = roc(&scores, &exam.answers, &[&own]).unwrap();
        assert!(raw.ci_low > 0.75, "{name}: {raw:?}");
    }
}
