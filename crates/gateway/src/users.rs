//! The users file: `users.toml`, one `[[user]]` each.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use harpo_service::config::{ConfigError, load};
use harpo_service::files;
use rand_core::CryptoRng;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::web::{UserConfig, Users, UsersError, hash_password, token_sha256};

/// Why users cannot be read or added.
#[derive(Debug, thiserror::Error)]
pub enum UsersFileError {
    /// The file.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What it says.
    #[error(transparent)]
    Users(#[from] UsersError),
    /// The disk.
    #[error("writing the users file failed")]
    Io(#[from] io::Error),
    /// The password.
    #[error("the password cannot be used: {0}")]
    Password(String),
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    user: Vec<UserConfig>,
}

/// How a new user signs in.
#[derive(Debug)]
pub enum Credential {
    /// With a random token, which is returned.
    Token,
    /// With this password.
    Password(Zeroizing<String>),
}

/// Reads and checks the users; none if there is no file.
pub fn read(path: &Path) -> Result<Users, UsersFileError> {
    Ok(Users::new(configs(path)?)?)
}

/// Adds a user; the token if one was made. A running gateway has to be restarted.
pub fn add(
    path: &Path,
    name: &str,
    role: &str,
    credential: Credential,
    rng: &mut impl CryptoRng,
) -> Result<Option<Zeroizing<String>>, UsersFileError> {
    let mut users = configs(path)?;
    let (password_hash, token) = match credential {
        Credential::Password(password) => {
            let hash = hash_password(&password, rng)
                .map_err(|error| UsersFileError::Password(error.to_string()))?;
            (Some(hash), None)
        }
        Credential::Token => {
            let mut bytes = Zeroizing::new([0; 24]);
            rng.fill_bytes(&mut *bytes);
            (None, Some(Zeroizing::new(hex::encode(*bytes))))
        }
    };
    users.push(UserConfig {
        name: name.to_owned(),
        role: role.to_owned(),
        password_hash,
        token_sha256: token.as_ref().map(|token| token_sha256(token)),
    });
    Users::new(users.clone())?;
    files::write_durable(path, render(&users).as_bytes(), 0o600)?;
    Ok(token)
}

fn configs(path: &Path) -> Result<Vec<UserConfig>, UsersFileError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    Ok(load::<File>(path)?.user)
}

fn render(users: &[UserConfig]) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let mut text = String::from("# Users of this gateway. `harpo gateway user add` adds one.\n");
    for user in users {
        let _ = write!(
            text,
            "\n[[user]]\nname = {}\nrole = {}\n",
            quoted(&user.name),
            quoted(&user.role)
        );
        if let Some(hash) = &user.password_hash {
            let _ = writeln!(text, "password_hash = {}", quoted(hash));
        }
        if let Some(token) = &user.token_sha256 {
            let _ = writeln!(text, "token_sha256 = {}", quoted(token));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_added_once_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.toml");
        let mut rng = harpo_service::random::system();
        let token = add(
            &path,
            "ada \"\n[x]",
            "physician",
            Credential::Token,
            &mut rng,
        )
        .unwrap();
        assert_eq!(token.unwrap().len(), 48);
        let password = Credential::Password("secret".to_owned().into());
        assert!(
            add(&path, "grace", "nurse", password, &mut rng)
                .unwrap()
                .is_none()
        );
        let names: Vec<String> = configs(&path)
            .unwrap()
            .into_iter()
            .map(|u| u.name)
            .collect();
        assert_eq!(names, ["ada \"\n[x]", "grace"]);
        assert!(add(&path, "grace", "nurse", Credential::Token, &mut rng).is_err());
        assert!(!std::fs::read_to_string(&path).unwrap().contains("secret"));
    }
}
