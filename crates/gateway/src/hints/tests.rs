use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path as UrlPath, State};
use axum::routing::get;
use futures_util::{FutureExt as _, stream};
use harpo_oblivious::Encoded;
use harpo_protocol::domain::sha256;
use harpo_protocol::id::Digest;
use harpo_protocol::stack::Figures;
use harpo_protocol::time::Timestamp;
use harpo_service::http::{Limits, Server};
use harpo_service::random;
use tokio_util::sync::CancellationToken;

use super::*;

const SLOTS: u32 = 4;
const SLOT_BYTES: u32 = 500;

/// How the cloud serves a hint.
#[derive(Clone, Copy, PartialEq)]
enum Serves {
    Right,
    Wrong,
    Trickling,
}

/// A cloud without TLS, the hints that it serves, and how often it was asked for each.
struct TestCloud {
    url: String,
    hints: Arc<Served>,
    _stop: tokio_util::sync::DropGuard,
}

type Served = Mutex<HashMap<GenerationId, (Vec<u8>, Serves, usize)>>;

impl TestCloud {
    async fn start() -> Self {
        let hints = Arc::new(Served::default());
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), Limits::default());
        let server = server.await.unwrap();
        let url = format!("http://{}", server.local_addr());
        let router = Router::new()
            .route("/v1/generations/{generation}/hint", get(serve))
            .with_state(hints.clone());
        let stop = CancellationToken::new();
        let token = stop.clone();
        tokio::spawn(async move { server.serve(router, token).await });
        Self {
            url,
            hints,
            _stop: stop.drop_guard(),
        }
    }

    /// A sealed generation whose hint it serves like that.
    fn seal(&self, number: u8, serves: Serves) -> SealedGeneration {
        let figures = Figures {
            slots: SLOTS,
            slot_bytes: SLOT_BYTES,
            parameter_set: 1,
            interleave: 2,
            seed: Digest([number; 32]),
        };
        let mut generation = SealedGeneration {
            generation: GenerationId([number; 16]),
            figures,
            slots: Digest([0; 32]),
            hint: Digest([0; 32]),
            hint_bytes: 0,
        };
        let slots = vec![vec![number; SLOT_BYTES as usize]; SLOTS as usize];
        let encoded = Encoded::of_slots(&info(&generation).unwrap(), &slots).unwrap();
        let bytes = encoded.hint().to_bytes();
        generation.hint = sha256(&bytes);
        generation.hint_bytes = bytes.len() as u64;
        let mut hints = self.hints.lock().unwrap();
        hints.insert(generation.generation, (bytes, serves, 0));
        generation
    }

    fn asked(&self, generation: &SealedGeneration) -> usize {
        self.hints.lock().unwrap()[&generation.generation].2
    }

    fn serves(&self, generation: &SealedGeneration, serves: Serves) {
        let mut hints = self.hints.lock().unwrap();
        hints.get_mut(&generation.generation).unwrap().1 = serves;
    }

    async fn refresh(
        &self,
        hints: &Arc<Hints>,
        stacks: &[StackDescriptor],
        clock: &Clock,
        pace: Pace,
    ) -> Result<(), HintError> {
        let source = Source {
            connect: &|| async { Ok(CloudClient::plain(&self.url)) }.boxed(),
            clock,
            pace,
        };
        hints.refresh(stacks, source, &mut random::system()).await
    }
}

async fn serve(State(hints): State<Arc<Served>>, UrlPath(generation): UrlPath<String>) -> Body {
    let mut hints = hints.lock().unwrap();
    let (bytes, serves, asked) = hints.get_mut(&generation.parse().unwrap()).unwrap();
    *asked += 1;
    let mut bytes = bytes.clone();
    match serves {
        Serves::Right => bytes.into(),
        Serves::Wrong => {
            bytes[100] ^= 1;
            bytes.into()
        }
        Serves::Trickling => Body::from_stream(stream::unfold(0, move |at| {
            let byte = vec![bytes[at]];
            async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Some((Ok::<_, io::Error>(byte), at + 1))
            }
        })),
    }
}

fn stack(generations: &[&SealedGeneration]) -> StackDescriptor {
    StackDescriptor {
        generations: generations.iter().copied().cloned().collect(),
        issued: Timestamp(1),
    }
}

fn open(dir: &tempfile::TempDir) -> Arc<Hints> {
    Arc::new(Hints::open(dir.path().to_owned()).unwrap())
}

