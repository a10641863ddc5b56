//! What a cloud tells of itself (docs/metrics.md).

use harpo_cloud::{METRICS, Running};
use harpo_service::http::Client;

use crate::world::{Consumer, Generation, SLOTS, World, assert_refused, retrieve};

async fn told(cloud: &Running) -> String {
    let admin = Client::plain(&format!("http://{}", cloud.admin_address())).unwrap();
    let text = admin.get("/-/metrics").send_bytes(1 << 20).await.unwrap();
    String::from_utf8(text.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_follow_what_happened_and_name_nobody() {
    let world = World::new();
    let cloud = world.start().await;
    let text = told(&cloud).await;
    assert!(text.contains("\nharpo_cloud_sealed_slots 0\n"), "{text}");

    let generation = Generation::new(3);
    generation.write_and_seal(&world.trust(&cloud)).await;
    let consumer = Consumer::new(&[&generation], &world.pass(&cloud, 10)).await;
    let asked = consumer.ask(&world.ticket(&[&generation], 2, 1), &[Some((0, 7)), None]);
    let (first, second) = (world.pass(&cloud, 11), world.pass(&cloud, 12));
    retrieve(&first, &asked.body).await.unwrap();
    assert_refused(retrieve(&second, &asked.body).await, 409, "spent");

    let text = told(&cloud).await;
    let slots = format!("harpo_cloud_sealed_slots {SLOTS}");
    let writes = format!("harpo_cloud_events_total{{event=\"write\"}} {SLOTS}");
    for line in [
        "harpo_cloud_sealed_generations 1",
        &slots,
        &writes,
        "harpo_cloud_resident_generations{state=\"ready\"} 1",
        "harpo_cloud_events_total{event=\"retrieval\"} 1",
        "harpo_cloud_recent_retrievals{window=\"minute\"} 1",
        "harpo_cloud_recent_retrievals{window=\"hour\"} 1",
        "harpo_cloud_remembered_tickets 1",
        "harpo_cloud_queries_total 2",
        "harpo_cloud_waiting_queries 0",
        "harpo_cloud_requests_total{code=\"spent\"} 1",
    ] {
        assert!(text.lines().any(|told| told == line), "{line} in\n{text}");
    }
    for metric in METRICS {
        let help = format!("# HELP {} {}", metric.name, metric.help);
        assert!(text.lines().any(|told| told == help), "{help} in\n{text}");
    }
    // No address, no pass, no ticket, no generation.
    let long = |word: &str| word.len() >= 32 && word.chars().all(|c| c.is_ascii_hexdigit());
    assert!(
        !text.split(|c: char| !c.is_ascii_alphanumeric()).any(long),
        "{text}"
    );
    assert!(!text.contains("127.0.0.1"), "{text}");
    cloud.stop().await;
}
