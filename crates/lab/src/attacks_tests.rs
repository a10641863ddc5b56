use std::collections::HashSet;

use super::all;
use crate::game::Game;

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
