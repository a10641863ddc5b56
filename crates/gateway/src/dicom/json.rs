//! The DICOM JSON model (PS3.18 annex F).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dicom_core::{Tag, VR};
use serde_json::{Map, Number, Value, json};

use super::charset::Charset;
use super::walk::{Element, Syntax, Token, WalkError, Walker};

/// A data set in the DICOM JSON model: tags as eight hexadecimal digits to attributes.
pub type Dataset = Map<String, Value>;

/// Binary values up to this length are written inline; longer ones are left out.
pub const INLINE_BYTES: u64 = 1024;

/// Longest text value that is kept, in bytes. Reports in `UT` are longer than anything else.
pub const TEXT_BYTES: u64 = 1 << 20;

const CHARACTER_SET: Tag = Tag(0x0008, 0x0005);

/// Specific Character Set of JSON, whatever it was before.
pub(super) fn utf8() -> Value {
    json!({"vr": "CS", "Value": ["ISO_IR 192"]})
}

/// `00100020` for (0010,0020).
#[must_use]
pub fn key(tag: Tag) -> String {
    format!("{:04X}{:04X}", tag.group(), tag.element())
}

/// Everything in a data set but bulk data: pixel data, and binary values over [`INLINE_BYTES`].
///
/// # Errors
/// Where the data set is damaged.
pub fn dataset(walker: &mut Walker<'_>) -> Result<Dataset, WalkError> {
    let mut charset = Charset::default();
    let mut out = Dataset::new();
    while let Some(token) = walker.next()? {
        match token {
            Token::Element(element) => {
                if element.tag == CHARACTER_SET {
                    let value = walker.value(TEXT_BYTES)?;
                    charset = Charset::from_value(&value);
                    out.insert(key(element.tag), utf8());
                } else if let Some(value) = attribute(walker, &element, &charset)? {
                    out.insert(key(element.tag), value);
                }
            }
            Token::SequenceStart(tag) => {
                let value = sequence(walker, &charset)?;
                out.insert(key(tag), value);
            }
            Token::SequenceEnd | Token::ItemStart | Token::ItemEnd => {}
        }
    }
    Ok(out)
}

/// The sequence that the walker just opened. Recursion is bounded by [`super::walk::MAX_DEPTH`].
///
/// # Errors
/// Where the data set is damaged.
pub fn sequence(walker: &mut Walker<'_>, charset: &Charset) -> Result<Value, WalkError> {
    let mut items = Vec::new();
    let mut item = Dataset::new();
    // Items may state their own (PS3.3 C.12.1.1.2), for themselves only.
    let mut own = None;
    while let Some(token) = walker.next()? {
        match token {
            Token::ItemStart => {
                item = Dataset::new();
                own = None;
            }
            Token::ItemEnd => items.push(Value::Object(std::mem::take(&mut item))),
            Token::SequenceEnd => break,
            Token::SequenceStart(tag) => {
                let inner = sequence(walker, own.as_ref().unwrap_or(charset))?;
                item.insert(key(tag), inner);
            }
            Token::Element(element) if element.tag == CHARACTER_SET => {
                own = Some(Charset::from_value(&walker.value(TEXT_BYTES)?));
                item.insert(key(element.tag), utf8());
            }
            Token::Element(element) => {
                if let Some(value) = attribute(walker, &element, own.as_ref().unwrap_or(charset))? {
                    item.insert(key(element.tag), value);
                }
            }
        }
    }
    Ok(match items.is_empty() {
        true => json!({"vr": "SQ"}),
        false => json!({"vr": "SQ", "Value": items}),
    })
}

/// One attribute, or `None` for bulk data, group lengths and padding.
///
/// # Errors
/// Where the data set is damaged.
pub fn attribute(
    walker: &mut Walker<'_>,
    element: &Element,
    charset: &Charset,
) -> Result<Option<Value>, WalkError> {
    let Element {
        tag,
        vr,
        length: Some(length),
        syntax,
        ..
    } = *element
    else {
        return Ok(None);
    };
    if tag.element() == 0 || tag == Tag(0xFFFC, 0xFFFC) || tag.group() == 0x7FE0 {
        return Ok(None);
    }
    let binary = matches!(
        vr,
        VR::OB | VR::OD | VR::OF | VR::OL | VR::OV | VR::OW | VR::UN
    );
    if length > if binary { INLINE_BYTES } else { TEXT_BYTES } {
        return Ok(None);
    }
    let bytes = walker.value(TEXT_BYTES)?;
    let mut out = Dataset::new();
    out.insert("vr".into(), Value::from(vr.to_string()));
    if binary {
        if !bytes.is_empty() {
            out.insert(
                "InlineBinary".into(),
                Value::from(STANDARD.encode(little_endian(bytes, vr, syntax))),
            );
        }
        return Ok(Some(Value::Object(out)));
    }
    let values = values(vr, &bytes, syntax, charset);
    if values.iter().any(|v| !v.is_null()) {
        out.insert("Value".into(), Value::Array(values));
    }
    Ok(Some(Value::Object(out)))
}

