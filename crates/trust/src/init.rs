//! Making a trust service: authority, keys, identity, configuration, database.

use std::net::SocketAddr;

use harpo_protocol::domain::sha256;
use harpo_protocol::id::PartyId;
use harpo_protocol::identity::Role;
use harpo_service::clock::Clock;
use harpo_service::files;
use harpo_service::tls::{Authority, Identity, Subject, generate_key_and_csr};
use rand_core::CryptoRng;

use crate::audit::Event;
use crate::config::{SAMPLE, TrustConfig};
use crate::error::{TrustError, file_error};
use crate::folder::Folder;
use crate::store::Store;

/// What may differ from the sample configuration.
#[derive(Clone, Debug, Default)]
pub struct InitOptions {
    /// Where parties will connect.
    pub listen: Option<SocketAddr>,
    /// DNS names and IP addresses at which they find this service.
    pub server_names: Vec<String>,
    /// `https://HOST:PORT` of the cloud.
    pub cloud_url: Option<String>,
}

/// Makes a trust service in a folder: its authority, its keys, its identity, `trust.toml`, and the database
/// with the first audit entry. Refuses a folder that holds one already, or the beginning of one.
///
/// # Errors
/// [`TrustError::Folder`] in these cases; files, certificates, database.
pub async fn init(
    folder: &Folder,
    options: &InitOptions,
    clock: &Clock,
    rng: &mut impl CryptoRng,
) -> Result<(), TrustError> {
    let refuse = |why| {
        Err(TrustError::Folder {
            path: folder.path().to_owned(),
            why,
        })
    };
    if folder.config_path().exists() {
        return refuse("holds a trust service already; nothing was changed");
    }
    if folder.authority_dir().exists() {
        return refuse(
            "holds the beginning of a trust service that was not finished; empty it and try again",
        );
    }
    let text = configuration(options);
    let config: TrustConfig = toml::from_str(&text).map_err(|error| {
        TrustError::Usage(format!("the options make no configuration: {error}"))
    })?;
    config
        .validate()
        .map_err(|error| TrustError::Usage(error.to_string()))?;

    files::create_dir_durable(folder.path(), 0o700).map_err(file_error("write", folder.path()))?;
    let authority = Authority::create(&folder.authority_dir(), clock.now())?;
    let signing = folder.create_keys(rng)?;
    let party = PartyId::random(rng);
    let identity = issue_identity(folder, &authority, party, &config, clock)?;
    let store = Store::new(folder.open_db().await?, signing, clock.clone());
    let event = Event::Initialised {
        authority: sha256(authority.root().der()),
        party: identity.party(),
    };
    store.audit_alone(event).await?;
    store.db.close().await;
    // Last: the service exists from the moment that its configuration does.
    let path = folder.config_path();
    files::write_durable(&path, text.as_bytes(), 0o600).map_err(file_error("write", &path))
}

/// Issues trust's own certificate, for a fresh key.
pub(crate) fn issue_identity(
    folder: &Folder,
    authority: &Authority,
    party: PartyId,
    config: &TrustConfig,
    clock: &Clock,
) -> Result<Identity, TrustError> {
    let dir = folder.identity_dir();
    let request = generate_key_and_csr(&dir)?;
    let subject = Subject {
        role: Role::Trust,
        party,
        server_names: config.server_names.clone(),
    };
    let chain = authority.issue(&request, &subject, config.validity(), clock.now())?;
    Ok(Identity::install(
        &dir,
        &chain,
        authority.root(),
        clock.clone(),
    )?)
}

/// The sample with the options in it.
fn configuration(options: &InitOptions) -> String {
    let mut text = SAMPLE.to_owned();
    let mut set = |old: &str, new: String| text = text.replacen(old, &new, 1);
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    if let Some(listen) = options.listen {
        set(
            "listen = \"127.0.0.1:8600\"",
            format!("listen = \"{listen}\""),
        );
    }
    if !options.server_names.is_empty() {
        let names: Vec<String> = options.server_names.iter().map(|n| quoted(n)).collect();
        set(
            "server_names = [\"localhost\", \"127.0.0.1\"]",
            format!("server_names = [{}]", names.join(", ")),
        );
    }
    if let Some(url) = &options.cloud_url {
        set(
            "url = \"https://localhost:8601\"",
            format!("url = {}", quoted(url)),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_reach_the_configuration() {
        let options = InitOptions {
            listen: Some("0.0.0.0:1234".parse().unwrap()),
            server_names: vec!["trust.example".into(), "10.0.0.1".into()],
            cloud_url: Some("https://cloud.example:1".into()),
        };
        let config: TrustConfig = toml::from_str(&configuration(&options)).unwrap();
        assert_eq!(Some(config.listen), options.listen);
        assert_eq!(config.server_names, options.server_names);
        assert_eq!(Some(config.cloud.url), options.cloud_url);
        assert_eq!(configuration(&InitOptions::default()), SAMPLE);
    }
}
