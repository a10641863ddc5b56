use std::sync::Arc;

use harpo_service::metrics::{Metrics, Observed as _};

use super::network::*;
use crate::figures::{METRICS, Observer};

struct Teller(Observer, Metrics);

impl Teller {
    fn new(network: &Network) -> Self {
        let observer = Observer {
            trust: Arc::clone(&network.trust),
            counted: tokio::sync::Mutex::default(),
        };
        Self(observer, Metrics::new(METRICS))
    }

    async fn tells(&self, lines: &[&str]) -> String {
        self.0.observe(&self.1).await.unwrap();
        let text = self.1.text();
        for line in lines {
            assert!(text.lines().any(|told| told == *line), "{line} in\n{text}");
        }
        text
    }
}

#[tokio::test]
async fn figures_follow_a_bundle_from_deposit_to_the_stack() {
    let mut network = Network::with("[mixing]\ncache_grace_seconds = 3600\n").await;
    let (a, b) = (network.gateway("A").await, network.gateway("B").await);
    let teller = Teller::new(&network);
    teller.tells(&["harpo_trust_open_hospitals 0"]).await;

    let first = a.deposit(&Spec::new("1.1", 5)).await;
    let second = b.deposit(&Spec::new("1.2", 4)).await;
    let begun = a.seal(&Spec::new("1.3", 3));
    a.begin(&begun).await.unwrap();
    let bytes = |fragments| fragments * SMALL.fragment_bytes();
    teller
        .tells(&[
            "harpo_trust_open_hospitals 2",
            // One slot each, and one that the fifth fragment has.
            "harpo_trust_open_slots{content=\"occupied\"} 3",
            "harpo_trust_open_slots{content=\"cover\"} 5",
            "harpo_trust_cached_bundles{state=\"receiving\"} 1",
            &format!(
                "harpo_trust_cached_bytes{{state=\"receiving\"}} {}",
                bytes(3)
            ),
            "harpo_trust_cached_bundles{state=\"waiting\"} 2",
            &format!("harpo_trust_cached_bytes{{state=\"waiting\"}} {}", bytes(9)),
            "harpo_trust_delay_seconds_count 0",
        ])
        .await;

    network.clock.advance(24 * HOUR);
    network.mix().await;
    let sealed = [
        "harpo_trust_stack_generations{stack=\"1\"} 1",
        "harpo_trust_stack_slots{stack=\"1\"} 8",
        "harpo_trust_stack_live_bundles{stack=\"1\"} 2",
        "harpo_trust_open_slots{content=\"occupied\"} 0",
        "harpo_trust_cached_bundles{state=\"waiting\"} 0",
        "harpo_trust_cached_bundles{state=\"sealed\"} 2",
        "harpo_trust_delay_seconds_bucket{le=\"43200\"} 0",
        "harpo_trust_delay_seconds_bucket{le=\"259200\"} 2",
        "harpo_trust_delay_seconds_count 2",
    ];
    teller.tells(&sealed).await;
    // Nothing is counted twice, and who starts later tells of the past, too.
    let text = teller.tells(&sealed).await;
    Teller::new(&network).tells(&sealed).await;

    network.clock.advance(2 * HOUR);
    network.mix().await;
    b.release(second.id, &treating(), false).await.unwrap();
    let operator = network.operator().await;
    operator.erase(first.id, "r", true).await.unwrap();
    operator.close().await;
    teller
        .tells(&[
            "harpo_trust_cached_bundles{state=\"sealed\"} 0",
            "harpo_trust_stack_live_bundles{stack=\"1\"} 1",
            "harpo_trust_give_backs_under_way{reason=\"read\"} 1",
            "harpo_trust_give_backs_under_way{reason=\"errand\"} 0",
            "harpo_trust_replaced_bundles_total 0",
            "harpo_trust_open_errand_slots 0",
        ])
        .await;
    for metric in METRICS.iter().filter(|metric| metric.label != Some("code")) {
        let help = format!("# HELP {} {}", metric.name, metric.help);
        assert!(text.lines().any(|told| told == help), "{help} in\n{text}");
    }
}
