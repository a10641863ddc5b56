use futures_util::stream;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use tokio::time::sleep;

use super::*;

const INTERVAL: Duration = Duration::from_millis(10);
const MILLISECOND: Duration = Duration::from_millis(1);

/// Items that take so long to be put together, in virtual time.
fn items(costs: &[Duration]) -> Ahead<Duration> {
    Ahead::of(stream::iter(costs.to_vec()).then(|cost| async move {
        if !cost.is_zero() {
            sleep(cost).await;
        }
        cost
    }))
}

/// When each left, counted from the start.
async fn departures(costs: &[Duration]) -> Vec<Duration> {
    let pace = Pace::new(INTERVAL);
    let mut ahead = items(costs);
    let mut times = Vec::new();
    while let Some(cost) = pace.next(&mut ahead).await {
        assert_eq!(cost, costs[times.len()], "the order changed");
        times.push(pace.start.elapsed());
    }
    assert_eq!(times.len(), costs.len());
    times
}

fn on_the_grid(times: &[Duration]) -> Vec<u128> {
    let ticks = times.iter().map(|time| {
        let late = time.as_nanos() % INTERVAL.as_nanos();
        assert!(late <= MILLISECOND.as_nanos(), "off the grid: {time:?}");
        time.as_nanos() / INTERVAL.as_nanos()
    });
    ticks.collect()
}

#[tokio::test(start_paused = true)]
async fn real_and_cover_leave_at_the_same_ticks() {
    let real = Duration::from_millis(8);
    for seed in 0..50 {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let costs: Vec<Duration> = (0..40).map(|_| real * (rng.next_u32() % 2)).collect();
        let ticks = on_the_grid(&departures(&costs).await);
        let expected: Vec<u128> = (ticks[0]..).take(costs.len()).collect();
        assert_eq!(ticks, expected, "{costs:?}");
    }
}

/// Slots that take much longer than the interval, for a while: the queue evens it out.
#[tokio::test(start_paused = true)]
async fn the_queue_bridges_what_takes_long() {
    let mut costs = vec![Duration::ZERO; 20];
    costs[10] = 3 * INTERVAL;
    let ticks = on_the_grid(&departures(&costs).await);
    assert_eq!(ticks[19] - ticks[0], 19, "{ticks:?}");
}

#[tokio::test(start_paused = true)]
async fn when_the_queue_is_late_departures_keep_to_ticks_and_wait_until_it_is_full() {
    let costs = [7 * INTERVAL + 3 * MILLISECOND; 16];
    let ticks = on_the_grid(&departures(&costs).await);
    assert!(
        ticks[0] >= 7 * QUEUE as u128,
        "left before the queue was full: {ticks:?}"
    );
    let mut runs = ticks.chunk_by(|a, b| a + 1 == *b).map(<[u128]>::len);
    assert!(
        runs.all(|run| run >= QUEUE),
        "a departure tells about one slot: {ticks:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_comes_late_waits_for_the_next_tick() {
    let pace = Pace::new(INTERVAL);
    let mut ahead = items(&[Duration::ZERO; 8]);
    let mut times = Vec::new();
    for busy in [0, 3, 10, 27, 41, 5, 5, 99] {
        sleep(MILLISECOND * busy).await;
        pace.next(&mut ahead).await.unwrap();
        times.push(pace.start.elapsed());
    }
    let ticks = on_the_grid(&times);
    assert!(
        ticks.is_sorted_by(|a, b| a < b),
        "two at one tick: {ticks:?}"
    );
    assert!(pace.next(&mut ahead).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn it_is_put_together_ahead_and_not_without_bound() {
    let (made, count) = tokio::sync::watch::channel(0);
    let mut ahead = Ahead::of(stream::iter(0..100).inspect(move |_| {
        made.send_modify(|made| *made += 1);
    }));
    sleep(100 * INTERVAL).await;
    // One more waits for its place.
    assert_eq!((ahead.waiting(), *count.borrow()), (QUEUE, QUEUE + 1));
    let pace = Pace::new(INTERVAL);
    assert_eq!(pace.next(&mut ahead).await, Some(0));
    sleep(INTERVAL).await;
    assert_eq!((ahead.waiting(), *count.borrow()), (QUEUE, QUEUE + 2));
    // A dropped future loses nothing.
    let dropped = tokio::time::timeout(MILLISECOND, pace.next(&mut ahead)).await;
    assert!(dropped.is_err());
    assert_eq!(pace.next(&mut ahead).await, Some(1));
    drop(ahead);
    sleep(INTERVAL).await;
    assert!(*count.borrow() <= QUEUE + 3, "it goes on without the queue");
}

#[tokio::test(start_paused = true)]
async fn without_an_interval_nothing_waits() {
    let pace = Pace::new(Duration::ZERO);
    let cost = 3 * MILLISECOND;
    let mut ahead = items(&[cost; 10]);
    let mut times = Vec::new();
    while pace.next(&mut ahead).await.is_some() {
        times.push(pace.start.elapsed());
    }
    assert_eq!(times.len(), 10);
    assert!(times[0] < 2 * cost, "{times:?}");
}
