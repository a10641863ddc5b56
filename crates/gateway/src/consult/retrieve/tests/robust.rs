//! What must hold whatever happens: any cuts, any number of threads, a full disk.

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

use super::*;

/// The bodies' bytes and the secrets of six queries, made on so many threads.
fn make(threads: usize, held: &Arc<HeldStack>) -> (Vec<u8>, Vec<(plan::Choice, Secret)>) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    let file = tempfile::tempfile().unwrap();
    let copy = file.try_clone().unwrap();
    let asks = [Some(1), None, Some(0), None, None, Some(2)];
    let asks = asks.map(plan::Choice::new).to_vec();
    let choices = WANTED.map(|slot| held.choice(GENERATION, slot).unwrap());
    let progress = progress();
    progress.enter(Phase::Asking, 6);
    let (ticket, _) = ticket(1, 6);
    let (_, secrets) = pool
        .build()
        .unwrap()
        .install(|| Requests::make(held, &ticket, asks, &choices, file, &progress, &mut rng))
        .unwrap();
    assert_eq!(progress.snapshot().done, 6);
    let mut bytes = vec![0; copy.metadata().unwrap().len() as usize];
    copy.read_exact_at(&mut bytes, 0).unwrap();
    (bytes, secrets)
}

#[tokio::test]
async fn queries_are_the_same_on_any_number_of_threads_and_all_different() {
    let cloud = TestCloud::start(&[], |_| {}).await;
    let (one, secrets) = make(1, &cloud.held);
    let (four, _) = make(4, &cloud.held);
    assert!(one == four);
    assert_eq!(secrets.len(), 6);
    let size = cloud.held.stack.query_bytes() as usize;
    let queries: std::collections::HashSet<&[u8]> = one.chunks(size).collect();
    assert_eq!((one.len(), queries.len()), (6 * size, 6));
}

#[tokio::test(flavor = "multi_thread")]
async fn any_eight_cuts_are_gone_on_with() {
    let size = answer_bytes().await;
    for seed in 0..12 {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut below = |limit: usize| (rng.next_u64() % limit as u64) as usize;
        let cuts: Vec<Cut> = (0..below(9))
            .map(|_| match below(6) {
                0 => Cut::InBody(below(55_000)),
                1 => Cut::BeforeStatus,
                2 => Cut::InHead,
                _ => Cut::After(below(size + size / 2)),
            })
            .collect();
        let outcome = run(&cuts).await;
        assert!(outcome.result.is_ok(), "seed {seed}: {cuts:?}");
        outcome.assert_nothing_else_sent();
        outcome.assert_exact();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_does_not_show() {
    let size = answer_bytes().await;
    let cuts = [Cut::After(size + 3), Cut::Nothing];
    let right = run(&cuts).await;

    let cloud = TestCloud::start(&cuts, |_| {}).await;
    let (file, (ticket, _)) = (tempfile::tempfile().unwrap(), ticket(1, 4));
    let progress = progress();
    let scratch = tempfile::tempdir().unwrap();
    let (request, _secrets) = Requests::make(
        &cloud.held,
        &ticket,
        vec![plan::Choice::new(None); 4],
        &[],
        file,
        &progress,
        &mut random::system(),
    )
    .unwrap();
    let url = cloud.url.clone();
    let place = Place {
        reconnect: &|| {
            let url = url.clone();
            async move { Ok(CloudClient::plain(&url)) }.boxed()
        },
        scratch: scratch.path(),
        clock: &Clock::system(),
        patience: &impatient(),
        progress: &progress,
    };
    // Cannot be written to.
    let nowhere = File::open("/dev/null").unwrap();
    let region = Region {
        file: &nowhere,
        start: 0,
        part_bytes: size as u64,
    };
    let mut asking = Asking::new(CloudClient::plain(&cloud.url), &place);
    let result = asking.ask(&request, region, &mut random::system()).await;
    assert!(matches!(result, Err(RetrieveError::Io(_))), "{result:?}");
    let shape = |seen: &[Seen]| {
        let seen = seen.iter();
        seen.map(|s| (s.path.clone(), s.body.len()))
            .collect::<Vec<_>>()
    };
    assert_eq!(shape(&cloud.seen()), shape(&right.seen));
    assert_eq!(progress.wire().down, right.progress.wire().down);
}
