//! What `/-/ready` says of a gateway: that it serves, that trust answered lately, and that the hints of
//! all sealed generations are here.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use harpo_protocol::time::Timestamp;
use harpo_service::admin::{Condition, Readiness};
use harpo_service::clock::Clock;
use harpo_service::http::ClientError;
use tokio_util::sync::CancellationToken;

use crate::consult::ConsultError;

/// Trust counts as away when it has not answered for so long.
const LATELY: Duration = Duration::from_secs(60);
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// See the module. Clones share it.
#[derive(Debug, Clone)]
pub struct Ready {
    serving: Condition,
    trust: Condition,
    hints: Condition,
    answered: Arc<Mutex<Option<Timestamp>>>,
    clock: Clock,
}

impl Ready {
    /// Not ready yet.
    #[must_use]
    pub fn new(readiness: &Readiness, clock: &Clock) -> Self {
        Self {
            serving: readiness.condition("serving"),
            trust: readiness.condition("trust"),
            hints: readiness.condition("hints"),
            answered: Arc::default(),
            clock: clock.clone(),
        }
    }

    /// Every listener listens.
    pub fn serves(&self) {
        self.serving.holds();
    }

    /// Keeps the conditions that time changes, until `stop`.
    pub async fn watch(self, stop: CancellationToken) {
        loop {
            self.look();
            tokio::select! {
                () = stop.cancelled() => {
                    self.serving.fails("stopping");
                    return;
                }
                () = self.clock.sleep(LOOK_EVERY) => {}
            }
        }
    }

    fn look(&self) {
        let now = self.clock.now();
        let answered = *self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        match answered.map(|at| now.since(at)) {
            None => self.trust.fails("it has not answered yet"),
            Some(ago) if ago > LATELY => {
                self.trust
                    .fails(format!("it has not answered for {} s", ago.as_secs()));
            }
            Some(_) => self.trust.holds(),
        }
    }

    /// Notes how asking trust went: a refusal is an answer, too.
    pub fn asked<T>(&self, outcome: &Result<T, ClientError>) {
        let away = matches!(
            outcome,
            Err(ClientError::Unreachable { .. } | ClientError::Tls { .. })
        );
        if !away {
            let now = self.clock.now();
            *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
            self.look();
        }
    }

    /// Notes how looking for hints went.
    pub fn hints(&self, outcome: &Result<(), ConsultError>) {
        match outcome {
            Ok(()) => self.hints.holds(),
            // Which generations there are is not known; `trust` tells it if this lasts.
            Err(ConsultError::Trust(_)) => {}
            Err(_) => self
                .hints
                .fails("hints of sealed generations are missing; see the log"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    fn failing(readiness: &Readiness) -> Vec<&'static str> {
        readiness.not_ready().into_keys().collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn each_condition_holds_and_fails_by_itself() {
        let mut world = World::new().await;
        let (_, trust) = world.gateway().await;
        let readiness = Readiness::new();
        let ready = Ready::new(&readiness, &world.clock);
        assert_eq!(failing(&readiness), ["hints", "serving", "trust"]);
        ready.serves();
        ready.asked(&trust.info().await);
        assert_eq!(failing(&readiness), ["hints"]);
        ready.hints(&Ok(()));
        assert_eq!(failing(&readiness), [""; 0]);
        ready.hints(&Err(std::io::Error::other("test").into()));
        assert_eq!(failing(&readiness), ["hints"]);
        ready.hints(&Ok(()));
        // Trust goes away: it is forgiven for a minute.
        world.close().await;
        world.clock.advance(LATELY);
        ready.asked(&trust.info().await);
        ready.look();
        assert_eq!(failing(&readiness), [""; 0]);
        world.clock.advance(LOOK_EVERY);
        ready.asked(&trust.info().await);
        ready.look();
        assert_eq!(
            readiness.not_ready()["trust"],
            "it has not answered for 61 s"
        );
        world.open().await;
        ready.asked(&trust.info().await);
        assert_eq!(failing(&readiness), [""; 0]);
    }
}
