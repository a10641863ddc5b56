//! Heads of the Binary HTTP messages (RFC 9292, known length) that are encapsulated (docs/protocol.md 9.8).

use std::io::Cursor;

use bhttp::{ControlData, Error, FieldSection, Mode, StatusCode as BinaryStatus};
use bytes::Bytes;
use harpo_protocol::Malformed;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, RANGE, RETRY_AFTER,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

/// Longest head, in bytes.
pub const HEAD_BYTES: usize = 16 << 10;

/// Framing indicators of known length (RFC 9292, section 3.3).
const REQUEST: u8 = 0;
const RESPONSE: u8 = 1;
const SCHEME: &[u8] = b"https";

/// Fields that a request may have.
const REQUEST_FIELDS: &[HeaderName] = &[RANGE];
/// Fields that a response may have. The length is the message's own.
const RESPONSE_FIELDS: &[HeaderName] = &[
    ACCEPT_RANGES,
    CACHE_CONTROL,
    CONTENT_RANGE,
    CONTENT_TYPE,
    ETAG,
    RETRY_AFTER,
];

/// What a request says before its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// `GET`, `POST`.
    pub method: Method,
    /// Path and parameters, `/v1/…`.
    pub path: String,
    /// `range`, or nothing.
    pub fields: HeaderMap,
    /// Bytes of the body that follows.
    pub length: u64,
}

/// What a response says before its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// Its status.
    pub status: StatusCode,
    /// Its fields, as far as they go through.
    pub fields: HeaderMap,
    /// Bytes of the body that follows.
    pub length: u64,
}

impl RequestHead {
    /// What goes before the body.
    ///
    /// # Errors
    /// [`Malformed`] if it has a field that does not go through, or is too long.
    pub fn to_bytes(&self) -> Result<Bytes, Malformed> {
        let control = ControlData::Request {
            method: self.method.as_str().into(),
            scheme: SCHEME.into(),
            authority: Vec::new(),
            path: self.path.clone().into_bytes(),
        };
        if let Some(name) = self.fields.keys().find(|n| !REQUEST_FIELDS.contains(n)) {
            return Err(complain(format!("{name} does not go through the relay")));
        }
        write(REQUEST, &control, &self.fields, self.length)
    }

    /// Reads the head at the beginning of `bytes`, and says how many bytes it took. `None` if more must come first:
    /// at most [`HEAD_BYTES`].
    ///
    /// # Errors
    /// [`Malformed`] if it is no request that may pass (docs/protocol.md 9.8).
    pub fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>, Malformed> {
        let Some((control, fields, length, taken)) = read(REQUEST, bytes)? else {
            return Ok(None);
        };
        let ControlData::Request {
            method,
            scheme,
            authority,
            path,
        } = control
        else {
            return Err(complain("it is no request"));
        };
        if scheme != SCHEME || !authority.is_empty() {
            return Err(complain("its scheme is not https, or it has an authority"));
        }
        let path = String::from_utf8(path).ok();
        let path =
            path.filter(|path| path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic()));
        let head = Self {
            method: Method::from_bytes(&method).map_err(|_| complain("its method is none"))?,
            path: path.ok_or_else(|| complain("its path is none"))?,
            fields: known(&fields, REQUEST_FIELDS)?,
            length,
        };
        Ok(Some((head, taken)))
    }
}

impl ResponseHead {
    /// What goes before the body. Fields that do not go through are left out.
    ///
    /// # Errors
    /// [`Malformed`] if it is too long.
    pub fn to_bytes(&self) -> Result<Bytes, Malformed> {
        let status = BinaryStatus::try_from(self.status.as_u16())
            .map_err(|_| complain("its status is none"))?;
        let through = self
            .fields
            .iter()
            .filter(|(name, _)| RESPONSE_FIELDS.contains(name));
        let through = through
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        write(
            RESPONSE,
            &ControlData::Response(status),
            &through,
            self.length,
        )
    }

    /// As [`RequestHead::read`].
    ///
    /// # Errors
    /// [`Malformed`] if it is no response.
    pub fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>, Malformed> {
        let Some((control, fields, length, taken)) = read(RESPONSE, bytes)? else {
            return Ok(None);
        };
        let status = control.status().map(|status| status.code());
        let status = status.and_then(|status| StatusCode::from_u16(status).ok());
        let status = status.filter(|status| !status.is_informational());
        let head = Self {
            status: status.ok_or_else(|| complain("its status is none"))?,
            fields: known(&fields, RESPONSE_FIELDS)?,
            length,
        };
        Ok(Some((head, taken)))
    }
}

