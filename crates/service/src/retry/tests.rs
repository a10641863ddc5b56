use http::StatusCode;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::clock::Timestamp;

#[test]
fn pauses_double_up_to_the_longest_and_vary() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let backoff = Backoff {
        first: Duration::from_millis(100),
        longest: Duration::from_secs(1),
        attempts: 9,
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

/// Runs the operation in the background, on a clock that is moved whenever it sleeps; returns what
/// came of it, the attempts made and the time that passed.
async fn run(
    backoff: Backoff,
    succeed_after: u32,
    verdict: Verdict,
) -> (Result<u32, u32>, Duration) {
    let start = Timestamp::from_secs(1_000);
    let clock = Clock::manual(start);
    let task = tokio::spawn({
        let clock = clock.clone();
        async move {
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            let operation = async |failures: u32| {
                tokio::task::yield_now().await;
                if failures == succeed_after {
                    Ok(failures)
                } else {
                    Err(failures)
                }
            };
            retry(&clock, &mut rng, &backoff, |_| verdict, operation).await
        }
    });
    while !task.is_finished() {
        clock.advance(Duration::from_millis(1));
        tokio::task::yield_now().await;
    }
    (task.await.unwrap(), clock.now().since(start))
}

#[tokio::test]
async fn an_operation_is_tried_until_it_succeeds_or_the_attempts_are_used_up() {
    let backoff = Backoff {
        first: Duration::from_millis(100),
        longest: Duration::from_secs(1),
        attempts: 4,
    };
    let (result, took) = run(backoff.clone(), 2, Verdict::Again).await;
    assert_eq!(result, Ok(2));
    assert!(took >= Duration::from_millis(50 + 100), "{took:?}");
    let (result, _) = run(backoff.clone(), 99, Verdict::Again).await;
    assert_eq!(result, Err(3));
    let (result, _) = run(backoff.clone(), 99, Verdict::Stop).await;
    assert_eq!(result, Err(0));
    let asked = Verdict::After(Duration::from_secs(5));
    let (result, took) = run(backoff, 1, asked).await;
    assert_eq!(result, Ok(1));
    assert!(took >= Duration::from_secs(5), "{took:?}");
}

#[test]
fn refusals_are_judged_by_what_they_say() {
    let refused = |status, retry_after| ClientError::Refused {
        status,
        code: "x".into(),
        message: "x".into(),
        retry_after,
    };
    let judge = |error: ClientError| Verdict::from(&error);
    let second = Duration::from_secs(1);
    assert_eq!(judge(refused(StatusCode::FORBIDDEN, None)), Verdict::Stop);
    assert_eq!(
        judge(refused(StatusCode::BAD_GATEWAY, None)),
        Verdict::Again
    );
    let told = refused(StatusCode::SERVICE_UNAVAILABLE, Some(second));
    assert_eq!(judge(told), Verdict::After(second));
}
