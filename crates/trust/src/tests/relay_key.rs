//! How often the cloud can change its key for the relay (docs/protocol.md 9.8).

use super::network::*;
use crate::config::RelayConfig;
use crate::relay::Relay;

fn told(relay: &Relay) -> String {
    relay.info().unwrap().unwrap().keys
}

#[tokio::test]
async fn the_clouds_key_is_replaced_once_a_day() {
    let network = Network::new().await;
    let store = &network.trust.store;
    let config = RelayConfig {
        url: Some("https://relay.example".to_owned()),
    };
    let relay = Relay::new(&config);
    let offer = |key: &'static str| relay.offered(store, key.to_owned());
    for key in ["first", "second", "first", "third"] {
        offer(key).await.unwrap();
        assert_eq!(told(&relay), "first");
        network.clock.advance(HOUR);
    }
    network.clock.advance(20 * HOUR);
    offer("second").await.unwrap();
    assert_eq!(told(&relay), "second");
    network.clock.advance(23 * HOUR);
    // Also over a restart.
    let again = Relay::new(&config);
    again.recall(store).await.unwrap();
    assert_eq!(told(&again), "second");
    again.offered(store, "third".to_owned()).await.unwrap();
    assert_eq!(told(&again), "second");
    network.clock.advance(HOUR);
    again.offered(store, "third".to_owned()).await.unwrap();
    assert_eq!(told(&again), "third");
    assert_eq!(network.events_named("relay-key").await.len(), 3);
}
