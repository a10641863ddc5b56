//! What the way through the relay costs, printed with `--nocapture`.

use std::time::Instant;

use http::{HeaderValue, header};

use crate::world::{World, ask};

const BYTES: usize = 64 << 20;

#[tokio::test(flavor = "multi_thread")]
#[expect(
    clippy::disallowed_methods,
    reason = "a measurement needs the real clock"
)]
async fn an_answer_of_64_mib_through_the_relay_and_without() {
    let world = World::new().await;
    let relay = world.start().await;
    let way = world.gateway(&relay, 20);
    let direct = world.direct();
    let mut seconds = [f64::INFINITY; 2];
    // In turns, the best of three.
    for _ in 0..3 {
        let began = Instant::now();
        let kind = HeaderValue::from_static(harpo_service::ohttp::KEYS_TYPE);
        let plain = direct
            .post("/v1/ohttp")
            .header(header::CONTENT_TYPE, kind)
            .header(header::CONTENT_LOCATION, HeaderValue::from(BYTES))
            .send_bytes(BYTES)
            .await
            .unwrap();
        assert_eq!(plain.len(), BYTES);
        seconds[0] = seconds[0].min(began.elapsed().as_secs_f64());
        let began = Instant::now();
        let answer = ask(&way, &format!("/give/{BYTES}"), 100).await.unwrap();
        let relayed = answer.bytes(BYTES).await.unwrap();
        seconds[1] = seconds[1].min(began.elapsed().as_secs_f64());
        assert_eq!(relayed, plain);
    }
    let [direct, relayed] = seconds.map(|seconds| BYTES as f64 / 1e6 / seconds);
    println!(
        "64 MiB: direct {direct:.0} MB/s, through the relay {relayed:.0} MB/s, {:.2} of it",
        relayed / direct
    );
    relay.stop().await;
}
