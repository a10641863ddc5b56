//! Matching of keys against attributes (PS3.4 C.2.2.2), attributes being in the DICOM JSON model.

use harpo_protocol::manifest::Attributes;
use serde_json::Value;

/// Whether a row has what the key asks for. An empty key matches everything (C.2.2.2.3); any other
/// key needs a value, of which one must match.
pub(crate) fn matches(row: &Attributes, tag: &str, key: &str) -> bool {
    let key = key.trim();
    if key.is_empty() {
        return true;
    }
    let Some(attribute) = row.get(tag) else {
        return false;
    };
    let vr = attribute.get("vr").and_then(Value::as_str).unwrap_or("LO");
    let Some(Value::Array(values)) = attribute.get("Value") else {
        return false;
    };
    values.iter().any(|value| one(vr, key, value))
}

fn one(vr: &str, key: &str, value: &Value) -> bool {
    match value {
        Value::String(text) => text_matches(vr, key, text.trim()),
        // IS and DS are numbers in this model.
        Value::Number(number) => key
            .split('\\')
            .any(|key| number.as_f64().is_some_and(|n| key.trim().parse() == Ok(n))),
        // A person name: {"Alphabetic", "Ideographic", "Phonetic"}.
        Value::Object(groups) => groups
            .values()
            .filter_map(Value::as_str)
            .any(|name| person_matches(key, name)),
        _ => false,
    }
}

fn text_matches(vr: &str, key: &str, value: &str) -> bool {
    match vr {
        "UI" => key
            .split(['\\', ','])
            .any(|uid| uid.trim() == value.trim_end_matches('\0')),
        "DA" => range(key, value, &date),
        "TM" => range(key, value, &time),
        "DT" => range(key, value, &moment),
        "PN" => person_matches(key, value),
        // No single value of these contains a backslash or, for codes, a comma.
        "CS" => key
            .split(['\\', ','])
            .any(|key| wildcard(key.trim(), value)),
        "IS" | "DS" => key.split('\\').any(|key| {
            matches!((key.trim().parse::<f64>(), value.parse::<f64>()), (Ok(a), Ok(b)) if a == b)
        }),
        _ => key.split('\\').any(|key| wildcard(key.trim(), value)),
    }
}

/// Without regard to case, and to empty components at the end.
fn person_matches(key: &str, name: &str) -> bool {
    let normal = |text: &str| {
        text.split('=')
            .map(|group| group.trim().trim_end_matches('^').to_lowercase())
            .collect::<Vec<_>>()
    };
    let groups = normal(name);
    let key = key.trim().trim_end_matches('^').to_lowercase();
    groups.iter().any(|group| wildcard(&key, group)) || wildcard(&key, &groups.join("="))
}

