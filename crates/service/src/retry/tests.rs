use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::*;

#[test]
fn pauses_double_up_to_the_longest_and_vary() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let backoff = Backoff {
        first: Duration::from_millis(100),
        longest: Duration::from_secs(1),
    };
    for (failures, full) in [
        (1, 100),
        (2, 200),
        (3, 400),
        (4, 800),
        (5, 1000),
        (99, 1000),
    ] {
        let full = Duration::from_millis(full);
        let pauses: Vec<_> = (0..50).map(|_| backoff.pause(failures, &mut rng)).collect();
        assert!(pauses.iter().all(|pause| (full / 2..=full).contains(pause)));
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
    }
}