/// A string attribute with one value, absent if the value is empty.
#[must_use]
pub fn text(vr: VR, value: &str) -> Value {
    if value.is_empty() {
        json!({"vr": vr.to_string()})
    } else {
        json!({"vr": vr.to_string(), "Value": [value]})
    }
}

/// The first value of an attribute as text; a person's name in its alphabetic form.
#[must_use]
pub fn first<'a>(dataset: &'a Dataset, key: &str) -> Option<&'a str> {
    let value = dataset.get(key)?.get("Value")?.get(0)?;
    value
        .as_str()
        .or_else(|| value.get("Alphabetic").and_then(Value::as_str))
}

fn values(vr: VR, bytes: &[u8], syntax: Syntax, charset: &Charset) -> Vec<Value> {
    let big = syntax.big_endian;
    match vr {
        VR::US => numbers(bytes, big, |b| Value::from(u16::from_le_bytes(b))),
        VR::SS => numbers(bytes, big, |b| Value::from(i16::from_le_bytes(b))),
        VR::UL => numbers(bytes, big, |b| Value::from(u32::from_le_bytes(b))),
        VR::SL => numbers(bytes, big, |b| Value::from(i32::from_le_bytes(b))),
        VR::UV => numbers(bytes, big, |b| Value::from(u64::from_le_bytes(b))),
        VR::SV => numbers(bytes, big, |b| Value::from(i64::from_le_bytes(b))),
        VR::FL => numbers(bytes, big, |b| float(f64::from(f32::from_le_bytes(b)))),
        VR::FD => numbers(bytes, big, |b| float(f64::from_le_bytes(b))),
        VR::AT => bytes
            .chunks_exact(4)
            .map(|b| match big {
                true => Value::from(format!("{:02X}{:02X}{:02X}{:02X}", b[0], b[1], b[2], b[3])),
                false => Value::from(format!("{:02X}{:02X}{:02X}{:02X}", b[1], b[0], b[3], b[2])),
            })
            .collect(),
        VR::LT | VR::ST | VR::UT | VR::UR => vec![some(charset.text(bytes))],
        VR::PN => charset.values(bytes).iter().map(|v| person(v)).collect(),
        VR::IS => charset.values(bytes).iter().map(|v| integer(v)).collect(),
        VR::DS => charset.values(bytes).iter().map(|v| decimal(v)).collect(),
        VR::LO | VR::SH | VR::UC => charset.values(bytes).into_iter().map(some).collect(),
        // The rest is ASCII whatever the character set says (PS3.5 section 6.1.2.2).
        _ => Charset::default()
            .values(bytes)
            .into_iter()
            .map(some)
            .collect(),
    }
}

fn some(text: String) -> Value {
    if text.is_empty() {
        Value::Null
    } else {
        Value::String(text)
    }
}

fn numbers<const N: usize>(bytes: &[u8], big: bool, make: impl Fn([u8; N]) -> Value) -> Vec<Value> {
    bytes
        .as_chunks::<N>()
        .0
        .iter()
        .map(|chunk| {
            let mut b = *chunk;
            if big {
                b.reverse();
            }
            make(b)
        })
        .collect()
}

/// Not-a-number and infinities have no JSON numbers; PS3.18 F.2.3.1 leaves them to strings.
fn float(value: f64) -> Value {
    Number::from_f64(value).map_or_else(|| Value::from(value.to_string()), Value::Number)
}

fn integer(text: &str) -> Value {
    match text.parse::<i64>() {
        Ok(n) => Value::from(n),
        Err(_) => some(text.to_owned()),
    }
}

fn decimal(text: &str) -> Value {
    match text.parse::<i64>() {
        Ok(n) => Value::from(n),
        Err(_) => match text.parse::<f64>() {
            Ok(n) if n.is_finite() => float(n),
            _ => some(text.to_owned()),
        },
    }
}

fn person(name: &str) -> Value {
    let mut out = Dataset::new();
    for (group, part) in ["Alphabetic", "Ideographic", "Phonetic"]
        .into_iter()
        .zip(name.split('='))
    {
        let part = part.trim_end_matches([' ', '^']);
        if !part.is_empty() {
            out.insert(group.into(), Value::from(part));
        }
    }
    if out.is_empty() {
        Value::Null
    } else {
        Value::Object(out)
    }
}

fn little_endian(mut bytes: Vec<u8>, vr: VR, syntax: Syntax) -> Vec<u8> {
    let width = match vr {
        VR::OW => 2,
        VR::OF | VR::OL => 4,
        VR::OD | VR::OV => 8,
        _ => 1,
    };
    if syntax.big_endian && width > 1 {
        bytes.chunks_exact_mut(width).for_each(<[u8]>::reverse);
    }
    bytes
}
