use super::*;

const URL: &str = "[trust]\nurl = \"https://localhost:8600\"\n";

fn parse(text: &str) -> Result<GatewayConfig, toml::de::Error> {
    toml::from_str(text)
}

#[test]
fn the_sample_says_the_defaults() {
    let sample = parse(SAMPLE).unwrap();
    assert_eq!(sample, parse(URL).unwrap());
    assert!(sample.figures().is_ok());
}

#[test]
fn the_sample_shows_every_key() {
    let sample: toml::Table = SAMPLE.parse().unwrap();
    let mut tables = vec![(String::new(), &sample)];
    for (name, value) in &sample {
        if let Some(table) = value.as_table() {
            tables.push((name.clone(), table));
        }
    }
    for (name, table) in tables {
        // A key that nobody knows is answered with all that there are.
        let head = match name.as_str() {
            "" => String::new(),
            name => format!("[{name}]\n"),
        };
        let url = match name.as_str() {
            "trust" => "",
            _ => URL,
        };
        let complaint = parse(&format!("{head}nonsense = 1\n{url}"))
            .unwrap_err()
            .to_string();
        let known = complaint.split_once("expected").unwrap().1;
        let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        assert!(!known.is_empty(), "{complaint}");
        for key in known {
            assert!(
                table.contains_key(key),
                "[{name}] {key} is not in the sample"
            );
        }
    }
}

#[test]
fn a_new_configuration_is_the_sample_with_trusts_address() {
    for url in ["https://trust.example.org:8600", "https://a\"b\\c:1"] {
        let config = parse(&template(url)).unwrap();
        let mut expected = parse(SAMPLE).unwrap();
        expected.trust.url = url.into();
        assert_eq!(config, expected);
    }
}

#[test]
fn impossible_values_are_refused_by_their_key() {
    for (section, key, bad) in [
        ("outsource", "quiet_seconds", "-1.0"),
        ("outsource", "quiet_seconds", "nan"),
        ("outsource", "quiet_seconds", "inf"),
        ("outsource", "quiet_seconds", "1e300"),
        ("consult", "stack_poll_seconds", "-0.5"),
        ("consult", "stack_poll_seconds", "0.0"),
        ("consult", "stack_poll_seconds", "nan"),
        ("consult", "failure_holdoff_seconds", "-inf"),
        ("consult", "decision_seconds", "9223372036854775807"),
        ("consult", "cache_max_mib", "9223372036854775807"),
        ("consult", "retrievals_at_once", "0"),
        ("dicom", "max_object_mib", "17592186044416"),
        ("dicom", "max_object_mib", "0"),
        ("dicom", "max_associations", "0"),
        ("dicom", "ae_title", "\"\""),
        ("dicom", "ae_title", "\"SEVENTEEN_LETTERS\""),
        ("dicom", "calling_ae_titles", "['CT1', 'A\\B']"),
        ("web", "max_request_mib", "17592186044416"),
    ] {
        let config = parse(&format!("{URL}[{section}]\n{key} = {bad}\n")).unwrap();
        let complaint = config.figures().unwrap_err().to_string();
        assert!(
            complaint.contains(&format!("{section}.{key}")),
            "{complaint}"
        );
    }
}

#[test]
fn units_are_converted() {
    let text = format!("{URL}[outsource]\nquiet_seconds = 0.25\n[web]\nmax_request_mib = 3\n");
    let figures = parse(&text).unwrap().figures().unwrap();
    assert_eq!(figures.quiet, Duration::from_millis(250));
    assert_eq!(figures.request_bytes, 3 << 20);
}
