use std::collections::BTreeMap;
use std::io::{Cursor, Read as _};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures_util::future::BoxFuture;
use harpo_protocol::access::{Purpose, Requester};
use harpo_protocol::search::Level;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::archive::{ArchiveError, Leaving, SearchPage, SearchQuery, Selector, StoredInstance};
use crate::content::export::{Exported, Tracing, untraceable};
use crate::dicom::testing::Sample;
use crate::dicom::{Limits, inspect, part10};

mod wado;

const TOKEN: &str = "5f8e1c0a77aa4f0e9b1d3c2f6a7b8c9d";

type Refuse = fn() -> ArchiveError;

/// Holds a folder of instances, and remembers what it was asked.
#[derive(Default)]
struct Memory {
    files: Vec<PathBuf>,
    asked: Mutex<Vec<(Requester, SearchQuery)>>,
    more: bool,
    /// Answered instead of anything else.
    refuse: Option<Refuse>,
    /// What leaves carries this mark.
    mark: Option<Arc<Tracing>>,
    /// How often something was taken away.
    exports: AtomicUsize,
    /// Whether whole instances leave.
    instances_leave: bool,
}

impl Archive for Memory {
    fn search<'a>(
        &'a self,
        who: &'a Requester,
        query: SearchQuery,
    ) -> BoxFuture<'a, Result<SearchPage, ArchiveError>> {
        Box::pin(async move {
            if let Some(refuse) = self.refuse {
                return Err(refuse());
            }
            self.asked.lock().unwrap().push((who.clone(), query));
            let rows = self.files.iter().map(|path| {
                let header = inspect(&std::fs::read(path).unwrap(), &Limits::default()).unwrap();
                let mut row = header.attributes.study;
                row.extend(header.attributes.series);
                row.extend(header.attributes.instance);
                row
            });
            Ok(SearchPage {
                rows: rows.collect(),
                more: self.more,
            })
        })
    }

    fn open<'a>(
        &'a self,
        _who: &'a Requester,
        which: Selector,
    ) -> BoxFuture<'a, Result<Vec<StoredInstance>, ArchiveError>> {
        Box::pin(async move {
            if let Some(refuse) = self.refuse {
                return Err(refuse());
            }
            let all = self.files.iter().map(|path| {
                let header = inspect(&std::fs::read(path).unwrap(), &Limits::default()).unwrap();
                let stored = StoredInstance {
                    sop_instance_uid: header.sop_instance_uid,
                    series_instance_uid: header.series_instance_uid,
                    sop_class_uid: header.sop_class_uid,
                    path: path.clone(),
                };
                (header.study_instance_uid, stored)
            });
            let found: Vec<_> = all
                .filter(|(study, s)| {
                    *study == which.study
                        && which
                            .series
                            .as_ref()
                            .is_none_or(|u| *u == s.series_instance_uid)
                        && which
                            .instance
                            .as_ref()
                            .is_none_or(|u| *u == s.sop_instance_uid)
                })
                .map(|(_, s)| s)
                .collect();
            if found.is_empty() {
                Err(ArchiveError::NotFound)
            } else {
                Ok(found)
            }
        })
    }

    fn export<'a>(
        &'a self,
        who: &'a Requester,
        which: Selector,
        leaving: Leaving,
    ) -> BoxFuture<'a, Result<Vec<Exported>, ArchiveError>> {
        Box::pin(async move {
            let stored = self.open(who, which).await?.into_iter();
            let exported: Vec<_> = stored
                .map(|stored| Exported::new(stored, self.mark.clone()))
                .collect();
            untraceable(&exported).map_err(|why| ArchiveError::Untraceable {
                why: why.to_string(),
            })?;
            if leaving == Leaving::All || self.mark.is_some() {
                self.exports.fetch_add(1, Ordering::Relaxed);
            }
            Ok(exported)
        })
    }
}

struct Fixture {
    router: Router,
    memory: Arc<Memory>,
    spool: Arc<Spool>,
    stored: Arc<Mutex<Vec<String>>>,
    _dir: tempfile::TempDir,
}

