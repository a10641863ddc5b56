//! A study as one download: `series-001-CT/00001.dcm`, written while it is sent.

use std::collections::HashSet;
use std::io;

use ::zip::write::SimpleFileOptions;
use ::zip::{CompressionMethod, ZipWriter};
use axum::response::{IntoResponse as _, Response};
use http::header;

use super::body;
use crate::content::export::Exported;
use crate::dicom::json::Dataset;
use crate::dicom::{Header, Limits, inspect_file};

/// A response that holds an export. `name` is made of a UID.
pub(super) fn response(name: &str, instances: Vec<Exported>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/zip".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    let body = body::written(move |out| {
        let mut zip = ZipWriter::new_stream(out);
        // Pixels hardly shrink, and deflating them would be slower than the network.
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(true);
        let mut taken = HashSet::new();
        for instance in &instances {
            let header = inspect_file(&instance.stored.path, &Limits::default())
                .map_err(io::Error::other)?;
            zip.start_file(unique(&mut taken, &header), options)
                .map_err(io::Error::other)?;
            instance.write(&mut zip)?;
        }
        zip.finish().map_err(io::Error::other)?;
        Ok(())
    });
    (headers, body).into_response()
}

/// A name made of numbers and the modality, never of a sender's free text.
fn unique(taken: &mut HashSet<String>, header: &Header) -> String {
    let series = number(&header.attributes.series, "00200011");
    let instance = number(&header.attributes.instance, "00200013");
    let modality: String = crate::dicom::json::first(&header.attributes.series, "00080060")
        .unwrap_or("OT")
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(4)
        .collect();
    let stem = format!("series-{series:03}-{modality}/{instance:05}");
    let mut name = format!("{stem}.dcm");
    let mut copy = 1;
    while !taken.insert(name.clone()) {
        copy += 1;
        name = format!("{stem}-{copy}.dcm");
    }
    name
}

fn number(level: &Dataset, key: &str) -> u64 {
    level
        .get(key)
        .and_then(|a| a.get("Value")?.get(0)?.as_u64())
        .unwrap_or(0)
}
