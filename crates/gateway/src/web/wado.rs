//! WADO-RS: retrieving (PS3.18 section 10.4).

use std::io::{self, BufReader, Write as _};

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use harpo_protocol::access::Requester;
use http::{HeaderMap, Method, StatusCode, header};
use serde::Deserialize;
use serde_json::Value;

use super::accept::{Media, accepted};
use super::qido::json_accepted;
use super::{ApiError, Web, body, zip};
use crate::archive::{Leaving, Selector, StoredInstance};
use crate::content::export::Exported;
use crate::dicom::frames::Frames;
use crate::dicom::inspect::{open_file, walker};
use crate::dicom::{Limits, json, uid};

/// Most frames of one request.
const FRAMES: usize = 4096;

#[derive(Deserialize)]
pub(super) struct Parts {
    study: String,
    series: Option<String>,
    instance: Option<String>,
    frames: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Parameters {
    accept: Option<String>,
}

impl Parts {
    fn selector(&self) -> Result<Selector, ApiError> {
        let parts = [
            Some(&self.study),
            self.series.as_ref(),
            self.instance.as_ref(),
        ];
        if !parts.into_iter().flatten().all(|u| uid::is_valid(u)) {
            return Err(ApiError::bad_request("the path holds what is not a UID"));
        }
        Ok(Selector {
            study: self.study.clone(),
            series: self.series.clone(),
            instance: self.instance.clone(),
        })
    }
}

macro_rules! same {
    ($($(#[$doc:meta])* $name:ident = $inner:ident;)*) => {$(
        $(#[$doc])*
        pub(super) async fn $name(
            state: State<Web>,
            who: Extension<Requester>,
            Path(parts): Path<Parts>,
            Query(parameters): Query<Parameters>,
            method: Method,
            headers: HeaderMap,
        ) -> Result<Response, ApiError> {
            let accept = parameters.accept.as_deref();
            $inner(&state, &who, &parts, accept, (&headers, method == Method::HEAD)).await
        }
    )*};
}

same! {
    /// `GET /studies/{study}`.
    study = retrieve;
    /// `GET /studies/{study}/series/{series}`.
    series = retrieve;
    /// `GET /studies/{study}/series/{series}/instances/{instance}`.
    instance = retrieve;
    /// `GET /studies/{study}/metadata`.
    study_metadata = metadata;
    /// `GET /studies/{study}/series/{series}/metadata`.
    series_metadata = metadata;
    /// `GET /studies/{study}/series/{series}/instances/{instance}/metadata`.
    instance_metadata = metadata;
    /// `GET /studies/{study}/series/{series}/instances/{instance}/frames/{frames}`.
    frames = retrieve_frames;
}

/// How instances are handed out.
enum Form {
    /// Parts, one an instance; only if all are in this transfer syntax, where one is named.
    Multipart(Option<String>),
    /// One instance by itself.
    Single(Option<String>),
    Zip,
}

async fn retrieve(
    web: &Web,
    who: &Requester,
    parts: &Parts,
    accept: Option<&str>,
    (headers, head): (&HeaderMap, bool),
) -> Result<Response, ApiError> {
    let selector = parts.selector()?;
    let form = accepted(headers, accept)
        .iter()
        .find_map(|m| form(m, parts.instance.is_some()));
    let Some(form) = form else {
        let message = "accept multipart/related; type=\"application/dicom\", application/zip, or for one instance application/dicom";
        return Err(ApiError::not_acceptable(message));
    };
    // What will be refused, and what is only asked about, is not written down as an export.
    let asked = match &form {
        Form::Multipart(asked) | Form::Single(asked) => asked.clone(),
        Form::Zip => None,
    };
    if let Some(asked) = asked {
        let files = open(web, who, selector.clone()).await?;
        crate::blocking(move || stored_in(&asked, &files)).await?;
    }
    let instances = if head {
        let shown = open(web, who, selector).await?;
        shown.into_iter().map(Exported::exact).collect()
    } else {
        // A zip is for taking away; what viewers ask for, to be looked at, unless the hospital says otherwise or the
        // permit demands marks: a whole file can be kept as well as a zip.
        let leaving = match web.instances_leave || matches!(form, Form::Zip) {
            true => Leaving::All,
            false => Leaving::Traced,
        };
        web.archive.export(who, selector, leaving).await?
    };
    match form {
        Form::Multipart(_) => Ok(whole(instances)),
        Form::Single(_) => single(instances),
        Form::Zip => {
            let name = format!("{}.zip", parts.series.as_ref().unwrap_or(&parts.study));
            Ok(zip::response(&name, instances))
        }
    }
}

fn form(media: &Media, one: bool) -> Option<Form> {
    let syntax = media
        .parameter("transfer-syntax")
        .filter(|s| *s != "*")
        .map(str::to_owned);
    match (media.essence.as_str(), media.parameter("type")) {
        ("*/*" | "multipart/*", _) => Some(Form::Multipart(None)),
        ("multipart/related", None) => Some(Form::Multipart(syntax)),
        ("multipart/related", Some(t)) if t.eq_ignore_ascii_case("application/dicom") => {
            Some(Form::Multipart(syntax))
        }
        ("application/dicom", _) if one => Some(Form::Single(syntax)),
        ("application/zip", _) => Some(Form::Zip),
        _ => None,
    }
}

async fn open(
    web: &Web,
    who: &Requester,
    selector: Selector,
) -> Result<Vec<StoredInstance>, ApiError> {
    let instances = web.archive.open(who, selector).await?;
    if instances.is_empty() {
        return Err(crate::archive::ArchiveError::NotFound.into());
    }
    Ok(instances)
}

/// Refuses if any instance is not stored in the transfer syntax that was asked for.
fn stored_in(asked: &str, instances: &[StoredInstance]) -> Result<(), ApiError> {
    for instance in instances {
        let (opening, ..) = open_file(&instance.path)?;
        if opening.transfer_syntax_uid != asked {
            let message = format!(
                "instance {} is stored in transfer syntax {} and not converted; ask for transfer-syntax=*",
                instance.sop_instance_uid, opening.transfer_syntax_uid,
            );
            return Err(ApiError::not_acceptable(message));
        }
    }
    Ok(())
}

/// A boundary that cannot be in the content: random, and as long as a boundary may be.
fn boundary() -> String {
    format!(
        "{}{}",
        uuid::Uuid::new_v4().simple(),
        uuid::Uuid::new_v4().simple()
    )
}

fn multipart_response(boundary: &str, kind: &str, body: Body) -> Response {
    let content_type = format!("multipart/related; type=\"{kind}\"; boundary=\"{boundary}\"");
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    (headers, body).into_response()
}

fn whole(instances: Vec<Exported>) -> Response {
    let boundary = boundary();
    let end = boundary.clone();
    let body = body::written(move |out| {
        for instance in &instances {
            // A mark changes no length.
            let length = instance.stored.path.metadata()?.len();
            write!(
                out,
                "--{end}\r\nContent-Type: application/dicom\r\nContent-Length: {length}\r\n\r\n"
            )?;
            instance.write(out)?;
            out.write_all(b"\r\n")?;
        }
        write!(out, "--{end}--\r\n")
    });
    multipart_response(&boundary, "application/dicom", body)
}

fn single(instances: Vec<Exported>) -> Result<Response, ApiError> {
    let Ok([instance]) = <[_; 1]>::try_from(instances) else {
        return Err(ApiError::not_acceptable(
            "there are several instances; accept multipart/related",
        ));
    };
    let headers = [
        (header::CONTENT_TYPE, "application/dicom"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let body = body::written(move |out| instance.write(out));
    Ok((headers, body).into_response())
}

async fn metadata(
    web: &Web,
    who: &Requester,
    parts: &Parts,
    accept: Option<&str>,
    (headers, _): (&HeaderMap, bool),
) -> Result<Response, ApiError> {
    json_accepted(headers, accept)?;
    let instances = open(web, who, parts.selector()?).await?;
    let body = body::written(move |out| {
        out.write_all(b"[")?;
        for (i, instance) in instances.iter().enumerate() {
            if i > 0 {
                out.write_all(b",")?;
            }
            let dataset = describe(instance).map_err(io::Error::other)?;
            serde_json::to_writer(&mut *out, &Value::Object(dataset))?;
        }
        out.write_all(b"]")
    });
    let headers = [
        (header::CONTENT_TYPE, "application/dicom+json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, body).into_response())
}

fn describe(instance: &StoredInstance) -> Result<json::Dataset, crate::dicom::InspectError> {
    let limits = Limits::default();
    let (opening, file, length) = open_file(&instance.path)?;
    let mut walker = walker(&opening, BufReader::new(file), length, &limits)?;
    let mut dataset = json::dataset(&mut walker)?;
    // What the meta header says of the pixels: viewers need it to decode frames.
    dataset.insert(
        "00083002".into(),
        json::text(dicom_core::VR::UI, &opening.transfer_syntax_uid),
    );
    Ok(dataset)
}

async fn retrieve_frames(
    web: &Web,
    who: &Requester,
    parts: &Parts,
    accept: Option<&str>,
    (headers, _): (&HeaderMap, bool),
) -> Result<Response, ApiError> {
    let numbers = frame_list(parts.frames.as_deref().unwrap_or_default())?;
    let mut instances = open(web, who, parts.selector()?).await?;
    let path = instances.swap_remove(0).path;
    let accepted = accepted(headers, accept);
    let mut frames = crate::blocking(move || Frames::open(&path, &Limits::default())).await?;
    if let Some(missing) = numbers.iter().find(|n| **n > frames.count) {
        let (asked, frames) = (*missing, frames.count);
        return Err(crate::dicom::frames::FrameError::NoSuchFrame { asked, frames }.into());
    }
    let syntax = frames.transfer_syntax_uid.clone();
    let Some((kind, alone)) = accepted.iter().find_map(|m| frame_form(m, &syntax)) else {
        let message = format!(
            "frames are stored in transfer syntax {syntax} and not converted; accept \
             multipart/related; type=\"application/octet-stream\"; transfer-syntax=*"
        );
        return Err(ApiError::not_acceptable(message));
    };
    if alone {
        let [number] = numbers[..] else {
            return Err(ApiError::not_acceptable(
                "several frames come as multipart/related only",
            ));
        };
        let frame = crate::blocking(move || frames.read(number)).await?;
        let content_type = format!("{kind}; transfer-syntax={syntax}");
        return Ok(([(header::CONTENT_TYPE, content_type)], frame).into_response());
    }
    let boundary = boundary();
    let end = boundary.clone();
    let part = kind.clone();
    let body = body::written(move |out| {
        for number in numbers {
            let frame = frames.read(number).map_err(io::Error::other)?;
            let length = frame.len();
            write!(
                out,
                "--{end}\r\nContent-Type: {part}; transfer-syntax={syntax}\r\n"
            )?;
            write!(out, "Content-Length: {length}\r\n\r\n")?;
            out.write_all(&frame)?;
            out.write_all(b"\r\n")?;
        }
        write!(out, "--{end}--\r\n")
    });
    Ok(multipart_response(&boundary, &kind, body))
}

/// The media type of the frames, and whether one comes by itself.
fn frame_form(media: &Media, syntax: &str) -> Option<(String, bool)> {
    const BYTES: &str = "application/octet-stream";
    if media
        .parameter("transfer-syntax")
        .is_some_and(|s| s != "*" && s != syntax)
    {
        return None;
    }
    let known = |kind: &str| kind.eq_ignore_ascii_case(BYTES) || Some(kind) == image_type(syntax);
    match (media.essence.as_str(), media.parameter("type")) {
        ("*/*" | "multipart/*", _) | ("multipart/related", None | Some("*/*")) => {
            Some((BYTES.to_owned(), false))
        }
        ("multipart/related", Some("image/*")) => {
            image_type(syntax).map(|kind| (kind.to_owned(), false))
        }
        ("multipart/related", Some(kind)) if known(kind) => {
            Some((kind.to_ascii_lowercase(), false))
        }
        (kind, _) if known(kind) => Some((kind.to_owned(), true)),
        _ => None,
    }
}

/// The media type of compressed frames (PS3.18 table 8.7.3-5).
fn image_type(transfer_syntax: &str) -> Option<&'static str> {
    Some(match transfer_syntax.strip_prefix("1.2.840.10008.1.2.")? {
        "4.50" | "4.51" | "4.57" | "4.70" => "image/jpeg",
        "4.80" | "4.81" => "image/jls",
        "4.90" | "4.91" => "image/jp2",
        "4.92" | "4.93" => "image/jpx",
        "4.110" | "4.111" | "4.112" => "image/jxl",
        "4.201" | "4.202" | "4.203" => "image/jphc",
        "5" => "image/dicom-rle",
        _ => return None,
    })
}

fn frame_list(text: &str) -> Result<Vec<u32>, ApiError> {
    let numbers: Result<Vec<u32>, _> = text.split(',').map(|n| n.trim().parse::<u32>()).collect();
    match numbers {
        Ok(numbers) if numbers.len() <= FRAMES && !numbers.contains(&0) => Ok(numbers),
        _ => Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "bad_request",
            format!("frames are numbers from 1 on, separated by commas, at most {FRAMES} at once"),
        )),
    }
}
