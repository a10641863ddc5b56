//! What clients say they take (RFC 9110 section 12.5.1, PS3.18 section 8.7).

use http::{HeaderMap, header};

/// A media range.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Media {
    /// `type/subtype` in lower case.
    pub(super) essence: String,
    parameters: Vec<(String, String)>,
    quality: f32,
}

impl Media {
    /// A parameter's value, unquoted.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// Reads one media type or range.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut pieces = split(text, ';');
        let essence = pieces.next()?.trim().to_ascii_lowercase();
        if !essence.contains('/') {
            return None;
        }
        let parameters: Vec<(String, String)> = pieces
            .filter_map(|p| {
                let (name, value) = p.split_once('=')?;
                let value = value.trim().trim_matches('"').to_owned();
                Some((name.trim().to_ascii_lowercase(), value))
            })
            .collect();
        let quality = parameters
            .iter()
            .find(|(n, _)| n == "q")
            .and_then(|(_, v)| v.parse().ok());
        Some(Self {
            essence,
            parameters,
            quality: quality.unwrap_or(1.0),
        })
    }
}

/// What the request accepts, best first; `*/*` where it does not say. The query parameter wins over
/// the header (PS3.18 section 8.3.3.1).
pub(super) fn accepted(headers: &HeaderMap, parameter: Option<&str>) -> Vec<Media> {
    let mut text: Vec<&str> = match parameter {
        Some(parameter) => vec![parameter],
        None => headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|v| v.to_str().ok())
            .collect(),
    };
    if text.iter().all(|t| t.trim().is_empty()) {
        text = vec!["*/*"];
    }
    let mut media: Vec<Media> = text
        .into_iter()
        .flat_map(|t| split(t, ','))
        .filter_map(Media::parse)
        .filter(|m| m.quality > 0.0)
        .collect();
    media.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    media
}

/// Splits outside of quotes.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c| {
        if c == '"' {
            quoted = !quoted;
        }
        c == separator && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(accept: &str) -> Vec<Media> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        accepted(&headers, None)
    }

    #[test]
    fn what_viewers_send() {
        let media = of("multipart/related; type=application/octet-stream; transfer-syntax=*");
        assert_eq!(media[0].parameter("type"), Some("application/octet-stream"));
        assert_eq!(media[0].parameter("transfer-syntax"), Some("*"));
        let media =
            of("text/html;q=0.5, multipart/related; type=\"application/dicom\"; a=\"x,y;z\"");
        assert_eq!(media[0].essence, "multipart/related");
        assert_eq!(media[0].parameter("type"), Some("application/dicom"));
        assert_eq!(media[0].parameter("a"), Some("x,y;z"));
        assert_eq!(media[1].essence, "text/html");
        assert_eq!(accepted(&HeaderMap::new(), None)[0].essence, "*/*");
        assert_eq!(of("application/zip;q=0"), []);
        assert_eq!(
            accepted(&HeaderMap::new(), Some("application/zip"))[0].essence,
            "application/zip"
        );
    }
}
