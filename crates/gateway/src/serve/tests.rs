use std::fs;

use harpo_protocol::id::BundleId;
use http::StatusCode;

use super::*;
use crate::consult::retrieve::Wire;
use crate::store::Fetch;
use crate::testing::{NOW, World};

/// A gateway of `world` on free ports.
async fn start(world: &World, shutdown: &Shutdown) -> Result<Addresses, StartError> {
    start_with(world, shutdown, "").await
}

async fn start_with(
    world: &World,
    shutdown: &Shutdown,
    more: &str,
) -> Result<Addresses, StartError> {
    let free = "listen = '127.0.0.1:0'";
    let text = format!(
        "[trust]\nurl = '{}'\n[dicom]\n{free}\n[web]\n{free}\n[admin]\n{free}\n{more}",
        world.url()
    );
    let path = world.data().with_file_name(config::FILE);
    fs::write(&path, text).unwrap();
    let config = GatewayConfig::load(&path).unwrap();
    serve(&config, path.parent().unwrap(), &world.clock, shutdown).await
}

async fn ready(admin: SocketAddr) -> (StatusCode, String) {
    let client = Client::plain(&format!("http://{admin}")).unwrap();
    match client.get("/-/ready").send().await {
        Ok(answer) => (answer.status(), String::new()),
        Err(ClientError::Refused { status, .. }) => (status, String::new()),
        Err(error) => panic!("{error}"),
    }
}

/// The status within a while.
async fn becomes(admin: SocketAddr, wanted: StatusCode) {
    for _ in 0..200 {
        if ready(admin).await.0 == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("it did not become {wanted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_while_it_serves_and_not_while_it_stops() {
    let world = World::new().await;
    let shutdown = Shutdown::new();
    let addresses = start(&world, &shutdown).await.unwrap();
    becomes(addresses.admin, StatusCode::OK).await;
    shutdown.stop();
    becomes(addresses.admin, StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(shutdown.finish(DRAIN).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_tells_its_figures() {
    let world = World::new().await;
    let shutdown = Shutdown::new();
    let addresses = start(&world, &shutdown).await.unwrap();
    let client = Client::plain(&format!("http://{}", addresses.web)).unwrap();
    client.get("/api/status").send().await.unwrap_err();
    let client = Client::plain(&format!("http://{}", addresses.admin)).unwrap();
    let text = client.get("/-/metrics").send_bytes(1 << 20).await.unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    for line in [
        "harpo_gateway_waiting_instances 0",
        "harpo_gateway_fetches_total{source=\"stack\"} 0",
        "harpo_gateway_requests_total{code=\"rejected\"} 1",
    ] {
        assert!(text.lines().any(|told| told == line), "{line} in\n{text}");
    }
    for metric in METRICS {
        let help = format!("# HELP {} {}", metric.name, metric.help);
        assert!(text.lines().any(|told| told == help), "{help} in\n{text}");
    }
    shutdown.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_not_ready_before_trust_has_answered() {
    let mut world = World::new().await;
    // Known from before.
    world.gateway().await;
    world.close().await;
    let shutdown = Shutdown::new();
    let addresses = start(&world, &shutdown).await.unwrap();
    becomes(addresses.admin, StatusCode::SERVICE_UNAVAILABLE).await;
    world.open().await;
    for _ in 0..200 {
        world.clock.advance(Duration::from_secs(5));
        if ready(addresses.admin).await.0 == StatusCode::OK {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("it did not become ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn impossible_values_stop_it_before_anything_else() {
    let world = World::new().await;
    let more = "[outsource]\nquiet_seconds = nan\n";
    let refused = start_with(&world, &Shutdown::new(), more)
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("outsource.quiet_seconds"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn users_come_and_go_while_it_runs_and_see_no_bundles_of_others() {
    let world = World::new().await;
    let shutdown = Shutdown::new();
    let addresses = start(&world, &shutdown).await.unwrap();
    let file = world.data().with_file_name("users.toml");
    let mut rng = harpo_service::random::system();
    let token = users::add(
        &file,
        "ada",
        "physician",
        users::Credential::Token,
        &mut rng,
    )
    .unwrap()
    .unwrap();
    let client = Client::plain(&format!("http://{}", addresses.web)).unwrap();
    let bearer = http::HeaderValue::try_from(format!("Bearer {}", *token)).unwrap();
    let ask = async |path: &str| {
        let request = client
            .get(path)
            .header(http::header::AUTHORIZATION, bearer.clone());
        match request.send().await {
            Ok(answer) => (answer.status(), answer.bytes(1 << 20).await.unwrap()),
            Err(ClientError::Refused { status, .. }) => (status, Default::default()),
            Err(error) => panic!("{error}"),
        }
    };
    let becomes = async |wanted: StatusCode| {
        for _ in 0..200 {
            world.clock.advance(Duration::from_secs(2));
            if ask("/api/status").await.0 == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("it did not become {wanted}");
    };
    becomes(StatusCode::OK).await;
    let bundle = BundleId::random(&mut rng);
    let fetch = Fetch {
        bundle,
        source: "cache",
        engine: None,
        at: NOW,
        took: Duration::from_secs(1),
        fragments: 7,
        stack_bytes: 0,
        hint_bytes: 0,
        wire: Wire::default(),
        authentic: 0,
        unmarked: 0,
        outcome: "opened".into(),
    };
    let store = Store::open(&world.data().join("gateway.db")).await.unwrap();
    store.add_fetch(&fetch).await.unwrap();
    let body = String::from_utf8(ask("/api/fetches").await.1.to_vec()).unwrap();
    assert!(body.contains("\"fragments\":7"), "{body}");
    assert!(!body.contains(&bundle.to_string()), "{body}");
    assert_eq!(&ask("/api/notices").await.1[..], b"[]");
    users::remove(&file, "ada").unwrap();
    becomes(StatusCode::UNAUTHORIZED).await;
}

#[test]
fn stacks_are_asked_for_at_no_beat() {
    let mut rng = harpo_service::random::system();
    let every = Duration::from_secs(15);
    let pauses: Vec<_> = (0..1000).map(|_| poll_pause(every, &mut rng)).collect();
    let (least, most) = (*pauses.iter().min().unwrap(), *pauses.iter().max().unwrap());
    assert!(least >= every / 2 && most <= every * 3 / 2);
    assert!(most - least > every * 9 / 10, "{least:?} to {most:?}");
    let shortest = poll_pause(Duration::from_nanos(1), &mut rng);
    assert!(shortest >= Duration::from_millis(1));
}
