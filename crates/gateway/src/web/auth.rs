//! Who asks: HTTP Basic with a password, or Bearer with a token, and the purpose of use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::{digest, hmac};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harpo_protocol::access::{Purpose, Requester};
use http::{HeaderMap, StatusCode, header};
use rand_core::CryptoRng;
use serde::Deserialize;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::{ApiError, Web};

/// States the purpose of use: an HL7 v3 PurposeOfUse code, `TREAT` if absent.
const PURPOSE: &str = "x-purpose-of-use";

/// How long a password that was verified is not hashed again, in milliseconds. A request with
/// Argon2 costs some 20 ms; a viewer makes hundreds.
const REMEMBERED_MS: u64 = 60_000;

/// Most passwords that are remembered.
const REMEMBERED: usize = 1024;

/// Passwords hashed at once: each takes 19 MiB and a core, whoever asks.
const HASHED_AT_ONCE: usize = 2;

/// Longest credential that is looked at, in bytes.
const CREDENTIAL_BYTES: usize = 1024;

/// A user of this hospital.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserConfig {
    /// Unique; at most 48 bytes, without colons.
    pub name: String,
    /// As the policy names it: `physician`, `radiologist`, …
    pub role: String,
    /// Argon2 hash of the password as a PHC string; see [`hash_password`].
    #[serde(default)]
    pub password_hash: Option<String>,
    /// SHA-256 in hexadecimal of a random token of at least 128 bits; see [`token_sha256`].
    #[serde(default)]
    pub token_sha256: Option<String>,
}

impl std::fmt::Debug for UserConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserConfig")
            .field("name", &self.name)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// Why a list of users is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UsersError {
    /// The name is empty, too long, has a colon, or stands twice.
    #[error("{0:?} cannot be a user's name: use each once, 1 to 48 bytes, without colons")]
    BadName(String),
    /// The password hash is not an Argon2 PHC string.
    #[error(
        "the password_hash of user {0:?} is not an Argon2 PHC string; make one with `harpo gateway user`"
    )]
    BadHash(String),
    /// The token's digest is not one.
    #[error(
        "the token_sha256 of user {0:?} is not a SHA-256 in hexadecimal; make one with `harpo gateway user`"
    )]
    BadToken(String),
    /// No way to sign in.
    #[error("user {0:?} has neither password_hash nor token_sha256; give one of them")]
    NoCredential(String),
}

/// Hashes a password for [`UserConfig::password_hash`] with a random salt.
///
/// # Errors
/// If the password is longer than Argon2 takes.
pub fn hash_password(
    password: &str,
    rng: &mut impl CryptoRng,
) -> Result<String, argon2::password_hash::Error> {
    let mut salt = [0u8; 16];
    rng.fill_bytes(&mut salt);
    let salt = SaltString::encode_b64(&salt)?;
    Ok(Argon2::default()
        .hash_password(password.as_bytes(), &salt)?
        .to_string())
}

/// The digest of a token for [`UserConfig::token_sha256`].
#[must_use]
pub fn token_sha256(token: &str) -> String {
    hex::encode(digest::digest(&digest::SHA256, token.as_bytes()))
}

struct User {
    role: String,
    password_hash: Option<String>,
}

/// Who may sign in, and how.
struct Table {
    by_name: HashMap<String, User>,
    /// Digest of the token, and the user's name.
    tokens: Vec<([u8; 32], String)>,
}

/// The users, and what was verified lately.
pub struct Users {
    table: ArcSwap<Table>,
    /// Hashed for names that do not exist, so that time does not tell.
    decoy: String,
    /// Tags of verified credentials under a key of this process, and when they were verified.
    verified: Mutex<HashMap<Vec<u8>, u64>>,
    key: hmac::Key,
    hashing: Semaphore,
}

impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Users")
            .field("count", &self.table.load().by_name.len())
            .finish_non_exhaustive()
    }
}

impl Table {
    fn new(configs: Vec<UserConfig>) -> Result<Self, UsersError> {
        let mut by_name = HashMap::new();
        let mut tokens = Vec::new();
        for UserConfig {
            name,
            role,
            password_hash,
            token_sha256,
        } in configs
        {
            let named =
                (1..=crate::spool::MAX_SOURCE_BYTES).contains(&name.len()) && !name.contains(':');
            if !named || by_name.contains_key(&name) {
                return Err(UsersError::BadName(name));
            }
            if let Some(hash) = &password_hash {
                let parsed = PasswordHash::new(hash).ok();
                if !parsed
                    .is_some_and(|p| p.algorithm.as_str().starts_with("argon2") && p.hash.is_some())
                {
                    return Err(UsersError::BadHash(name));
                }
            }
            if let Some(token) = &token_sha256 {
                let digest = hex::decode(token).ok().and_then(|d| d.try_into().ok());
                let digest = digest.ok_or_else(|| UsersError::BadToken(name.clone()))?;
                tokens.push((digest, name.clone()));
            }
            if password_hash.is_none() && token_sha256.is_none() {
                return Err(UsersError::NoCredential(name));
            }
            by_name.insert(
                name,
                User {
                    role,
                    password_hash,
                },
            );
        }
        Ok(Self { by_name, tokens })
    }
}

