//! The whole service, as the binary runs it, on the system's clock.

use std::time::Duration;

use harpo_protocol::identity::Role;
use harpo_service::clock::Clock;
use harpo_service::http::Client;
use harpo_service::random;
use harpo_service::shutdown::Shutdown;

use crate::{Folder, InitOptions, Operator, Service, init};

#[tokio::test]
async fn it_is_made_once_serves_and_stops() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::new(dir.path().join("trust"));
    let clock = Clock::system();
    assert!(Operator::open(&folder, clock.clone()).await.is_err());
    let options = InitOptions {
        listen: Some("127.0.0.1:0".parse().unwrap()),
        ..InitOptions::default()
    };
    let mut rng = random::system();
    init(&folder, &options, &clock, &mut rng).await.unwrap();
    let key = std::fs::read(folder.path().join("keys/signing.key")).unwrap();
    let again = init(&folder, &options, &clock, &mut rng).await.unwrap_err();
    assert!(again.to_string().contains("nothing was changed"), "{again}");
    assert_eq!(
        std::fs::read(folder.path().join("keys/signing.key")).unwrap(),
        key
    );

    let mut config = folder.config().unwrap();
    config.admin.listen = "127.0.0.1:0".parse().unwrap();
    let service = Service::start(&folder, config, clock.clone())
        .await
        .unwrap();
    let url = format!("https://localhost:{}", service.local_addr().port());
    let admin = Client::plain(&format!("http://{}", service.admin_addr())).unwrap();
    let shutdown = Shutdown::new();
    let running = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { service.run(&shutdown).await }
    });

    // The operator works beside it.
    let operator = Operator::open(&folder, clock.clone()).await.unwrap();
    let (code, expires) = operator
        .new_code(Role::Cloud, "Cloud", &mut rng)
        .await
        .unwrap();
    assert!(expires > clock.now());
    assert!(operator.new_code(Role::Pass, "x", &mut rng).await.is_err());
    assert!(
        operator
            .new_code(Role::Gateway, " ", &mut rng)
            .await
            .is_err()
    );
    let party_dir = dir.path().join("cloud");
    harpo_service::enrol::enrol(
        &code,
        &url,
        vec!["localhost".into()],
        None,
        &party_dir,
        &clock,
    )
    .await
    .unwrap();
    assert_eq!(operator.parties().await.unwrap().len(), 1);
    admin.get("/-/ready").send().await.unwrap();

    shutdown.stop();
    tokio::time::timeout(Duration::from_secs(20), running)
        .await
        .unwrap()
        .unwrap();
    operator.verify_audit(None).await.unwrap();
}

#[tokio::test]
async fn half_a_folder_and_a_wrong_policy_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::new(dir.path().join("trust"));
    let clock = Clock::system();
    let mut rng = random::system();
    init(&folder, &InitOptions::default(), &clock, &mut rng)
        .await
        .unwrap();
    std::fs::write(
        folder.path().join("policy.cedar"),
        "permit(principal, action, resource)",
    )
    .unwrap();
    let mut config = folder.config().unwrap();
    config.listen = "127.0.0.1:0".parse().unwrap();
    config.policy.file = Some("policy.cedar".into());
    let Err(error) = Service::start(&folder, config, clock.clone()).await else {
        panic!("a broken policy was accepted");
    };
    assert!(
        error.to_string().contains("policy.cedar, line 1"),
        "{error}"
    );

    std::fs::remove_file(folder.config_path()).unwrap();
    let half = init(&folder, &InitOptions::default(), &clock, &mut rng).await;
    assert!(half.unwrap_err().to_string().contains("not finished"));
}
