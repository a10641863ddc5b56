//! Logs: to standard error, as text or JSON.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{LogConfig, LogFormat};

#[cfg(test)]
mod tests;

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// Neither a level nor directives.
    #[error(
        "`{text}` (from {origin}) is not a log level: say error, warn, info, debug or trace, or \
         directives such as info,harpo_trust=debug"
    )]
    Level {
        /// What was given.
        text: String,
        /// Where it came from.
        origin: &'static str,
        /// Why it is none.
        source: tracing_subscriber::filter::ParseError,
    },
    /// It was set up before.
    #[error("logging was set up already in this process")]
    Already(#[from] tracing_subscriber::util::TryInitError),
}

/// Sets up logging for the process, once. `RUST_LOG`, if set, goes before the configured level.
///
/// # Errors
/// [`TelemetryError`].
pub fn init(config: &LogConfig) -> Result<(), TelemetryError> {
    let from_env = std::env::var("RUST_LOG")
        .ok()
        .filter(|text| !text.is_empty());
    let filter = filter(config, from_env)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match config.format {
        LogFormat::Text => builder.finish().try_init()?,
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
}

fn filter(config: &LogConfig, from_env: Option<String>) -> Result<EnvFilter, TelemetryError> {
    let (text, origin) = match from_env {
        Some(text) => (text, "RUST_LOG"),
        None => (config.level.clone(), "log.level"),
    };
    // The library takes an unknown word for the name of a module; a level that stands alone is one
    // of five words.
    let alone = !text.contains([',', '=', ':', '[']);
    if alone && let Err(source) = text.parse::<tracing_subscriber::filter::LevelFilter>() {
        return Err(TelemetryError::Level {
            text,
            origin,
            source: source.into(),
        });
    }
    EnvFilter::try_new(&text).map_err(|source| TelemetryError::Level {
        text,
        origin,
        source,
    })
}