fn complain(why: impl Into<String>) -> Malformed {
    Malformed::new("encapsulated message", why.into())
}

fn write(
    framing: u8,
    control: &ControlData,
    fields: &HeaderMap,
    length: u64,
) -> Result<Bytes, Malformed> {
    let mut section = FieldSection::default();
    for (name, value) in fields {
        section.put(name.as_str(), value.as_bytes());
    }
    let mut bytes = vec![framing];
    control
        .write_bhttp(&mut bytes)
        .and_then(|()| section.write_bhttp(Mode::KnownLength, &mut bytes))
        .map_err(|error| complain(error.to_string()))?;
    write_length(length, &mut bytes)?;
    if bytes.len() > HEAD_BYTES {
        return Err(complain(format!(
            "its head has more than {HEAD_BYTES} bytes"
        )));
    }
    Ok(bytes.into())
}

/// A variable-length integer (RFC 9000, section 16).
fn write_length(length: u64, bytes: &mut Vec<u8>) -> Result<(), Malformed> {
    match length {
        0..=0x3f => bytes.push(length as u8),
        0x40..=0x3fff => bytes.extend((length as u16 | 0x4000).to_be_bytes()),
        0x4000..=0x3fff_ffff => bytes.extend((length as u32 | 0x8000_0000).to_be_bytes()),
        0x4000_0000..=0x3fff_ffff_ffff_ffff => {
            bytes.extend((length | 0xc000_0000_0000_0000).to_be_bytes())
        }
        _ => return Err(complain("its length is beyond what the format can say")),
    }
    Ok(())
}

/// A variable-length integer, and its own length. `None` if more must come first.
fn read_length(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let size = 1 << (first >> 6);
    let mut number = u64::from(first & 0x3f);
    for byte in bytes.get(1..size)? {
        number = number << 8 | u64::from(*byte);
    }
    Some((number, size))
}

type Parts = (ControlData, FieldSection, u64, usize);

fn read(framing: u8, bytes: &[u8]) -> Result<Option<Parts>, Malformed> {
    let all = bytes.len();
    let bytes = bytes.get(..HEAD_BYTES).unwrap_or(bytes);
    // More than this many bytes do not help.
    let more = || match all >= HEAD_BYTES {
        true => Err(complain(format!(
            "its head has more than {HEAD_BYTES} bytes"
        ))),
        false => Ok(None),
    };
    match bytes.first() {
        None => return more(),
        Some(first) if *first != framing => {
            return Err(complain("its framing is another than it should be here"));
        }
        Some(_) => {}
    }
    let mut rest = Cursor::new(&bytes[1..]);
    let control = match ControlData::read_bhttp(framing == REQUEST, &mut rest) {
        Ok(control) => control,
        Err(Error::Truncated) => return more(),
        Err(error) => return Err(complain(error.to_string())),
    };
    // Its absence, which the format allows at the end of a message, would be a request cut off here.
    if rest.position() as usize == bytes.len() - 1 {
        return more();
    }
    let fields = match FieldSection::read_bhttp(Mode::KnownLength, &mut rest) {
        Ok(fields) => fields,
        Err(Error::Truncated) => return more(),
        Err(error) => return Err(complain(error.to_string())),
    };
    let at = 1 + rest.position() as usize;
    match read_length(&bytes[at..]) {
        Some((length, size)) => Ok(Some((control, fields, length, at + size))),
        None => more(),
    }
}

/// The fields, if all of them may be here, each once.
fn known(fields: &FieldSection, may_be: &[HeaderName]) -> Result<HeaderMap, Malformed> {
    let mut map = HeaderMap::new();
    for field in fields.fields() {
        let name = HeaderName::from_lowercase(field.name()).ok();
        let name = name.filter(|name| may_be.contains(name));
        let name =
            name.ok_or_else(|| complain("it has a field that does not go through the relay"))?;
        let value = HeaderValue::from_bytes(field.value())
            .map_err(|_| complain(format!("its {name} is no field's value")))?;
        if map.insert(name, value).is_some() {
            return Err(complain("it has a field twice"));
        }
    }
    Ok(map)
}