impl Users {
    /// Checks and takes a list of users.
    ///
    /// # Errors
    /// See [`UsersError`].
    pub fn new(configs: Vec<UserConfig>) -> Result<Self, UsersError> {
        let table = ArcSwap::from_pointee(Table::new(configs)?);
        let random = SystemRandom::new();
        #[expect(
            clippy::expect_used,
            reason = "the operating system's generator does not fail"
        )]
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &random).expect("randomness");
        Ok(Self {
            table,
            decoy: "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into(),
            verified: Mutex::new(HashMap::new()),
            key,
            hashing: Semaphore::new(HASHED_AT_ONCE),
        })
    }

    /// Takes another list in place of the present one, from the next request on.
    ///
    /// # Errors
    /// See [`UsersError`]; the present list then stays.
    pub fn replace(&self, configs: Vec<UserConfig>) -> Result<(), UsersError> {
        self.table.store(Arc::new(Table::new(configs)?));
        Ok(())
    }

    fn role(&self, name: &str) -> Option<String> {
        let table = self.table.load();
        table.by_name.get(name).map(|u| u.role.clone())
    }

    /// The name of the token's user. Looks at every token, whichever fits.
    fn by_token(&self, token: &str) -> Option<String> {
        let presented = digest::digest(&digest::SHA256, token.as_bytes());
        let mut found = None;
        for (digest, name) in &self.table.load().tokens {
            if verify_slices_are_equal(digest, presented.as_ref()).is_ok() {
                found = Some(name.clone());
            }
        }
        found
    }

    async fn by_password(
        &self,
        name: &str,
        password: Zeroizing<String>,
        now_ms: u64,
    ) -> Option<String> {
        let table = self.table.load_full();
        let known = table
            .by_name
            .get(name)
            .and_then(|u| u.password_hash.clone());
        let tag = self.tag(name, known.as_deref().unwrap_or_default(), &password);
        if known.is_some() && self.remembered(&tag, now_ms) {
            return Some(name.to_owned());
        }
        let exists = known.is_some();
        let hash = known.unwrap_or_else(|| self.decoy.clone());
        let permit = self.hashing.acquire().await.ok()?;
        let verified = crate::blocking(move || {
            PasswordHash::new(&hash).is_ok_and(|h| {
                Argon2::default()
                    .verify_password(password.as_bytes(), &h)
                    .is_ok()
            })
        })
        .await;
        drop(permit);
        if !(verified && exists) {
            return None;
        }
        self.remember(tag, now_ms);
        Some(name.to_owned())
    }

    /// With the hash that the password was verified against: when that changes, nothing is remembered.
    fn tag(&self, name: &str, hash: &str, password: &str) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [name, hash] {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part.as_bytes());
        }
        context.update(password.as_bytes());
        context.sign().as_ref().to_vec()
    }

    fn remembered(&self, tag: &[u8], now_ms: u64) -> bool {
        let verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        verified
            .get(tag)
            .is_some_and(|at| now_ms.saturating_sub(*at) < REMEMBERED_MS)
    }

    fn remember(&self, tag: Vec<u8>, now_ms: u64) {
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.len() >= REMEMBERED {
            verified.clear();
        }
        verified.insert(tag, now_ms);
    }

    /// Who the headers say is asking, if it can be believed.
    async fn requester(&self, headers: &HeaderMap, now_ms: u64) -> Result<Requester, ApiError> {
        let refused = |message| ApiError::new(StatusCode::UNAUTHORIZED, "unauthenticated", message);
        let Some(credential) = headers.get(header::AUTHORIZATION) else {
            return Err(refused(
                "sign in with a user name and password, or send a bearer token",
            ));
        };
        let name = match credential.to_str().ok().and_then(|c| c.split_once(' ')) {
            Some((_, c)) if c.len() > CREDENTIAL_BYTES => None,
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                self.by_token(token.trim())
            }
            Some((scheme, pair)) if scheme.eq_ignore_ascii_case("basic") => {
                let pair = STANDARD
                    .decode(pair.trim())
                    .ok()
                    .and_then(|b| String::from_utf8(b).ok());
                match pair
                    .map(Zeroizing::new)
                    .as_deref()
                    .and_then(|p| p.split_once(':'))
                {
                    Some((name, password)) => {
                        // Browsers ask for a password: a user's token does as one.
                        if self.by_token(password).as_deref() == Some(name) {
                            Some(name.to_owned())
                        } else {
                            let password = Zeroizing::new(password.to_owned());
                            self.by_password(name, password, now_ms).await
                        }
                    }
                    None => None,
                }
            }
            _ => None,
        };
        let wrong = "user name, password or token is wrong; check them and try again";
        let (user, role) = name
            .and_then(|n| self.role(&n).map(|r| (n, r)))
            .ok_or_else(|| refused(wrong))?;
        let purpose = match headers.get(PURPOSE) {
            None => Purpose::default(),
            Some(code) => code
                .to_str()
                .unwrap_or_default()
                .parse()
                .map_err(|e| ApiError::bad_request(format!("X-Purpose-Of-Use: {e}")))?,
        };
        Ok(Requester {
            user,
            role,
            purpose,
        })
    }
}

/// Lets authenticated requests through, with their [`Requester`] attached.
pub(super) async fn require(
    State(web): State<Web>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let requester = web.users.requester(request.headers(), (web.now)()).await?;
    request.extensions_mut().insert(requester);
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests;
