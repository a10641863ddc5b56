//! Notices (docs/protocol.md 8.7): trust tells what happened to this hospital's own bundles; they are
//! kept, logged, and shown at `/api/notices`.

use std::time::Duration;

use harpo_protocol::access::Obligation;
use harpo_protocol::release::Notice;
use harpo_service::causes::in_one_line;
use harpo_service::clock::Clock;
use harpo_service::http::ClientError;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::ready::Ready;
use crate::store::{Store, StoreError};
use crate::trust_client::TrustClient;

/// How often trust is asked.
const EVERY: Duration = Duration::from_secs(10);

/// Why notices are not here.
#[derive(Debug, thiserror::Error)]
pub enum NoticeError {
    /// Trust is away or refused.
    #[error("trust did not tell what happened to this hospital's images")]
    Trust(#[source] ClientError),
    /// Trust sent what was not asked for.
    #[error("trust's notices are not in order: {number} after {after}")]
    Order {
        /// The number that came.
        number: u64,
        /// The number before.
        after: u64,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Asks regularly, until `stop`. Failures are logged and tried again.
pub async fn poll(
    trust: TrustClient,
    store: Store,
    ready: Ready,
    clock: Clock,
    stop: CancellationToken,
) {
    loop {
        if let Err(error) = fetch(&trust, &store, &ready).await {
            warn!(error = %in_one_line(&error), "notices are delayed; they are asked for again");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.sleep(EVERY) => {}
        }
    }
}

/// Fetches and keeps what is new.
async fn fetch(trust: &TrustClient, store: &Store, ready: &Ready) -> Result<(), NoticeError> {
    loop {
        let mut after = store.last_notice().await?;
        let answer = trust.notices(after).await;
        ready.asked(&answer);
        let notices = answer.map_err(NoticeError::Trust)?;
        if notices.is_empty() {
            return Ok(());
        }
        for Notice { number, .. } in &notices {
            let number = *number;
            if number <= after {
                return Err(NoticeError::Order { number, after });
            }
            after = number;
        }
        store.add_notices(&notices).await?;
        notices.iter().for_each(log);
    }
}

fn log(notice: &Notice) {
    let requester = &notice.requester;
    let review = notice.obligations.contains(&Obligation::SecondReview);
    info!(
        bundle = %notice.bundle,
        consumer = notice.consumer,
        user = requester.user,
        role = requester.role,
        purpose = %requester.purpose,
        review,
        "images of this hospital were released"
    );
}

#[cfg(test)]
mod tests {
    use harpo_protocol::access::{Purpose, Requester};
    use harpo_protocol::id::BundleId;
    use harpo_protocol::time::Timestamp;
    use harpo_service::admin::Readiness;

    use super::*;
    use crate::testing::{NOW, World, lock};

    fn notice(number: u64, purpose: Purpose, obligations: &[Obligation]) -> Notice {
        Notice {
            number,
            at: Timestamp(NOW.0 + number),
            bundle: BundleId([number as u8; 16]),
            consumer: "Mercy Hospital".into(),
            requester: Requester {
                user: "grace".into(),
                role: "physician".into(),
                purpose,
            },
            obligations: obligations.to_vec(),
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn notices_are_kept_once_and_reviews_are_found() {
        let world = World::new().await;
        let (_, trust) = world.gateway().await;
        let file = world.data().join("gateway.db");
        let store = Store::open(&file).await.unwrap();
        let ready = Ready::new(&Readiness::new(), &world.clock);
        let plain = [Obligation::NotifyOrigin];
        let review = [Obligation::NotifyOrigin, Obligation::SecondReview];
        lock(&world.desk.notices).extend([
            notice(1, Purpose::Treat, &plain),
            notice(2, Purpose::Btg, &review),
        ]);
        fetch(&trust, &store, &ready).await.unwrap();
        lock(&world.desk.notices).push(notice(5, Purpose::Treat, &plain));
        fetch(&trust, &store, &ready).await.unwrap();
        // Durable: another process sees the same.
        let store = Store::open(&file).await.unwrap();
        assert_eq!(store.last_notice().await.unwrap(), 5);
        let rows = store.notices(10).await.unwrap();
        let numbers: Vec<u64> = rows.iter().map(|row| row.number).collect();
        assert_eq!(numbers, [5, 2, 1]);
        let reviews = store.reviews().await.unwrap();
        assert_eq!(reviews.len(), 1);
        let row = &reviews[0];
        assert_eq!(
            (row.user.as_str(), row.consumer.as_str()),
            ("grace", "Mercy Hospital")
        );
        assert_eq!((row.purpose.as_str(), row.at_ms), ("BTG", NOW.0 + 2));
        assert_eq!(row.obligations, review);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_out_of_order_is_not_kept() {
        let world = World::new().await;
        let (_, trust) = world.gateway().await;
        let store = Store::open(&world.data().join("gateway.db")).await.unwrap();
        let ready = Ready::new(&Readiness::new(), &world.clock);
        lock(&world.desk.notices).extend([
            notice(4, Purpose::Treat, &[]),
            notice(3, Purpose::Treat, &[]),
        ]);
        let failed = fetch(&trust, &store, &ready).await.unwrap_err();
        assert!(matches!(
            failed,
            NoticeError::Order {
                number: 3,
                after: 4
            }
        ));
        assert_eq!(store.last_notice().await.unwrap(), 0);
    }
}
