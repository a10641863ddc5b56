use std::fs;

use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Party {
    #[serde(default)]
    log: LogConfig,
    #[serde(default)]
    admin: AdminConfig,
    password: Option<SecretSource>,
}

fn parse(text: &str) -> Result<Party, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("party.toml");
    fs::write(&path, text).unwrap();
    load(&path)
}

#[test]
fn what_is_left_out_has_its_default() {
    let party = parse("").unwrap();
    assert_eq!(party.log, LogConfig::default());
    assert_eq!(party.admin.listen, "127.0.0.1:0".parse().unwrap());
    let party = parse("[log]\nformat = \"json\"").unwrap();
    assert_eq!(
        (party.log.level.as_str(), party.log.format),
        ("info", LogFormat::Json)
    );
}

#[test]
fn an_unknown_key_is_refused_with_its_file_line_name_and_what_is_allowed() {
    let error = parse("[log]\nlevel = \"info\"\nfromat = \"json\"").unwrap_err();
    let message = error.to_string();
    for part in ["party.toml", "line 3", "`fromat`", "`format`", "`level`"] {
        assert!(message.contains(part), "{part} is not in: {message}");
    }
    let message = parse("lgo = 1").unwrap_err().to_string();
    assert!(
        message.contains("`lgo`") && message.contains("`admin`"),
        "{message}"
    );
    let message = parse("[log]\nformat = \"xml\"").unwrap_err().to_string();
    assert!(
        message.contains("`xml`") && message.contains("`text`"),
        "{message}"
    );
}

#[test]
fn a_missing_file_is_named() {
    let error = load::<Party>(Path::new("/no/such/party.toml")).unwrap_err();
    assert!(error.to_string().contains("/no/such/party.toml"));
    assert!(matches!(error, ConfigError::Read { .. }));
}

#[test]
fn a_secret_comes_from_a_file_beside_the_configuration() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("pw"), "correct horse \r\n").unwrap();
    fs::write(directory.path().join("empty"), "\n").unwrap();
    let party = parse("password = { file = \"pw\" }").unwrap();
    let secret = party.password.unwrap().read(directory.path()).unwrap();
    assert_eq!(secret.expose(), "correct horse ");
    assert!(secret.matches("correct horse "));
    assert!(!secret.matches("correct horse") && !secret.matches(""));
    assert_eq!(format!("{secret:?}"), "Secret(..)");

    let read = |name: &str| SecretSource::File(name.into()).read(directory.path());
    assert!(matches!(
        read("empty"),
        Err(ConfigError::SecretEmpty { .. })
    ));
    assert!(matches!(
        read("missing"),
        Err(ConfigError::SecretFile { .. })
    ));
}

#[test]
fn a_secret_comes_from_the_environment() {
    // Cargo sets this one for every test.
    let party = parse("password = { env = \"CARGO_PKG_NAME\" }").unwrap();
    let secret = party.password.unwrap().read(Path::new("")).unwrap();
    assert_eq!(secret.expose(), "harpo-service");
    let missing = SecretSource::Env("HARPO_NO_SUCH_VARIABLE".into()).read(Path::new(""));
    assert!(
        missing
            .unwrap_err()
            .to_string()
            .contains("HARPO_NO_SUCH_VARIABLE")
    );
    assert!(parse("password = \"in plain sight\"").is_err());
    assert!(parse("password = { command = \"x\" }").is_err());
}