/// `*` for any characters, `?` for one (C.2.2.2.4).
fn wildcard(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    // Where to go on if what follows the last `*` does not match here.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match &mut retry {
                Some((after, from)) => {
                    *from += 1;
                    (p, t) = (*after, *from);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// `a`, `a-b`, `a-` or `-b` (C.2.2.2.5); both ends belong to the range. `normal` gives the first or
/// last moment that a text of lower precision stands for.
fn range(key: &str, value: &str, normal: &dyn Fn(&str, End) -> Option<String>) -> bool {
    let (Some(first), Some(last)) = (normal(value, End::First), normal(value, End::Last)) else {
        return false;
    };
    let parts = || -> Option<(Option<String>, Option<String>)> {
        Some(match key.split_once('-') {
            None => (
                Some(normal(key, End::First)?),
                Some(normal(key, End::Last)?),
            ),
            Some(("", "")) => return None,
            Some((from, "")) => (Some(normal(from, End::First)?), None),
            Some(("", to)) => (None, Some(normal(to, End::Last)?)),
            Some((from, to)) => (
                Some(normal(from, End::First)?),
                Some(normal(to, End::Last)?),
            ),
        })
    };
    parts().is_some_and(|(from, to)| {
        from.is_none_or(|from| first >= from) && to.is_none_or(|to| last <= to)
    })
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    First,
    Last,
}

/// `YYYYMMDD`, also with points in between (older than DICOM 3).
pub(super) fn date_digits(text: &str) -> Option<String> {
    let digits = text.trim().replace('.', "");
    (digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_digit())).then_some(digits)
}

fn date(text: &str, _: End) -> Option<String> {
    date_digits(text)
}

/// `HHMMSS.FFFFFF`, or less; also with colons in between.
fn time(text: &str, end: End) -> Option<String> {
    let text = text.trim().replace(':', "");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !matches!(whole.len(), 2 | 4 | 6)
        || fraction.len() > 6
        || (!fraction.is_empty() && whole.len() < 6)
        || !digits(whole)
        || !digits(fraction)
    {
        return None;
    }
    Some(fill(
        &format!("{whole}{fraction}"),
        "000000000000",
        "235959999999",
        end,
    ))
}

/// `YYYYMMDDHHMMSS.FFFFFF`, or less. Offsets from UTC are not compared.
fn moment(text: &str, end: End) -> Option<String> {
    let text = text
        .trim()
        .split('+')
        .next()
        .unwrap_or_default()
        .replace('.', "");
    if text.len() < 4 || text.len() > 20 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(fill(
        &text,
        "00000101000000000000",
        "99991231235959999999",
        end,
    ))
}

fn fill(text: &str, first: &str, last: &str, end: End) -> String {
    let rest = match end {
        End::First => first,
        End::Last => last,
    };
    format!("{text}{}", rest.get(text.len()..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn row(vr: &str, values: Value) -> Attributes {
        Attributes::from([("00080000".to_owned(), json!({"vr": vr, "Value": values}))])
    }

    #[test]
    fn table() {
        let name = json!([{"Alphabetic": "Müller^Anna^^^", "Ideographic": "山田^太郎"}]);
        let cases: &[(&str, Value, &str, bool)] = &[
            // Single value, universal, absent.
            ("LO", json!(["AB 12"]), "AB 12", true),
            ("LO", json!(["AB 12 "]), "AB 12", true),
            ("LO", json!(["AB 12"]), "ab 12", false),
            ("LO", json!(["AB 12"]), "AB", false),
            ("LO", json!(["AB 12"]), "", true),
            ("LO", json!([]), "", true),
            ("LO", json!([]), "*", false),
            ("LO", json!(["x", "y"]), "y", true),
            // Wildcards.
            ("LO", json!(["AB 12"]), "AB*", true),
            ("LO", json!(["AB 12"]), "*1?", true),
            ("LO", json!(["AB 12"]), "?B*2", true),
            ("LO", json!(["AB 12"]), "AB?", false),
            ("LO", json!(["aab"]), "a*ab", true),
            ("LO", json!(["ab"]), "a*ab", false),
            ("UI", json!(["1.2.3"]), "1.2.*", false),
            // Lists of UIDs.
            ("UI", json!(["1.2.3"]), "1.2.3", true),
            ("UI", json!(["1.2.3"]), "9\\1.2.3", true),
            ("UI", json!(["1.2.3"]), "9,1.2.3", true),
            ("UI", json!(["1.2.3"]), "1.2", false),
            // Dates and times.
            ("DA", json!(["20200131"]), "20200131", true),
            ("DA", json!(["2020.01.31"]), "20200131", true),
            ("DA", json!(["20200131"]), "20200101-20200131", true),
            ("DA", json!(["20200131"]), "20200201-", false),
            ("DA", json!(["20200131"]), "-20200131", true),
            ("DA", json!(["20200131"]), "-20200130", false),
            ("DA", json!(["20200131"]), "nonsense", false),
            ("DA", json!(["nonsense"]), "20200101-", false),
            ("DA", json!(["20200131"]), "-", false),
            ("TM", json!(["101530"]), "1015", true),
            ("TM", json!(["101530.5"]), "10-11", true),
            ("TM", json!(["115959.9"]), "10-11", true),
            ("TM", json!(["120000"]), "10-11", false),
            ("DT", json!(["20200131101530"]), "2020", true),
            ("DT", json!(["20200131101530"]), "20200201-", false),
            // Person names.
            ("PN", name.clone(), "müller^anna", true),
            ("PN", name.clone(), "MÜLLER*", true),
            ("PN", name.clone(), "Müller", false),
            ("PN", name.clone(), "山田*", true),
            ("PN", name.clone(), "*meier*", false),
            // Codes and numbers.
            ("CS", json!(["CT", "MR"]), "MR", true),
            ("CS", json!(["CT"]), "MR\\CT", true),
            ("CS", json!(["CT"]), "MR,CT", true),
            ("CS", json!(["CT"]), "MR", false),
            ("IS", json!([7]), "7", true),
            ("IS", json!([7]), "8", false),
            ("DS", json!(["7.0"]), "7", true),
            ("SQ", json!([{"00080100": {"vr": "SH"}}]), "x", false),
        ];
        for (vr, value, key, expected) in cases {
            let row = row(vr, value.clone());
            assert_eq!(
                matches(&row, "00080000", key),
                *expected,
                "{vr} {value} by {key:?}"
            );
        }
        assert!(!matches(&Attributes::new(), "00080000", "x"));
        assert!(matches(&Attributes::new(), "00080000", ""));
    }

    /// Wildcards by plain recursion.
    fn oracle(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) => {
                oracle(rest, text) || text.split_first().is_some_and(|(_, t)| oracle(pattern, t))
            }
            (Some((p, rest)), Some((t, text))) => (*p == '?' || p == t) && oracle(rest, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn wildcards_match_what_the_oracle_says(pattern in "[ab*?]{0,7}", text in "[ab]{0,8}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(wildcard(&pattern, &text), oracle(&chars(&pattern), &chars(&text)));
        }

        #[test]
        fn no_key_and_no_value_makes_it_panic(vr in "[A-Z]{2}", key in "\\PC{0,12}", value in "\\PC{0,12}") {
            let _ = matches(&row(&vr, json!([value])), "00080000", &key);
            for vr in ["DA", "TM", "DT", "PN", "UI", "IS"] {
                let _ = matches(&row(vr, json!([value])), "00080000", &key);
            }
        }
    }
}
