use super::*;

fn check(level: &str, from_env: Option<&str>) -> Result<String, TelemetryError> {
    let config = LogConfig {
        level: level.to_owned(),
        ..LogConfig::default()
    };
    filter(&config, from_env.map(str::to_owned)).map(|filter| filter.to_string())
}

#[test]
fn the_environment_goes_before_the_configuration() {
    assert_eq!(check("info", None).unwrap(), "info");
    assert_eq!(check("info", Some("debug")).unwrap(), "debug");
    let directives = check("warn,harpo_trust=debug", None).unwrap();
    assert!(directives.contains("harpo_trust=debug"), "{directives}");
}

#[test]
fn a_wrong_level_is_named_with_where_it_stands() {
    let error = check("loud", None).unwrap_err().to_string();
    assert!(
        error.contains("`loud`") && error.contains("log.level"),
        "{error}"
    );
    let error = check("info", Some("info,x=loud")).unwrap_err().to_string();
    assert!(error.contains("RUST_LOG"), "{error}");
}

#[test]
fn logging_is_set_up_once() {
    init(&LogConfig::default()).unwrap();
    assert!(matches!(
        init(&LogConfig::default()),
        Err(TelemetryError::Already(_))
    ));
}
