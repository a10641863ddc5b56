//! QIDO-RS: searching (PS3.18 section 10.6).

use std::collections::BTreeMap;

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use dicom_core::dictionary::{DataDictionary as _, DataDictionaryEntry as _};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::StandardDataDictionary;
use harpo_protocol::access::Requester;
use harpo_protocol::search::{Level, MAX_ROWS};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::Value;

use super::accept::accepted;
use super::{ApiError, Web};
use crate::archive::SearchQuery;
use crate::dicom::json::{self, Dataset};
use crate::dicom::uid;

/// Rows of a page where the client sets no limit.
const DEFAULT_ROWS: u32 = 100;

/// Longest value of a matching key, in bytes. A list of a hundred UIDs fits.
const VALUE_BYTES: usize = 8 << 10;

type Parameters = Query<Vec<(String, String)>>;

macro_rules! searches {
    ($($(#[$doc:meta])* $name:ident($($part:ident = $tag:literal),*) -> $level:ident;)*) => {$(
        $(#[$doc])*
        pub(super) async fn $name(
            state: State<Web>,
            who: Extension<Requester>,
            Path(parts): Path<Vec<(String, String)>>,
            parameters: Parameters,
            headers: HeaderMap,
        ) -> Result<Response, ApiError> {
            let keys: &[(&str, &str)] = &[$((stringify!($part), $tag)),*];
            search(&state, &who, Level::$level, keys, parts, parameters.0, &headers).await
        }
    )*};
}

searches! {
    /// `GET /studies`.
    studies() -> Study;
    /// `GET /series`.
    series() -> Series;
    /// `GET /instances`.
    instances() -> Instance;
    /// `GET /studies/{study}/series`.
    study_series(study = "0020000D") -> Series;
    /// `GET /studies/{study}/instances`.
    study_instances(study = "0020000D") -> Instance;
    /// `GET /studies/{study}/series/{series}/instances`.
    series_instances(study = "0020000D", series = "0020000E") -> Instance;
}

async fn search(
    web: &Web,
    who: &Requester,
    level: Level,
    keys: &[(&str, &str)],
    parts: Vec<(String, String)>,
    parameters: Vec<(String, String)>,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let accept = parameters
        .iter()
        .find(|(n, _)| n == "accept")
        .map(|(_, v)| v.clone());
    json_accepted(headers, accept.as_deref())?;
    let (mut query, mut warnings) = parse(level, parameters)?;
    for (name, value) in parts {
        if !uid::is_valid(&value) {
            return Err(ApiError::bad_request(format!(
                "the {name} in the path is not a UID"
            )));
        }
        if let Some((_, tag)) = keys.iter().find(|(part, _)| *part == name) {
            query.matching.insert((*tag).to_owned(), value);
        }
    }
    let page = web.archive.search(who, query).await?;
    if page.more {
        warnings.push("There are additional results that can be requested");
    }
    let base = base_url(headers);
    let rows: Vec<Value> = page
        .rows
        .into_iter()
        .map(|row| Value::Object(with_url(&base, level, row)))
        .collect();
    let mut response = dicom_json(StatusCode::OK, Value::Array(rows).to_string());
    for warning in warnings {
        if let Ok(value) = HeaderValue::from_str(&format!("299 harpocrates \"{warning}\"")) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    Ok(response)
}

/// Reads the query parameters; also what was ignored, for Warning headers.
fn parse(
    level: Level,
    parameters: Vec<(String, String)>,
) -> Result<(SearchQuery, Vec<&'static str>), ApiError> {
    let mut query = SearchQuery {
        level,
        matching: BTreeMap::new(),
        include: Vec::new(),
        limit: DEFAULT_ROWS,
        offset: 0,
    };
    let mut warnings = Vec::new();
    let number = |name: &str, value: &str| {
        value
            .parse::<u32>()
            .map_err(|_| ApiError::bad_request(format!("{name} is not a number")))
    };
    for (name, value) in parameters {
        match name.as_str() {
            "accept" => {}
            "limit" => {
                let asked = number("limit", &value)?;
                if asked > MAX_ROWS {
                    warnings.push("The limit is larger than one answer holds");
                }
                query.limit = asked.min(MAX_ROWS);
            }
            "offset" => query.offset = number("offset", &value)?,
            "fuzzymatching" => {
                if value.eq_ignore_ascii_case("true") {
                    warnings.push(
                        "Fuzzy matching is not supported; only literal matching was performed",
                    );
                }
            }
            "includefield" => {
                for field in value.split(',').map(str::trim).filter(|f| !f.is_empty()) {
                    match field {
                        "all" => query.include.push("all".to_owned()),
                        _ => query.include.push(json::key(tag(field)?)),
                    }
                }
            }
            _ => {
                if value.len() > VALUE_BYTES {
                    let message = format!("the value of {name} is longer than {VALUE_BYTES} bytes");
                    return Err(ApiError::bad_request(message));
                }
                let key = json::key(tag(&name)?);
                if query.matching.insert(key, value).is_some() {
                    return Err(ApiError::bad_request(format!("{name} stands twice")));
                }
            }
        }
    }
    // Empty keys match everything (PS3.4 C.2.2.2.3).
    query.matching.retain(|_, value| !value.is_empty());
    Ok((query, warnings))
}

/// A tag from a keyword, or from eight hexadecimal digits.
fn tag(name: &str) -> Result<Tag, ApiError> {
    if name.len() == 8
        && let (Some(group), Some(element)) = (name.get(..4), name.get(4..))
        && let (Ok(group), Ok(element)) = (
            u16::from_str_radix(group, 16),
            u16::from_str_radix(element, 16),
        )
    {
        return Ok(Tag(group, element));
    }
    let shown: String = name.chars().take(64).collect();
    StandardDataDictionary
        .by_name(name)
        .map(|entry| entry.tag())
        .ok_or_else(|| {
            let message = format!(
                "{shown:?} is neither a DICOM keyword nor a tag of eight hexadecimal digits"
            );
            ApiError::bad_request(message)
        })
}

/// Adds Retrieve URL (0008,1190).
fn with_url(base: &str, level: Level, mut row: Dataset) -> Dataset {
    let part = |key| json::first(&row, key).map(str::to_owned);
    let url = match (level, part("0020000D"), part("0020000E"), part("00080018")) {
        (Level::Study, Some(study), ..) => Some(format!("{base}/studies/{study}")),
        (Level::Series, Some(study), Some(series), _) => {
            Some(format!("{base}/studies/{study}/series/{series}"))
        }
        (Level::Instance, Some(study), Some(series), Some(instance)) => Some(format!(
            "{base}/studies/{study}/series/{series}/instances/{instance}"
        )),
        _ => None,
    };
    if let Some(url) = url {
        row.insert("00081190".into(), json::text(VR::UR, &url));
    }
    row
}

/// Refuses where the client takes no DICOM JSON.
pub(super) fn json_accepted(headers: &HeaderMap, parameter: Option<&str>) -> Result<(), ApiError> {
    let fits = |essence: &str| {
        matches!(
            essence,
            "*/*" | "application/*" | "application/dicom+json" | "application/json"
        )
    };
    if accepted(headers, parameter)
        .iter()
        .any(|m| fits(&m.essence))
    {
        return Ok(());
    }
    Err(ApiError::not_acceptable(
        "this comes as application/dicom+json only; accept that",
    ))
}

/// A response in the DICOM JSON model.
pub(super) fn dicom_json(status: StatusCode, body: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/dicom+json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, body).into_response()
}

/// The service's address as the client sees it, for links in answers to that same client.
pub(super) fn base_url(headers: &HeaderMap) -> String {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    let scheme = match text("x-forwarded-proto") {
        Some("https") => "https",
        _ => "http",
    };
    match text("host") {
        Some(host)
            if host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-.:[]_".contains(&b)) =>
        {
            format!("{scheme}://{host}/dicom-web")
        }
        _ => "/dicom-web".to_owned(),
    }
}
