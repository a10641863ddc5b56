//! The relay, and the cloud's key for what passes through it, as trust tells all gateways the same (docs/protocol.md
//! 9.8).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use harpo_protocol::Malformed;
use harpo_protocol::domain::sha256;
use harpo_protocol::identity::RelayInfo;
use harpo_service::admin::Readiness;
use harpo_service::causes::in_one_line;
use harpo_service::http::{ApiError, Client, ClientError};
use harpo_service::ohttp::PublicKey;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::audit::Event;
use crate::error::TrustError;
use crate::serve::Trust;
use crate::store::{Store, relay_key};

/// Longest list of keys.
const KEYS_BYTES: usize = 16 << 10;
/// Between two looks at the cloud's key.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Before the first time that it is known.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long gateways are told a key at least. The cloud sees which of them use the old one for a while, each time that
/// it changes: this bounds how often it can look.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// `[relay]`: through whom gateways reach the cloud.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RelayConfig {
    /// `https://HOST:PORT`; none, if gateways ask the cloud directly.
    pub url: Option<String>,
}

impl RelayConfig {
    pub(crate) fn validate(&self) -> Result<(), Malformed> {
        match &self.url {
            Some(url) if !url.starts_with("https://") => Err(Malformed::new(
                "configuration",
                format!("relay.url is {url:?}; it must be https://HOST:PORT"),
            )),
            _ => Ok(()),
        }
    }
}

/// What is known of the relay.
#[derive(Debug)]
pub(crate) struct Relay {
    url: Option<String>,
    /// The cloud's key, base64.
    keys: Mutex<Option<String>>,
    /// The last one that was not taken, and was said to be.
    refused: Mutex<Option<String>>,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
enum KeyError {
    #[error("the cloud did not tell its key for the relay")]
    Cloud(#[from] ClientError),
    #[error("the cloud's key for the relay cannot be used")]
    Key(#[from] Malformed),
    #[error("the cloud's key for the relay cannot be kept")]
    Store(#[from] TrustError),
}

impl Relay {
    pub(crate) fn new(config: &RelayConfig) -> Self {
        Self {
            url: config.url.clone(),
            keys: Mutex::default(),
            refused: Mutex::default(),
        }
    }

    /// What gateways are told.
    ///
    /// # Errors
    /// `unavailable` while the key is not known: a gateway that heard of no relay would ask the cloud directly.
    pub(crate) fn info(&self) -> Result<Option<RelayInfo>, ApiError> {
        let Some(url) = &self.url else {
            return Ok(None);
        };
        let keys = self.lock().clone().ok_or_else(|| {
            ApiError::unavailable(
                "unavailable",
                "the cloud has not told its key for the relay yet; try again",
                LOOK_AGAIN,
            )
        })?;
        Ok(Some(RelayInfo {
            url: url.clone(),
            keys,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what was told before a restart.
    pub(crate) async fn recall(&self, store: &Store) -> Result<(), TrustError> {
        if let Some((key, _)) = relay_key::find(store.db.read()).await? {
            *self.lock() = Some(key);
        }
        Ok(())
    }

    /// Asks the cloud for its key.
    async fn look(&self, store: &Store, cloud: &Client) -> Result<(), KeyError> {
        let list = cloud.get("/v1/ohttp-keys").send_bytes(KEYS_BYTES).await?;
        let key = PublicKey::from_list(&list)?.to_base64()?;
        Ok(self.offered(store, key).await?)
    }

    /// Takes a key that the cloud offers, unless the one that gateways are told is younger than [`KEPT`].
    pub(crate) async fn offered(&self, store: &Store, key: String) -> Result<(), TrustError> {
        let now = store.now();
        let mut tx = store.db.begin("relay key").await?;
        match relay_key::find(&mut *tx).await? {
            Some((known, _)) if known == key => {}
            Some((_, since)) if now < since.after(KEPT) => {
                let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
                if refused.as_ref() != Some(&key) {
                    tracing::warn!(
                        "the cloud changed its key for the relay again within a day: not taken yet; gateways are told \
                         the one before"
                    );
                    *refused = Some(key);
                }
                return Ok(());
            }
            known => {
                if known.is_some() {
                    tracing::warn!("the cloud's key for the relay was replaced");
                }
                relay_key::set(&mut tx, &key, now).await?;
                let digest = sha256(key.as_bytes());
                store
                    .audit(&mut tx, Event::RelayKey { key: digest })
                    .await?;
                tx.commit().await?;
            }
        }
        *self.lock() = Some(key);
        Ok(())
    }
}

/// Keeps the key known until `stop`, if there is a relay. One that was known stays while the cloud is away.
pub(crate) async fn keep(
    trust: Arc<Trust>,
    cloud: Client,
    readiness: Readiness,
    stop: CancellationToken,
) {
    if trust.relay.url.is_none() {
        return;
    }
    let condition = readiness.condition("relay");
    condition.fails("the cloud has not told its key for the relay yet");
    if let Err(error) = trust.relay.recall(&trust.store).await {
        tracing::warn!(error = in_one_line(&error), "the last key is not known");
    }
    loop {
        let looked = trust.relay.look(&trust.store, &cloud).await;
        let is_known = trust.relay.lock().is_some();
        if is_known {
            condition.holds();
        }
        if let Err(error) = looked {
            tracing::warn!(error = in_one_line(&error), is_known, "asked again soon");
        }
        let pause = if is_known { LOOK_EVERY } else { LOOK_AGAIN };
        tokio::select! {
            () = stop.cancelled() => return,
            () = trust.store.clock.sleep(pause) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_without_a_key_is_not_kept_quiet_about() {
        assert_eq!(Relay::new(&RelayConfig::default()).info().unwrap(), None);
        let url = "https://relay.example:8602".to_owned();
        let config = RelayConfig {
            url: Some(url.clone()),
        };
        config.validate().unwrap();
        let relay = Relay::new(&config);
        assert_eq!(relay.info().unwrap_err().code, "unavailable");
        *relay.lock() = Some("a2V5".to_owned());
        let keys = "a2V5".to_owned();
        assert_eq!(relay.info().unwrap(), Some(RelayInfo { url, keys }));
        let plain = RelayConfig {
            url: Some("http://relay.example".to_owned()),
        };
        assert!(plain.validate().is_err());
    }
}
