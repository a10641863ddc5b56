//! The users file: `users.toml`, one `[[user]]` each.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use harpo_service::causes::in_one_line;
use harpo_service::clock::Clock;
use harpo_service::config::{ConfigError, load};
use harpo_service::files;
use rand_core::CryptoRng;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
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
    #[error("the users file cannot be read or written")]
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

/// A user, without what proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Unique.
    pub name: String,
    /// As the policy names it.
    pub role: String,
    /// Signs in with a password.
    pub password: bool,
    /// Signs in with a token.
    pub token: bool,
}

/// How often a running gateway looks whether the file was changed.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Reads and checks the users; none if there is no file.
pub fn read(path: &Path) -> Result<Users, UsersFileError> {
    Ok(Users::new(configs(path)?)?)
}

/// The users in the file, in its order.
pub fn list(path: &Path) -> Result<Vec<Listed>, UsersFileError> {
    let users = configs(path)?.into_iter().map(|user| Listed {
        name: user.name,
        role: user.role,
        password: user.password_hash.is_some(),
        token: user.token_sha256.is_some(),
    });
    Ok(users.collect())
}

/// Removes a user; whether there was one of this name.
pub fn remove(path: &Path, name: &str) -> Result<bool, UsersFileError> {
    let mut users = configs(path)?;
    let before = users.len();
    users.retain(|user| user.name != name);
    if users.len() == before {
        return Ok(false);
    }
    files::write_durable(path, render(&users).as_bytes(), 0o600)?;
    Ok(true)
}

/// Takes over every change of the file, until `stop`. What is wrong in it is logged, and the users
/// stay as they were.
pub(crate) async fn watch(path: PathBuf, users: Arc<Users>, clock: Clock, stop: CancellationToken) {
    // None, so that a change between reading and watching is not missed.
    let mut seen = None;
    loop {
        seen = look(&path, &users, seen).await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.sleep(LOOK_EVERY) => {}
        }
    }
}

/// What changes when a file does: number, time, length; none where there is no file.
type State = Option<(u64, i64, i64, u64)>;

/// Reads the file if it is not as it was `seen`.
async fn look(path: &Path, users: &Arc<Users>, seen: Option<State>) -> Option<State> {
    let (path, users) = (path.to_owned(), users.clone());
    crate::blocking(move || {
        let state = fs::metadata(&path)
            .ok()
            .map(|m| (m.ino(), m.mtime(), m.mtime_nsec(), m.len()));
        if seen == Some(state) {
            return seen;
        }
        let replaced = configs(&path).and_then(|new| Ok(users.replace(new)?));
        match replaced {
            Ok(()) if seen.is_some() => info!("the users file was read again"),
            Ok(()) => {}
            Err(error) => {
                warn!(error = %in_one_line(&error), "the users file is wrong; users stay as they were");
            }
        }
        Some(state)
    })
    .await
}

/// Adds a user; the token if one was made.
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
    // A disk that fails is not an empty list.
    if !path.try_exists()? {
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

    #[tokio::test]
    async fn changes_are_taken_over_and_mistakes_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.toml");
        let mut rng = harpo_service::random::system();
        let users = Arc::new(read(&path).unwrap());
        let count = || format!("{users:?}");
        let seen = look(&path, &users, None).await;
        add(&path, "ada", "physician", Credential::Token, &mut rng).unwrap();
        let seen = look(&path, &users, seen).await;
        assert!(count().contains("count: 1"), "{users:?}");
        assert_eq!(look(&path, &users, seen).await, seen);
        fs::write(&path, "[[user]]\nname = 'eve'").unwrap();
        let seen = look(&path, &users, seen).await;
        assert!(count().contains("count: 1"), "{users:?}");
        fs::remove_file(&path).unwrap();
        look(&path, &users, seen).await;
        assert!(count().contains("count: 0"), "{users:?}");
    }

    #[test]
    fn users_are_listed_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.toml");
        let mut rng = harpo_service::random::system();
        add(&path, "ada", "physician", Credential::Token, &mut rng).unwrap();
        let password = Credential::Password("secret".to_owned().into());
        add(&path, "grace", "nurse", password, &mut rng).unwrap();
        assert!(remove(&path, "ada").unwrap());
        assert!(!remove(&path, "ada").unwrap());
        let grace = Listed {
            name: "grace".into(),
            role: "nurse".into(),
            password: true,
            token: false,
        };
        assert_eq!(list(&path).unwrap(), [grace]);
    }
}
