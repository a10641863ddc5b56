//! Text in the character sets of DICOM (PS3.3 C.12.1.1.2, PS3.5 section 6.1).

use dicom_encoding::text::{SpecificCharacterSet, TextCodec};

const ESC: u8 = 0x1B;

/// What Specific Character Set (0008,0005) says about the text of a data set.
#[derive(Debug, Clone)]
pub struct Charset {
    first: Named,
    /// Code extensions by escape sequences (PS3.5 section 6.1.2.5) are in use.
    extended: bool,
}

#[derive(Debug, Clone)]
enum Named {
    /// Nothing stated: ASCII by the standard, and often something else in fact.
    Absent,
    Known(SpecificCharacterSet),
    /// A name that nobody knows.
    Unknown,
}

impl Default for Charset {
    fn default() -> Self {
        Self {
            first: Named::Absent,
            extended: false,
        }
    }
}

impl Charset {
    /// From the value of (0008,0005).
    #[must_use]
    pub fn from_value(value: &[u8]) -> Self {
        let text = String::from_utf8_lossy(value);
        let mut names = text.split('\\').map(|n| n.trim_matches([' ', '\0']));
        let first = match names.next().unwrap_or_default() {
            "" => Named::Absent,
            name => SpecificCharacterSet::from_code(name).map_or(Named::Unknown, Named::Known),
        };
        Self {
            first,
            extended: names.next().is_some() || text.contains("2022"),
        }
    }

    /// The values of a multi-valued text element, decoded, padding removed.
    #[must_use]
    pub fn values(&self, bytes: &[u8]) -> Vec<String> {
        if self.extended && bytes.contains(&ESC) {
            return self.escaped(bytes).iter().map(|v| trim(v)).collect();
        }
        if self.backslash_is_safe() {
            return bytes
                .split(|b| *b == b'\\')
                .map(|v| trim(&self.decode(v)))
                .collect();
        }
        self.decode(bytes).split('\\').map(trim).collect()
    }

    /// A single text that may hold backslashes (LT, ST, UT, UR), trailing padding removed.
    #[must_use]
    pub fn text(&self, bytes: &[u8]) -> String {
        let text = if self.extended && bytes.contains(&ESC) {
            self.escaped(bytes).join("\\")
        } else {
            self.decode(bytes)
        };
        text.trim_end_matches([' ', '\0']).to_owned()
    }

    /// Whether the byte 5C is always a backslash, never half a character.
    fn backslash_is_safe(&self) -> bool {
        match &self.first {
            Named::Known(set) => !matches!(
                set.name().as_ref(),
                "GB18030" | "GBK" | "ISO_IR 13" | "ISO_IR 87"
            ),
            Named::Absent | Named::Unknown => true,
        }
    }

    fn decode(&self, bytes: &[u8]) -> String {
        if bytes.is_ascii() && self.backslash_is_safe() {
            return String::from_utf8_lossy(bytes).into_owned();
        }
        match &self.first {
            Named::Known(set) if set.name() != "ISO_IR 6" => set
                .decode(bytes)
                .unwrap_or_else(|_| String::from_utf8_lossy(bytes).into_owned()),
            // ASCII was stated but is not what we see: UTF-8 can be told, Latin-1 is the best guess.
            Named::Known(_) | Named::Absent => match std::str::from_utf8(bytes) {
                Ok(text) => text.to_owned(),
                Err(_) => bytes.iter().map(|b| char::from(*b)).collect(),
            },
            Named::Unknown => String::from_utf8_lossy(bytes).into_owned(),
        }
    }

    /// Text with escape sequences, cut at the backslashes that are not part of a character.
    fn escaped(&self, bytes: &[u8]) -> Vec<String> {
        let mut values = vec![String::new()];
        let mut rest = bytes;
        // Up to the first escape the first character set holds.
        let lead = rest.iter().position(|b| *b == ESC).unwrap_or(rest.len());
        push_split(&mut values, &rest[..lead], |b| self.decode(b));
        rest = &rest[lead..];
        while !rest.is_empty() {
            let (set, skip, whole) = escape(rest);
            let end = 1 + rest[1..]
                .iter()
                .position(|b| *b == ESC)
                .unwrap_or(rest.len() - 1);
            let segment = &rest[..end];
            let codec = set.and_then(SpecificCharacterSet::from_code);
            let body = &segment[skip.min(segment.len())..];
            match codec {
                // The JIS decoder wants the escape itself; 5C may be half a character inside it.
                Some(codec) if whole => {
                    let text = codec.decode(segment).unwrap_or_default();
                    if let Some(last) = values.last_mut() {
                        last.push_str(&text);
                    }
                }
                Some(codec) => {
                    push_split(&mut values, body, |b| codec.decode(b).unwrap_or_default())
                }
                None => push_split(&mut values, body, |b| self.decode(b)),
            }
            rest = &rest[end..];
        }
        values
    }
}

