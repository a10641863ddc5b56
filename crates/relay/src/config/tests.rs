use super::*;

#[test]
fn the_sample_shows_the_defaults() {
    let sample: RelayConfig = toml::from_str(SAMPLE).unwrap();
    let same = RelayConfig::new(&sample.data_dir, &sample.cloud_url);
    assert_eq!(sample, same);
}

#[test]
fn a_new_relay_has_its_data_beside_it_and_its_cloud() {
    let url = "https://cloud.example:8601";
    let config: RelayConfig = toml::from_str(&template(url)).unwrap();
    assert_eq!(config, RelayConfig::new("data", url));
    let odd = "https://\"\n[limits]\nconnections = 1";
    let config: RelayConfig = toml::from_str(&template(odd)).unwrap();
    assert_eq!(config, RelayConfig::new("data", odd));
}

#[test]
fn what_it_does_not_know_is_refused() {
    let text = "data_dir = \"x\"\ncloud_url = \"https://y\"\nkeep = true\n";
    assert!(toml::from_str::<RelayConfig>(text).is_err());
    assert!(
        toml::from_str::<RelayConfig>("data_dir = \"x\"").is_err(),
        "no cloud"
    );
}

#[test]
fn a_limit_of_nothing_is_refused() {
    for key in [
        "connections",
        "requests_at_once",
        "requests_per_gateway",
        "max_request_mib",
        "max_answer_mib",
        "silence_seconds",
        "total_seconds",
    ] {
        let config = |limit: u32| {
            let text =
                format!("data_dir = \"x\"\ncloud_url = \"https://y\"\n[limits]\n{key} = {limit}\n");
            toml::from_str::<RelayConfig>(&text)
        };
        config(1).unwrap();
        let error = config(0).unwrap_err().to_string();
        assert!(
            error.contains("at least 1") && error.contains(key),
            "{error}"
        );
    }
}
