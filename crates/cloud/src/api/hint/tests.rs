use super::*;

fn asked(pairs: &[(header::HeaderName, &'static str)]) -> Part {
    let headers = pairs
        .iter()
        .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
        .collect();
    choose(&headers, "\"tag\"", 100)
}

#[test]
fn ranges_are_read_as_the_standard_says() {
    let table = [
        ("bytes=0-9", Part::Range(0..10)),
        ("bytes=90-", Part::Range(90..100)),
        ("bytes=90-1000", Part::Range(90..100)),
        ("bytes=-10", Part::Range(90..100)),
        ("bytes=-1000", Part::Range(0..100)),
        ("bytes=99-99", Part::Range(99..100)),
        ("bytes=0-99999999999999999999999", Part::Range(0..100)),
        ("bytes=100-", Part::Outside),
        ("bytes=100-200", Part::Outside),
        ("bytes=-0", Part::Outside),
        ("bytes=5-4", Part::Whole),
        ("bytes=0-1,5-6", Part::Whole),
        ("bytes=-", Part::Whole),
        ("bytes=+1-2", Part::Whole),
        ("lines=0-1", Part::Whole),
    ];
    for (text, part) in table {
        assert_eq!(asked(&[(header::RANGE, text)]), part, "{text}");
    }
    assert_eq!(asked(&[]), Part::Whole);
}

#[test]
fn conditions_go_before_ranges() {
    let range = (header::RANGE, "bytes=0-9");
    assert_eq!(
        asked(&[(header::IF_NONE_MATCH, "\"tag\""), range.clone()]),
        Part::Nothing
    );
    assert_eq!(
        asked(&[(header::IF_NONE_MATCH, "\"a\", \"tag\"")]),
        Part::Nothing
    );
    assert_eq!(asked(&[(header::IF_NONE_MATCH, "\"a\"")]), Part::Whole);
    assert_eq!(
        asked(&[(header::IF_RANGE, "\"tag\""), range.clone()]),
        Part::Range(0..10)
    );
    assert_eq!(asked(&[(header::IF_RANGE, "\"old\""), range]), Part::Whole);
}
