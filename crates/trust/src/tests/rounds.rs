//! What gateways spend in each round (docs/protocol.md 9.7).

use std::collections::BTreeSet;
use std::time::Duration;

use harpo_protocol::identity::TrustInfo;
use harpo_protocol::rounds::{Round, Rule};
use harpo_protocol::sign::Signed;
use harpo_service::http::ClientError;
use serde_json::{Value, json};

use super::network::*;

const MINUTE: Duration = Duration::from_secs(60);

async fn round(gateway: &Gateway) -> Result<Round, ClientError> {
    gateway.post("/v1/rounds", &json!({})).await
}

/// The answer, to the byte.
async fn text(gateway: &Gateway) -> Vec<u8> {
    let request = gateway.client.post("/v1/rounds").json(&json!({}));
    request.send_bytes(1 << 20).await.unwrap().to_vec()
}

#[tokio::test]
async fn a_party_has_one_ticket_a_round() {
    let mut network = Network::with("[retrieval]\nschedule = \"rounds\"\nqueries = 4").await;
    let (mut a, b) = (network.gateway("A").await, network.gateway("B").await);
    a.deposit(&Spec::new("1.1", 5)).await;
    let generation = network.seal().await;
    let rule = Rule {
        seconds: 60,
        queries: 4,
    };
    let answer = round(&a).await.unwrap();
    let number = rule.number(network.clock.now());
    assert_eq!(answer.number, number);
    let stack = answer.stack.unwrap();
    let descriptor = stack.stack.verify(&a.trust_key).unwrap();
    assert_eq!(descriptor.generations[0].generation, generation);
    let ticket = stack.ticket.verify(&a.trust_key).unwrap();
    assert_eq!(
        (ticket.queries, &ticket.generations[..]),
        (4, &[generation][..])
    );

    // The same again, also after a kill, until the round is over.
    let first = text(&a).await;
    network.clock.advance(MINUTE / 2);
    network.kill_and_restart().await;
    a.reconnect(&network);
    assert_eq!(text(&a).await, first);
    network.clock.advance(MINUTE / 2);
    let next = round(&a).await.unwrap();
    assert_eq!(next.number, number + 1);
    let next = next.stack.unwrap().ticket.verify(&a.trust_key).unwrap();
    assert_ne!(next.nonce, ticket.nonce);

    // Others have their own, which expires at the same time.
    let mut b = b;
    b.reconnect(&network);
    let others = round(&b).await.unwrap().stack.unwrap().ticket;
    let others = others.verify(&b.trust_key).unwrap();
    assert_ne!(others.nonce, next.nonce);
    assert_eq!(others.expires, next.expires);
    assert_eq!(others.expires.0 % 60_000, 0);

    let events = network.events_named("round").await;
    let nonces: BTreeSet<_> = events.iter().map(|e| e["ticket"].to_string()).collect();
    assert_eq!((events.len(), nonces.len()), (3, 3));
    assert_eq!(events[0]["party"], a.party.to_string());
    assert_eq!(events[0]["number"], number);
    assert_eq!(events[0]["ticket"], ticket.nonce.to_string());
}

#[tokio::test]
async fn rounds_go_over_the_stacks_in_turn() {
    let mut network =
        Network::with("[retrieval]\nschedule = \"rounds\"\n[ring]\nmax_generations_per_stack = 1")
            .await;
    let mut a = network.gateway("A").await;
    for study in ["1.1", "1.2", "1.3"] {
        a.deposit(&Spec::new(study, 5)).await;
        network.seal().await;
    }
    let stacks = a.stacks().await;
    assert_eq!(stacks.len(), 3);
    for _ in 0..6 {
        let answer = round(&a).await.unwrap();
        let stack = answer.stack.unwrap().stack.verify(&a.trust_key).unwrap();
        let index = harpo_protocol::rounds::stack_of(answer.number, 3).unwrap();
        assert_eq!(stack.generations, stacks[index].generations);
        network.clock.advance(MINUTE);
        a.reconnect(&network);
    }
}

#[tokio::test]
async fn a_network_without_rounds_says_so() {
    let mut network = Network::with("[retrieval]\nschedule = \"at-once\"").await;
    let a = network.gateway("A").await;
    a.deposit(&Spec::new("1.1", 5)).await;
    network.seal().await;
    assert_eq!(code(round(&a).await), "not_found");
    assert_eq!(a.info.as_ref().unwrap().rounds, None);
}

#[tokio::test]
async fn gateways_learn_the_rule_and_an_empty_network_gives_no_ticket() {
    let network = Network::with(
        "[retrieval]\nschedule = \"rounds\"\nround_seconds = 30\nqueries = 2\nat_once_for = [\"BTG\"]",
    )
    .await;
    let a = network.gateway("A").await;
    let info: Signed<TrustInfo> = a.get("/v1/info").await.unwrap();
    let info = info.verify(&a.trust_key).unwrap();
    let rule = Rule {
        seconds: 30,
        queries: 2,
    };
    assert_eq!(info.rounds, Some(rule));
    assert_eq!(info.at_once_for, [harpo_protocol::access::Purpose::Btg]);
    let answer = round(&a).await.unwrap();
    assert_eq!(answer.number, rule.number(network.clock.now()));
    assert!(answer.stack.is_none() && answer.errand.is_none());
    assert!(network.events_named("round").await.is_empty());
    let strange: Result<Value, _> = a.post("/v1/rounds", &json!({"queries": 64})).await;
    assert_eq!(code(strange), "malformed");
}