fn trim(value: &str) -> String {
    value.trim_matches([' ', '\0']).to_owned()
}

fn push_split(values: &mut Vec<String>, bytes: &[u8], decode: impl Fn(&[u8]) -> String) {
    for (i, part) in bytes.split(|b| *b == b'\\').enumerate() {
        if i > 0 {
            values.push(String::new());
        }
        if let Some(last) = values.last_mut() {
            last.push_str(&decode(part));
        }
    }
}

/// The character set of an escape sequence (PS3.3 tables C.12-3 and C.12-4), the length of the
/// sequence, and whether the decoder wants to see it.
fn escape(bytes: &[u8]) -> (Option<&'static str>, usize, bool) {
    match bytes.get(1..) {
        Some([b'(', b'B', ..]) => (None, 3, false),
        Some([b'-', b'A', ..]) => (Some("ISO_IR 100"), 3, false),
        Some([b'-', b'B', ..]) => (Some("ISO_IR 101"), 3, false),
        Some([b'-', b'C', ..]) => (Some("ISO_IR 109"), 3, false),
        Some([b'-', b'D', ..]) => (Some("ISO_IR 110"), 3, false),
        Some([b'-', b'F', ..]) => (Some("ISO_IR 126"), 3, false),
        Some([b'-', b'G', ..]) => (Some("ISO_IR 127"), 3, false),
        Some([b'-', b'H', ..]) => (Some("ISO_IR 138"), 3, false),
        Some([b'-', b'L', ..]) => (Some("ISO_IR 144"), 3, false),
        Some([b'-', b'T', ..]) => (Some("ISO_IR 166"), 3, false),
        Some([b'(', b'J', ..] | [b')', b'I', ..]) => (Some("ISO_IR 13"), 3, false),
        Some([b'$', b')', b'C', ..]) => (Some("ISO_IR 149"), 4, false),
        Some([b'$', b')', b'A', ..]) => (Some("GBK"), 4, false),
        Some([b'$', b'B', ..]) => (Some("ISO_IR 87"), 3, true),
        Some([b'$', b'(', b'D', ..]) => (Some("ISO_IR 87"), 4, true),
        _ => (None, 1, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_hospitals_send() {
        let cases: [(&str, &[u8], &[&str]); 8] = [
            ("", b"Doe^John ", &["Doe^John"]),
            ("ISO_IR 100", b"M\xFCller^J\xF6rg", &["Müller^Jörg"]),
            ("ISO_IR 192", "Müller\\山田".as_bytes(), &["Müller", "山田"]),
            ("", "Müller".as_bytes(), &["Müller"]),
            ("", b"M\xFCller", &["Müller"]),
            (
                "GB18030",
                b"Wang^XiaoDong=\xCD\xF5^\xD0\xA1\xB6\xAB",
                &["Wang^XiaoDong=王^小东"],
            ),
            // PS3.5 H.3.1 and I.2.
            (
                "\\ISO 2022 IR 87",
                b"Yamada^Tarou=\x1B$B;3ED\x1B(B^\x1B$BB@O:\x1B(B",
                &["Yamada^Tarou=山田^太郎"],
            ),
            (
                "\\ISO 2022 IR 149",
                b"Hong^Gildong=\x1B$)C\xFB\xF3^\x1B$)C\xD1\xCE\xD4\xD7",
                &["Hong^Gildong=洪^吉洞"],
            ),
        ];
        for (name, bytes, expected) in cases {
            assert_eq!(
                Charset::from_value(name.as_bytes()).values(bytes),
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn unknown_sets_lose_characters_not_the_value() {
        assert_eq!(
            Charset::from_value(b"ISO_IR 999").values(b"A\xFFB"),
            ["A\u{FFFD}B"]
        );
    }

    #[test]
    fn every_escape_prefix_is_survived() {
        let set = Charset::from_value(b"\\ISO 2022 IR 87");
        for a in 0..=255u8 {
            for b in 0..=255u8 {
                let _ = set.values(&[b'x', ESC, a, b]);
                let _ = set.text(&[ESC, b'$', a, b]);
            }
        }
    }
}