fn fixture(samples: &[Vec<u8>], change: impl FnOnce(&mut Memory, &mut WebLimits)) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let mut memory = Memory::default();
    for (i, bytes) in samples.iter().enumerate() {
        let path = dir.path().join(format!("{i}.dcm"));
        std::fs::write(&path, bytes).unwrap();
        memory.files.push(path);
    }
    let mut limits = WebLimits::default();
    change(&mut memory, &mut limits);
    let instances_leave = memory.instances_leave;
    let (memory, stored) = (Arc::new(memory), Arc::new(Mutex::new(Vec::new())));
    let spool = Spool::open(&dir.path().join("spool")).unwrap();
    let user = UserConfig {
        name: "eva".into(),
        role: "physician".into(),
        password_hash: None,
        token_sha256: Some(token_sha256(TOKEN)),
    };
    let log = Arc::clone(&stored);
    let web = Web {
        archive: memory.clone(),
        spool: spool.clone(),
        users: Arc::new(Users::new(vec![user]).unwrap()),
        now: Arc::new(|| 1_750_000_000_000),
        on_stored: Arc::new(move |s| log.lock().unwrap().push(s.header.sop_instance_uid.clone())),
        instances_leave,
        limits,
    };
    Fixture {
        router: router(web, Router::new()),
        memory,
        spool,
        stored,
        _dir: dir,
    }
}

fn plain(samples: &[Sample]) -> Fixture {
    let files: Vec<_> = samples.iter().map(Sample::file).collect();
    fixture(&files, |_, _| {})
}

fn sample(n: u32) -> Sample {
    Sample {
        instance: format!("1.2.3.{n}"),
        number: n,
        ..Sample::default()
    }
}