fn first(result: Result<(), HintError>) -> HintError {
    match result.unwrap_err() {
        HintError::Missing { first, .. } => *first,
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_hint_stops_no_other_and_is_not_downloaded_every_round() {
    let (cloud, dir) = (TestCloud::start().await, tempfile::tempdir().unwrap());
    let (hints, clock) = (open(&dir), Clock::manual(Timestamp(1_000_000)));
    let bad = cloud.seal(1, Serves::Wrong);
    let (good, newest) = (cloud.seal(2, Serves::Right), cloud.seal(3, Serves::Right));
    let stacks = [stack(&[&bad, &good]), stack(&[&newest])];
    // Of a generation that is no more.
    let old = dir.path().join("old.hint");
    fs::write(&old, b"old").unwrap();
    let refresh = || cloud.refresh(&hints, &stacks, &clock, Pace::default());

    let error = first(refresh().await);
    assert!(
        matches!(error, HintError::Digest(g) if g == bad.generation),
        "{error}"
    );
    assert_eq!(hints.ready(), [good.clone(), newest.clone()]);
    assert!(!old.exists());
    assert_eq!(hints.missing(&stacks[0]), [&bad]);

    let error = first(refresh().await);
    assert!(
        matches!(error, HintError::HeldOff { times: 1, .. }),
        "{error}"
    );
    assert_eq!((cloud.asked(&bad), cloud.asked(&good)), (1, 1));
    // Later and later.
    clock.advance(Duration::from_secs(120));
    first(refresh().await);
    assert_eq!(cloud.asked(&bad), 2);
    clock.advance(Duration::from_secs(119));
    first(refresh().await);
    assert_eq!(cloud.asked(&bad), 2);

    cloud.serves(&bad, Serves::Right);
    clock.advance(Duration::from_secs(121));
    refresh().await.unwrap();
    assert_eq!(hints.ready(), [bad, good, newest]);
    assert!(hints.wrong.lock().unwrap().is_empty());
}

/// The length is the cloud's word: a disk could be filled with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_length_that_the_figures_do_not_give_is_refused_before_anything_is_fetched() {
    let (cloud, dir) = (TestCloud::start().await, tempfile::tempdir().unwrap());
    let (hints, clock) = (open(&dir), Clock::manual(Timestamp(1_000_000)));
    for (number, said) in [(1, u64::MAX), (2, 0), (3, 1)] {
        let mut generation = cloud.seal(number, Serves::Right);
        let right = generation.hint_bytes;
        generation.hint_bytes = if said == 1 { right + 1 } else { said };
        let stacks = [stack(&[&generation])];
        let error = first(
            cloud
                .refresh(&hints, &stacks, &clock, Pace::default())
                .await,
        );
        assert!(
            matches!(error, HintError::Length { said, expected, .. }
                if said == generation.hint_bytes && expected == right),
            "{error}"
        );
        assert_eq!(cloud.asked(&generation), 0);
    }
    assert_eq!(hints.received(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hint_that_trickles_is_given_up_and_what_came_is_kept() {
    let (cloud, dir) = (TestCloud::start().await, tempfile::tempdir().unwrap());
    let hints = open(&dir);
    let (slow, good) = (
        cloud.seal(1, Serves::Trickling),
        cloud.seal(2, Serves::Right),
    );
    let stacks = [stack(&[&slow, &good])];
    let pace = Pace {
        at_first: Duration::from_millis(500),
        bytes_per_second: 1 << 30,
    };
    let error = first(cloud.refresh(&hints, &stacks, &Clock::system(), pace).await);
    assert!(matches!(error, HintError::TooSlow { .. }), "{error}");
    assert_eq!(hints.ready(), [good]);
    let part = hints.path(&slow).with_extension("part");
    assert!(fs::metadata(part).unwrap().len() > 0);
}

/// The cloud chooses where an answer breaks off, and would know the gateway again by the very byte.
#[test]
fn what_broke_off_goes_on_at_a_multiple_that_tells_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let part = dir.path().join("hint.part");
    let whole = 5 * RESUMES_AT + 7;
    assert_eq!(resumable(&part, whole).unwrap(), 0);
    for (came, kept) in [
        (0, 0),
        (1, 0),
        (RESUMES_AT - 1, 0),
        (RESUMES_AT, RESUMES_AT),
        (2 * RESUMES_AT + 12_345, 2 * RESUMES_AT),
        (whole - 1, 5 * RESUMES_AT),
        (whole, whole),
    ] {
        fs::File::create(&part).unwrap().set_len(came).unwrap();
        assert_eq!(resumable(&part, whole).unwrap(), kept, "{came}");
        assert_eq!(fs::metadata(&part).unwrap().len(), kept);
    }
}
