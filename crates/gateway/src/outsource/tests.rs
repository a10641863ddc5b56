use std::os::unix::fs::PermissionsExt as _;

use http::StatusCode;

use super::*;
use crate::store::refusals::{Refusal, Wish};
use crate::testing::{BOUNDS, World, put};

/// A gateway's outsourcing side beside trust's stand-in.
struct Scene {
    world: World,
    outsource: Outsource,
}

impl Scene {
    async fn new() -> Self {
        let world = World::new().await;
        let (party, trust) = world.gateway().await;
        let data = world.data();
        let spool = Spool::open(&data.join("spool")).unwrap();
        let store = Store::open(&data.join("gateway.db")).await.unwrap();
        let outbox = data.join("outbox");
        let quiet = Duration::from_secs(30);
        let outsource = Outsource::new(party, spool, store, trust, quiet, BOUNDS, outbox);
        Self { world, outsource }
    }

    /// A closed bundle of one instance; its identifier.
    fn bundle(&self, study: &str) -> String {
        let id = BundleId::random(&mut self.outsource.party.rng()).to_string();
        self.bundle_as(study, &id);
        id
    }

    fn bundle_as(&self, study: &str, id: &str) {
        let spool = &self.outsource.spool;
        put(spool, study, &format!("{study}.1"), self.world.clock.now());
        spool.close(study, id).unwrap();
    }

    async fn pass(&self) -> Result<(), DepositError> {
        self.outsource.pass(&CancellationToken::new()).await
    }

    async fn refusals(&self) -> Vec<Refusal> {
        self.outsource.store.refusals().await.unwrap()
    }

    fn waiting(&self) -> Vec<String> {
        let closed = self.outsource.spool.closed();
        closed.into_iter().map(|closed| closed.id).collect()
    }