impl Fixture {
    async fn send(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn get(&self, path: &str, accept: &str) -> Response {
        let request = Request::get(path)
            .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
            .header(header::HOST, "gateway.example:8604")
            .header(header::ACCEPT, accept);
        self.send(request.body(Body::empty()).unwrap()).await
    }

    async fn post(&self, path: &str, content_type: &str, body: Vec<u8>) -> Response {
        let request = Request::post(path)
            .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
            .header(header::CONTENT_TYPE, content_type);
        self.send(request.body(Body::from(body)).unwrap()).await
    }
}

async fn bytes(response: Response) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

async fn json_of(response: Response) -> Value {
    serde_json::from_slice(&bytes(response).await).unwrap()
}

const STOW: &str = "multipart/related; type=\"application/dicom\"; boundary=XX";

fn form(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::new();
    for part in parts {
        body.extend_from_slice(b"--XX\r\nContent-Type: application/dicom\r\n\r\n");
        body.extend_from_slice(part);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--XX--\r\n");
    body
}

/// The parts of a multipart response: heads and contents.
async fn parts(response: Response) -> Vec<(String, Vec<u8>)> {
    let content_type = response.headers()[header::CONTENT_TYPE]
        .to_str()
        .unwrap()
        .to_owned();
    let boundary = accept::Media::parse(&content_type)
        .unwrap()
        .parameter("boundary")
        .unwrap()
        .to_owned();
    let mut reader =
        multipart::Multipart::new(response.into_body().into_data_stream(), &boundary, 1 << 30)
            .unwrap();
    let mut out = Vec::new();
    while let Some(head) = reader.next().await.unwrap() {
        let mut content = Vec::new();
        while let Some(chunk) = reader.chunk().await.unwrap() {
            content.extend_from_slice(&chunk);
        }
        out.push((head.content_type.unwrap_or_default(), content));
    }
    out
}

#[tokio::test]
async fn nothing_without_a_name() {
    let fixture = plain(&[]);
    for path in [
        "/",
        "/dicom-web/studies",
        "/dicom-web/studies/1.2",
        "/nothing",
    ] {
        let response = fixture
            .send(Request::get(path).body(Body::empty()).unwrap())
            .await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert!(
            response.headers()[header::WWW_AUTHENTICATE]
                .to_str()
                .unwrap()
                .starts_with("Basic")
        );
        assert_eq!(json_of(response).await["error"]["code"], "unauthenticated");
    }
    assert_eq!(fixture.get("/", "*/*").await.status(), StatusCode::OK);
    assert_eq!(
        fixture.get("/nothing", "*/*").await.status(),
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn stow_stores_and_says_so() {
    let fixture = plain(&[]);
    let files: Vec<_> = (1..=12).map(|n| sample(n).file()).collect();
    let response = fixture.post("/dicom-web/studies", STOW, form(&files)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        "application/dicom+json"
    );
    let answer = json_of(response).await;
    let stored = answer["00081199"]["Value"].as_array().unwrap();
    assert_eq!(stored.len(), 12);
    for (n, item) in (1..).zip(stored) {
        assert_eq!(
            item["00081155"]["Value"][0],
            format!("1.2.3.{n}"),
            "in the order of the request"
        );
    }
    assert!(answer.get("00081198").is_none());
    assert_eq!(fixture.spool.open_studies()[0].instances, 12);
    assert_eq!(fixture.stored.lock().unwrap().len(), 12);
    fixture.spool.close("1.2.3.1", "b").unwrap();
    let bundle = fixture.spool.bundle("b").unwrap();
    let original = bundle
        .instances
        .iter()
        .find(|i| i.header.sop_instance_uid == "1.2.3.7")
        .unwrap();
    assert_eq!(std::fs::read(&original.path).unwrap(), files[6]);
    assert_eq!(original.source, crate::spool::Source::User("eva".into()));
}

#[tokio::test]
async fn stow_reports_each_failure() {
    let fixture = plain(&[]);
    let changed = Sample {
        pixels: vec![9; 32],
        ..sample(1)
    };
    let other = Sample {
        patient: "P2".into(),
        ..sample(2)
    };
    let first = fixture
        .post(
            "/dicom-web/studies/1.2.3.1",
            STOW,
            form(&[sample(1).file()]),
        )
        .await;
    assert_eq!(first.status(), StatusCode::OK);
    let mixed = form(&[
        sample(1).file(),
        changed.file(),
        other.file(),
        b"garbage".to_vec(),
        sample(3).dataset(),
    ]);
    let response = fixture.post("/dicom-web/studies", STOW, mixed).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let answer = json_of(response).await;
    assert_eq!(
        answer["00081199"]["Value"].as_array().unwrap().len(),
        2,
        "{answer}"
    );
    let failed = answer["00081198"]["Value"].as_array().unwrap();
    assert_eq!(failed[0]["00081197"]["Value"][0], 0x0111);
    assert_eq!(failed[1]["00081197"]["Value"][0], 0xA900);
    assert_eq!(failed[1]["00081155"]["Value"][0], "1.2.3.2");
    assert!(
        failed[1]["00000902"]["Value"][0]
            .as_str()
            .unwrap()
            .contains("another patient")
    );
    assert_eq!(
        answer["0008119A"]["Value"][0]["00081197"]["Value"][0],
        0xC000
    );
    let wrong = fixture
        .post("/dicom-web/studies/9.9", STOW, form(&[sample(4).file()]))
        .await;
    assert_eq!(wrong.status(), StatusCode::CONFLICT);
    let single = fixture
        .post("/dicom-web/studies", "application/dicom", sample(5).file())
        .await;
    assert_eq!(single.status(), StatusCode::OK);
}

#[tokio::test]
async fn stow_refuses_what_it_cannot_take() {
    let fixture = fixture(&[], |_, limits| {
        limits.request_bytes = 10_000;
        limits.object_bytes = 2_000;
        limits.parts = 5;
    });
    let post = async |content_type: &str, body: Vec<u8>| {
        fixture
            .post("/dicom-web/studies", content_type, body)
            .await
            .status()
    };
    assert_eq!(
        post("application/json", vec![]).await,
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
    let xml = "multipart/related; type=\"application/dicom+xml\"; boundary=XX";
    assert_eq!(
        post(xml, form(&[])).await,
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
    assert_eq!(
        post("multipart/related; type=\"application/dicom\"", vec![]).await,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(post(STOW, form(&[])).await, StatusCode::BAD_REQUEST);
    assert_eq!(
        post(STOW, b"--XX\r\n\r\nhalf".to_vec()).await,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        post(STOW, form(&[vec![0; 20_000]])).await,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert_eq!(
        post(STOW, form(&[vec![0; 3_000]])).await,
        StatusCode::CONFLICT
    );
    let many: Vec<_> = (0..6).map(|_| vec![0; 10]).collect();
    assert_eq!(post(STOW, form(&many)).await, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(fixture.spool.open_studies(), []);
}

#[tokio::test]
async fn qido_passes_keys_on() {
    let fixture = fixture(&[sample(1).file()], |memory, _| memory.more = true);
    let path = "/dicom-web/studies?PatientID=P1&00100010=M%C3%BC*&StudyDate=20260101-20260131\
                &StudyInstanceUID=1.2,1.3&AccessionNumber=&includefield=StudyDescription,00081030\
                &limit=5000&offset=7&fuzzymatching=true";
    let response = fixture.get(path, "application/dicom+json").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        response.headers().get_all(header::WARNING).iter().count(),
        3
    );
    let rows = json_of(response).await;
    assert_eq!(
        rows[0]["00081190"]["Value"][0],
        "http://gateway.example:8604/dicom-web/studies/1.2.3.1"
    );
    let (who, query) = fixture.memory.asked.lock().unwrap().pop().unwrap();
    assert_eq!((who.user.as_str(), who.purpose), ("eva", Purpose::Treat));
    assert_eq!(
        (query.level, query.limit, query.offset),
        (Level::Study, 1000, 7)
    );
    let keys = [
        ("0020000D", "1.2,1.3"),
        ("00080020", "20260101-20260131"),
        ("00100010", "Mü*"),
        ("00100020", "P1"),
    ];
    let keys: BTreeMap<String, String> = keys.map(|(k, v)| (k.into(), v.into())).into();
    assert_eq!(query.matching, keys);
    assert_eq!(query.include, ["00081030", "00081030"]);
    fixture
        .get(
            "/dicom-web/studies/1.2/series/1.3/instances?Modality=CT",
            "*/*",
        )
        .await;
    let (_, query) = fixture.memory.asked.lock().unwrap().pop().unwrap();
    assert_eq!(query.level, Level::Instance);
    assert_eq!(query.matching["0020000E"], "1.3");
    assert_eq!(query.matching["00080060"], "CT");
}

#[tokio::test]
async fn qido_refuses_nonsense() {
    let fixture = plain(&[]);
    for path in [
        "/dicom-web/studies?NoSuchKeyword=1",
        "/dicom-web/studies?limit=x",
        "/dicom-web/studies?PatientID=1&00100020=2",
        "/dicom-web/studies/abc/series",
        "/dicom-web/studies?00400275.00400009=1",
    ] {
        let response = fixture.get(path, "*/*").await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(json_of(response).await["error"]["code"], "bad_request");
    }
    let xml = fixture
        .get("/dicom-web/studies", "application/dicom+xml")
        .await;
    assert_eq!(xml.status(), StatusCode::NOT_ACCEPTABLE);
}

#[tokio::test]
async fn refusals_of_the_platform_keep_their_meaning() {
    let cases: [(Refuse, StatusCode, &str); 5] = [
        (
            || ArchiveError::NoRoom {
                why: "free space, then try again".into(),
            },
            StatusCode::INSUFFICIENT_STORAGE,
            "storage_full",
        ),
        (
            || ArchiveError::Denied {
                reason: "HRESCH is not permitted".into(),
            },
            StatusCode::FORBIDDEN,
            "denied",
        ),
        (
            || ArchiveError::Unavailable {
                retry_after: Duration::from_secs(7),
                cause: "down".into(),
            },
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
        ),
        (
            || ArchiveError::Corrupt {
                what: "manifest".into(),
            },
            StatusCode::BAD_GATEWAY,
            "corrupt",
        ),
        (
            || ArchiveError::Internal("secret path".into()),
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
        ),
    ];
    for (refuse, status, code) in cases {
        let fixture = fixture(&[], |memory, _| memory.refuse = Some(refuse));
        for path in ["/dicom-web/studies", "/dicom-web/studies/1.2"] {
            let response = fixture.get(path, "*/*").await;
            assert_eq!(response.status(), status);
            if code == "unavailable" {
                assert_eq!(response.headers()[header::RETRY_AFTER], "7");
            }
            let error = json_of(response).await["error"].clone();
            assert_eq!(error["code"], code);
            assert!(!error["message"].as_str().unwrap().contains("secret"));
        }
    }
}
