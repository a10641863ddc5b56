//! Waiting for a study while its gateway tells how far it is.

use std::cell::Cell;
use std::time::Duration;

use anyhow::Result;
use harpo_gateway::consult::progress::{Phase, Snapshot};
use indicatif::ProgressBar;

use super::screen::megabytes;
use super::visit::Visitor;

/// How often the gateway is asked.
const LOOK_EVERY: Duration = Duration::from_millis(150);

/// Fetches a study. `bar` shows what the gateway does, then what it delivers: of `total` bytes, `before` of which
/// were delivered with other studies.
pub(crate) async fn study(
    visitor: &Visitor,
    study: &str,
    bar: &ProgressBar,
    total: u64,
    before: u64,
) -> Result<Vec<Vec<u8>>> {
    let delivering = Cell::new(false);
    let following = async {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            // What is only looked at may fail.
            let fetches = visitor.fetches().await.unwrap_or_default();
            let progress = fetches.first().and_then(|fetch| fetch.progress);
            if let (Some(progress), false) = (progress, delivering.get()) {
                bar.set_length(progress.bytes_total);
                bar.set_position(progress.bytes);
                bar.set_message(words(&progress));
            }
        }
    };
    let fetching = visitor.study(study, |bytes| {
        if !delivering.replace(true) {
            bar.set_length(total);
            bar.set_position(before);
            bar.set_message("downloading");
        }
        bar.inc(bytes);
    });
    tokio::select! {
        received = fetching => received,
        () = following => unreachable!("it follows until the study is here"),
    }
}

/// What the gateway does, in words.
fn words(progress: &Snapshot) -> String {
    let Snapshot { done, of, .. } = progress;
    match progress.phase {
        Phase::Waiting => "waiting for the cloud".to_owned(),
        Phase::Round => format!("waiting for the network's rounds, slot {done} of {of}"),
        Phase::Asking => format!("asking, query {done} of {of}"),
        Phase::Receiving => format!("receiving, {}/s", megabytes(progress.bytes_per_second)),
        Phase::Decoding => format!("decoding, slot {done} of {of}"),
        Phase::Verifying => "verifying".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_read_well() {
        let progress = |phase| Snapshot {
            phase,
            done: 2,
            of: 4,
            bytes: 0,
            bytes_total: 0,
            bytes_per_second: 12_000_000,
            next_round_ms: None,
        };
        assert_eq!(words(&progress(Phase::Asking)), "asking, query 2 of 4");
        assert_eq!(words(&progress(Phase::Receiving)), "receiving, 12.0 MB/s");
        assert_eq!(words(&progress(Phase::Decoding)), "decoding, slot 2 of 4");
    }
}
