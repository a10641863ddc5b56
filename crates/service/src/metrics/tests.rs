use axum::routing::get;
use http::StatusCode;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::admin::{Admin, Readiness};
use crate::config::AdminConfig;
use crate::http::{ApiError, Client};

const TABLE: &[Metric] = &[
    Metric::new("harpo_test_level", Kind::Gauge, "A level."),
    Metric::new("harpo_test_asked_total", Kind::Counter, "Answers.").by("code"),
    Metric::new(
        "harpo_test_delay_seconds",
        Kind::Histogram(&[1.0, 5.0]),
        "Delays.",
    ),
];

struct Service(u32);

impl Observed for Service {
    fn observe<'a>(&'a self, metrics: &'a Metrics) -> Observing<'a> {
        Box::pin(async move {
            if self.0 == 0 {
                return Err("no database".into());
            }
            metrics.gauge("harpo_test_level").set(self.0);
            Ok(())
        })
    }
}

async fn told(metrics: Metrics, level: u32) -> Result<String, crate::http::ClientError> {
    let config = AdminConfig::default();
    let admin = Admin::bind(&config, Readiness::new())
        .await
        .unwrap()
        .telling(metrics, Arc::new(Service(level)));
    let client = Client::plain(&format!("http://{}", admin.local_addr())).unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(admin.serve(stop.clone()));
    let answer = client.get("/-/metrics").send().await;
    let text = match answer {
        Ok(answer) => Ok(String::from_utf8(answer.bytes(10_000).await.unwrap().to_vec()).unwrap()),
        Err(error) => Err(error),
    };
    stop.cancel();
    running.await.unwrap();
    text
}

#[tokio::test]
async fn each_service_tells_of_itself_alone() {
    let (one, other) = (Metrics::new(TABLE), Metrics::new(TABLE));
    one.histogram("harpo_test_delay_seconds").record(3.0);
    one.add_up();
    one.histogram("harpo_test_delay_seconds").record(9.0);
    let text = told(one, 7).await.unwrap();
    for line in [
        "# HELP harpo_test_level A level.",
        "# TYPE harpo_test_level gauge",
        "harpo_test_level 7",
        "# TYPE harpo_test_delay_seconds histogram",
        "harpo_test_delay_seconds_bucket{le=\"1\"} 0",
        "harpo_test_delay_seconds_bucket{le=\"5\"} 1",
        "harpo_test_delay_seconds_bucket{le=\"+Inf\"} 2",
        "harpo_test_delay_seconds_sum 12",
        "harpo_test_delay_seconds_count 2",
    ] {
        assert!(text.lines().any(|told| told == line), "{line} in\n{text}");
    }
    let text = told(other, 8).await.unwrap();
    assert!(text.contains("harpo_test_level 8"), "{text}");
    assert!(!text.contains("delay"), "{text}");
}

#[tokio::test]
async fn what_cannot_be_read_is_not_told_as_if_it_were() {
    let refused = told(Metrics::new(TABLE), 0).await.unwrap_err();
    let crate::http::ClientError::Refused { status, .. } = refused else {
        panic!("{refused}");
    };
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn answers_are_counted_by_the_code_of_the_refusal() {
    use tower::ServiceExt as _;
    let metrics = Metrics::new(TABLE);
    let router = Router::new()
        .route("/good", get(async || "yes"))
        .route("/spent", get(async || ApiError::conflict("spent", "gone")));
    let router = metrics.count_answers("harpo_test_asked_total", router);
    for path in ["/good", "/spent", "/good", "/nowhere"] {
        let request = Request::get(path).body(axum::body::Body::empty()).unwrap();
        router.clone().oneshot(request).await.unwrap();
    }
    let text = metrics.text();
    for line in [
        "harpo_test_asked_total{code=\"ok\"} 2",
        "harpo_test_asked_total{code=\"spent\"} 1",
    ] {
        assert!(text.lines().any(|told| told == line), "{line} in\n{text}");
    }
    assert!(text.contains("{code=\"not_found\"} 1"), "{text}");
}