    /// The only file of a bundle.
    fn file(&self, bundle: &str) -> PathBuf {
        self.outsource.spool.bundle(bundle).unwrap().instances[0]
            .path
            .clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn quiet_studies_are_closed_and_deposited() {
    let scene = Scene::new().await;
    put(
        &scene.outsource.spool,
        "1.2",
        "1.2.1",
        scene.world.clock.now(),
    );
    scene.pass().await.unwrap();
    assert_eq!(scene.world.desk.begun("1.2"), 0, "it may still grow");
    scene.world.clock.advance(Duration::from_secs(30));
    scene.pass().await.unwrap();
    assert_eq!(scene.world.desk.complete(), ["1.2"]);
    assert_eq!(scene.outsource.spool.waiting_instances(), 0);
    assert_eq!(scene.outsource.store.deposits().await.unwrap(), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_bundle_does_not_hold_up_the_others() {
    let scene = Scene::new().await;
    let desk = &scene.world.desk;
    let studies: Vec<String> = (0..8).map(|n| format!("1.2.{n}")).collect();
    for study in &studies {
        scene.bundle(study);
    }
    let bad = studies[3].as_str();
    desk.refuse(bad, StatusCode::INTERNAL_SERVER_ERROR, "internal");
    scene.pass().await.unwrap();
    assert_eq!(desk.complete().len(), 7, "all but the bad one");
    // It is left alone for a while, and longer each time.
    scene.pass().await.unwrap();
    assert_eq!(desk.begun(bad), 1);
    scene.world.clock.advance(Duration::from_secs(1));
    scene.pass().await.unwrap();
    assert_eq!(desk.begun(bad), 2);
    scene.world.clock.advance(Duration::from_millis(900));
    scene.pass().await.unwrap();
    assert_eq!(desk.begun(bad), 2);
    assert_eq!(scene.refusals().await, [], "it may succeed later");
    desk.refuse.lock().unwrap().clear();
    scene.world.clock.advance(Duration::from_secs(60));
    scene.pass().await.unwrap();
    assert_eq!(desk.complete().len(), 8);
    assert_eq!(scene.waiting(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_ends_only_when_trust_is_away() {
    let mut scene = Scene::new().await;
    let ids = [scene.bundle("1.2.1"), scene.bundle("1.2.2")];
    scene.world.close().await;
    let failed = scene.pass().await.unwrap_err();
    assert!(failed.is_unreachable(), "{failed:?}");
    let tried: u32 = ids
        .iter()
        .map(|id| scene.outsource.failures().times(id))
        .sum();
    assert_eq!(tried, 1, "the second would fare no better");
    // Next time the other one is first: what breaks connections off does not block it for ever.
    scene.pass().await.unwrap_err();
    for id in &ids {
        assert_eq!(scene.outsource.failures().times(id), 1);
    }
    scene.world.open().await;
    scene.pass().await.unwrap();
    assert_eq!(scene.world.desk.complete(), ["1.2.1", "1.2.2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_bundle_waits_for_an_operator_and_keeps_its_name() {
    let scene = Scene::new().await;
    let desk = &scene.world.desk;
    let id = scene.bundle("1.2.1");
    desk.refuse("1.2.1", StatusCode::FORBIDDEN, "denied");
    scene.pass().await.unwrap();
    scene.world.clock.advance(Duration::from_secs(3600));
    scene.pass().await.unwrap();
    assert_eq!(desk.begun("1.2.1"), 1, "refused for good");
    let refusals = scene.refusals().await;
    assert_eq!(
        (refusals[0].bundle.as_str(), refusals[0].code.as_str()),
        (id.as_str(), "denied")
    );
    assert_eq!(scene.waiting(), [id.as_str()], "its instances stay");
    // The policy was changed.
    desk.refuse.lock().unwrap().clear();
    let store = &scene.outsource.store;
    assert!(!store.wish("unknown", Wish::Retry).await.unwrap());
    assert!(store.wish(&id, Wish::Retry).await.unwrap());
    scene.pass().await.unwrap();
    assert_eq!(scene.refusals().await, []);
    assert!(store.has_receipt(id.parse().unwrap()).await.unwrap());
    assert_eq!(scene.outsource.spool.waiting_instances(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_is_retried_under_another_name() {
    let scene = Scene::new().await;
    let id = scene.bundle("1.2.1");
    // Trust has begun to take a bundle of this name with another manifest: the outbox was lost.
    scene
        .world
        .desk
        .refuse("1.2.1", StatusCode::INTERNAL_SERVER_ERROR, "internal");
    scene.pass().await.unwrap();
    scene.world.desk.refuse.lock().unwrap().clear();
    let dir = scene.outsource.outbox.join(&id);
    let json = fs::read(dir.join(DEPOSIT)).unwrap();
    let sealed: DepositRequest = serde_json::from_slice(&json).unwrap();
    scene.outsource.trust.deposit(&sealed).await.unwrap();
    fs::remove_dir_all(&dir).unwrap();
    scene.world.clock.advance(Duration::from_secs(60));
    scene.pass().await.unwrap();
    assert_eq!(scene.refusals().await[0].code, "conflict");
    scene.outsource.store.wish(&id, Wish::Retry).await.unwrap();
    scene.pass().await.unwrap();
    assert_eq!(scene.world.desk.complete(), ["1.2.1"]);
    assert!(
        !scene
            .outsource
            .store
            .has_receipt(id.parse().unwrap())
            .await
            .unwrap()
    );
    assert_eq!(scene.outsource.store.deposits().await.unwrap(), (1, 0));
    assert_eq!(scene.waiting(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_bundle_is_gone_and_can_be_sent_again() {
    let scene = Scene::new().await;
    let id = scene.bundle("1.2.1");
    scene
        .world
        .desk
        .refuse("1.2.1", StatusCode::FORBIDDEN, "denied");
    scene.pass().await.unwrap();
    scene
        .outsource
        .store
        .wish(&id, Wish::Discard)
        .await
        .unwrap();
    scene.pass().await.unwrap();
    assert_eq!(scene.refusals().await, []);
    assert_eq!(scene.outsource.spool.waiting_instances(), 0);
    assert!(!scene.outsource.outbox.join(&id).exists());
    put(
        &scene.outsource.spool,
        "1.2.1",
        "1.2.1.1",
        scene.world.clock.now(),
    );
    assert_eq!(scene.outsource.spool.waiting_instances(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_outbox_is_sealed_again() {
    for damage in ["deposit", "fragments", "marks", "attestation"] {
        let scene = Scene::new().await;
        let id = scene.bundle("1.2.1");
        let desk = &scene.world.desk;
        desk.refuse("1.2.1", StatusCode::INTERNAL_SERVER_ERROR, "internal");
        scene.pass().await.unwrap();
        let dir = scene.outsource.outbox.join(&id);
        let mode = fs::metadata(&dir).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "it holds what was in the spool");
        match damage {
            "deposit" => fs::write(dir.join(DEPOSIT), b"{\"manif").unwrap(),
            "fragments" => fs::write(dir.join(FRAGMENTS), b"short").unwrap(),
            "marks" => fs::write(dir.join(MARKS), [1; 40]).unwrap(),
            _ => {
                let mut marks = fs::read(dir.join(MARKS)).unwrap();
                let last = marks.len() - 10;
                marks[last] ^= 1;
                fs::write(dir.join(MARKS), marks).unwrap();
            }
        }
        desk.refuse.lock().unwrap().clear();
        scene.world.clock.advance(Duration::from_secs(60));
        scene.pass().await.unwrap();
        scene.pass().await.unwrap();
        assert_eq!(desk.complete(), ["1.2.1"], "{damage}");
        assert_eq!(scene.refusals().await, []);
        assert!(!dir.exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outbox_that_cannot_be_read_is_not_sealed_again() {
    let scene = Scene::new().await;
    let id = scene.bundle("1.2.1");
    scene
        .world
        .desk
        .refuse("1.2.1", StatusCode::INTERNAL_SERVER_ERROR, "internal");
    scene.pass().await.unwrap();
    scene.world.desk.refuse.lock().unwrap().clear();
    let path = scene.outsource.outbox.join(&id).join(DEPOSIT);
    let aside = scene.outsource.outbox.join("aside");
    fs::rename(&path, &aside).unwrap();
    std::os::unix::fs::symlink(&path, &path).unwrap();
    scene.world.clock.advance(Duration::from_secs(60));
    scene.pass().await.unwrap();
    assert_eq!(scene.waiting(), [id.as_str()]);
    fs::rename(&aside, &path).unwrap();
    scene.world.clock.advance(Duration::from_secs(60));
    scene.pass().await.unwrap();
    let receipt = scene.outsource.store.has_receipt(id.parse().unwrap());
    assert!(
        receipt.await.unwrap(),
        "what was sealed first was deposited"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_rotted_is_not_signed_as_the_original() {
    let scene = Scene::new().await;
    let (bad, _good) = (scene.bundle("1.2.1"), scene.bundle("1.2.2"));
    let path = scene.file(&bad);
    let whole = fs::read(&path).unwrap();
    let mut rotten = whole.clone();
    *rotten.last_mut().unwrap() ^= 1;
    fs::write(&path, &rotten).unwrap();
    scene.pass().await.unwrap();
    assert_eq!(scene.world.desk.complete(), ["1.2.2"]);
    assert_eq!(
        scene.world.desk.begun("1.2.1"),
        0,
        "nothing of it was signed"
    );
    let refusals = scene.refusals().await;
    assert_eq!(
        (refusals[0].bundle.as_str(), refusals[0].code.as_str()),
        (bad.as_str(), "damaged")
    );
    assert!(refusals[0].message.contains(path.to_str().unwrap()));
    assert_eq!(fs::read(&path).unwrap(), rotten, "the bundle is kept");
    // Restored from a backup.
    fs::write(&path, &whole).unwrap();
    scene.outsource.store.wish(&bad, Wish::Retry).await.unwrap();
    scene.pass().await.unwrap();
    assert_eq!(scene.world.desk.complete(), ["1.2.1", "1.2.2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sealed_or_read_is_refused_here() {
    let scene = Scene::new().await;
    scene.bundle_as("1.2.1", "no-identifier-of-the-protocol");
    let unreadable = scene.bundle("1.2.2");
    fs::write(scene.file(&unreadable), b"rot").unwrap();
    scene.bundle("1.2.3");
    scene.pass().await.unwrap();
    assert_eq!(scene.world.desk.complete(), ["1.2.3"]);
    let mut codes: Vec<_> = scene.refusals().await;
    codes.sort_by(|a, b| a.study.cmp(&b.study));
    let codes: Vec<_> = codes
        .iter()
        .map(|r| (r.study.as_str(), r.code.as_str()))
        .collect();
    assert_eq!(codes, [("1.2.1", "malformed"), ("1.2.2", "damaged")]);
    assert_eq!(scene.outsource.spool.waiting_instances(), 2);
}
