//! The web interface's questions, put to the consulting side.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use harpo_protocol::access::Requester;
use harpo_protocol::search::{MAX_ROWS, SearchRequest};
use harpo_service::causes::in_one_line;
use harpo_service::http::ClientError;

use super::retrieve::RetrieveError;
use super::rounds::Unserved;
use super::{Consult, ConsultError};
use crate::archive::{
    Archive, ArchiveError, Leaving, SearchPage, SearchQuery, Selector, StoredInstance,
};
use crate::cloud_client::ConnectError;
use crate::content::export::Exported;
use crate::hints::HintError;
use crate::open::OpenError;
use crate::store::CachedInstance;

/// When to try again if nobody said.
const AGAIN: Duration = Duration::from_secs(5);

impl Archive for Consult {
    fn search<'a>(
        &'a self,
        who: &'a Requester,
        query: SearchQuery,
    ) -> BoxFuture<'a, Result<SearchPage, ArchiveError>> {
        Box::pin(async move {
            let request = SearchRequest {
                requester: who.clone(),
                level: query.level,
                matching: query.matching,
                limit: query.limit.min(MAX_ROWS),
                offset: query.offset,
            };
            let answer = self.find(&request).await?;
            let rows = answer
                .rows
                .into_iter()
                .map(|row| row.into_iter().collect())
                .collect();
            Ok(SearchPage {
                rows,
                more: answer.more,
            })
        })
    }

    fn open<'a>(
        &'a self,
        who: &'a Requester,
        which: Selector,
    ) -> BoxFuture<'a, Result<Vec<StoredInstance>, ArchiveError>> {
        Box::pin(async move {
            let mut instances: Vec<StoredInstance> = self
                .study(who, &which.study)
                .await?
                .into_iter()
                .filter(|i| which.takes(&i.series_instance_uid, &i.sop_instance_uid))
                .map(StoredInstance::from)
                .collect();
            // The same instance may have been deposited twice.
            let mut seen = std::collections::BTreeSet::new();
            instances.retain(|i| seen.insert(i.sop_instance_uid.clone()));
            if instances.is_empty() {
                Err(ArchiveError::NotFound)
            } else {
                Ok(instances)
            }
        })
    }

    fn export<'a>(
        &'a self,
        who: &'a Requester,
        which: Selector,
        leaving: Leaving,
    ) -> BoxFuture<'a, Result<Vec<Exported>, ArchiveError>> {
        Box::pin(async move {
            let exported = self.take_away(who, &which, leaving).await?;
            if exported.is_empty() {
                Err(ArchiveError::NotFound)
            } else {
                Ok(exported)
            }
        })
    }
}

impl From<CachedInstance> for StoredInstance {
    fn from(cached: CachedInstance) -> Self {
        Self {
            sop_instance_uid: cached.sop_instance_uid,
            series_instance_uid: cached.series_instance_uid,
            sop_class_uid: cached.sop_class_uid,
            path: cached.path,
        }
    }
}

impl From<ConsultError> for ArchiveError {
    fn from(error: ConsultError) -> Self {
        Arc::new(error).into()
    }
}

impl From<Arc<ConsultError>> for ArchiveError {
    fn from(error: Arc<ConsultError>) -> Self {
        match &*error {
            ConsultError::Trust(refused) | ConsultError::Connect(ConnectError::Pass(refused)) => {
                from_client(refused, &error)
            }
            ConsultError::Hints(HintError::Cloud { source, .. }) => unavailable(source, &error),
            ConsultError::Retrieve(RetrieveError::Cloud(source)) => unavailable(source, &error),
            ConsultError::RoundPending { again } => Self::Pending {
                retry_after: *again,
            },
            ConsultError::Unserved(Unserved::Failed(failed)) => failed.clone().into(),
            ConsultError::HintsPending
            | ConsultError::Unserved(_)
            | ConsultError::TooMuchAhead
            | ConsultError::Stopping
            | ConsultError::Retrieve(RetrieveError::Reconnect(_)) => Self::Unavailable {
                retry_after: AGAIN,
                cause: Box::new(Shown(error)),
            },
            ConsultError::NoRoom { .. } => Self::NoRoom {
                why: error.to_string(),
            },
            ConsultError::Untraceable(_) | ConsultError::NoTraceKey(_) => Self::Untraceable {
                why: error.to_string(),
            },
            ConsultError::Open(OpenError::Io(_)) | ConsultError::Retrieve(RetrieveError::Io(_)) => {
                Self::Internal(Box::new(Shown(error)))
            }
            ConsultError::Open(_)
            | ConsultError::Retrieve(_)
            | ConsultError::Hints(HintError::Digest(_)) => Self::Corrupt {
                what: error.to_string(),
            },
            _ => Self::Internal(Box::new(Shown(error))),
        }
    }
}

fn from_client(refused: &ClientError, error: &Arc<ConsultError>) -> ArchiveError {
    let message = match refused {
        ClientError::Refused { message, .. } => message.clone(),
        _ => String::new(),
    };
    match refused.code() {
        Some("denied") => ArchiveError::Denied { reason: message },
        Some("not_found") => ArchiveError::NotFound,
        _ => unavailable(refused, error),
    }
}

fn unavailable(source: &ClientError, error: &Arc<ConsultError>) -> ArchiveError {
    let retry_after = source.retry_after().unwrap_or(AGAIN);
    ArchiveError::Unavailable {
        retry_after,
        cause: Box::new(Shown(error.clone())),
    }
}

/// An error that several callers share, with its causes in one line.
#[derive(Debug)]
struct Shown(Arc<ConsultError>);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&in_one_line(&*self.0))
    }
}

impl std::error::Error for Shown {}
