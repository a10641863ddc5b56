use super::*;

#[test]
fn a_timestamp_is_a_number_in_json_and_rfc_3339_for_people() {
    let moment = Timestamp::from_millis(1_769_860_800_250);
    assert_eq!(moment.to_string(), "2026-01-31T12:00:00.250Z");
    assert_eq!(
        "2026-01-31T12:00:00.25Z".parse::<Timestamp>().unwrap(),
        moment
    );
    assert_eq!(serde_json::to_string(&moment).unwrap(), "1769860800250");
    assert_eq!(
        serde_json::from_str::<Timestamp>("1769860800250").unwrap(),
        moment
    );
    assert!("1969-12-31T23:59:59Z".parse::<Timestamp>().is_err());
    assert!("yesterday".parse::<Timestamp>().is_err());
    assert!(!Timestamp::from_millis(u64::MAX).to_string().is_empty());
}

#[test]
fn arithmetic_saturates() {
    let second = Duration::from_secs(1);
    assert_eq!(Timestamp::EPOCH - second, Timestamp::EPOCH);
    assert_eq!(
        Timestamp::from_millis(u64::MAX) + second,
        Timestamp::from_millis(u64::MAX)
    );
    assert_eq!(
        Timestamp::EPOCH.since(Timestamp::from_secs(5)),
        Duration::ZERO
    );
}

#[test]
fn the_system_clock_is_past_the_day_this_was_written() {
    assert!(Clock::system().now() > "2025-01-01T00:00:00Z".parse().unwrap());
}

#[tokio::test]
async fn a_manual_clock_wakes_sleepers_when_it_gets_there_and_not_before() {
    let clock = Clock::manual(Timestamp::from_secs(100));
    let sleeper = tokio::spawn({
        let clock = clock.clone();
        async move {
            clock.sleep(Duration::from_secs(10)).await;
            clock.now()
        }
    });
    tokio::task::yield_now().await;
    clock.advance(Duration::from_millis(9_999));
    tokio::task::yield_now().await;
    assert!(!sleeper.is_finished());
    clock.advance(Duration::from_millis(1));
    assert_eq!(sleeper.await.unwrap(), Timestamp::from_secs(110));
    clock.sleep_until(Timestamp::from_secs(1)).await;
}
