//! One association, from its request to its end.

use std::time::Duration;

use dicom_ul::pdu::{
    AbortRQServiceProviderReason as AbortReason, AbortRQSource, PDataValue, PDataValueType, Pdu,
};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::Scp;
use super::negotiate::{self, Agreed};
use crate::dicom::InspectError;
use crate::dicom::dimse::{Command, MAX_COMMAND_BYTES, command, status};
use crate::dicom::wire::{Wire, WireError};
use crate::spool::{Incoming, Kind, Source, StoreError, Stored};

/// How an association ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Rejected,
    Released,
    Aborted,
    /// We stop: the message in flight was answered, then the association aborted.
    Stopped,
    /// The peer broke the protocol and was told so.
    Misbehaved,
}

/// Serves one connection.
pub(super) async fn run(
    scp: &Scp,
    stream: TcpStream,
    places: &Semaphore,
    stop: &CancellationToken,
) -> Result<Ended, WireError> {
    let artim = Duration::from_secs(scp.config.artim_timeout_seconds);
    let mut wire = Wire::new(stream, artim);
    let request = tokio::select! {
        () = stop.cancelled() => return Ok(Ended::Stopped),
        unit = wire.receive() => unit?,
    };
    let Pdu::AssociationRQ(request) = request else {
        return abort(wire, AbortReason::UnexpectedPdu, Ended::Misbehaved).await;
    };
    let place = places.try_acquire();
    let decision = match place {
        Ok(_) => negotiate::decide(&scp.config, &request),
        Err(_) => Err(negotiate::full()),
    };
    let agreed = match decision {
        Ok((accepted, agreed)) => {
            wire.send(&accepted.into()).await?;
            agreed
        }
        Err(rejection) => {
            tracing::info!(calling = %request.calling_ae_title, ?rejection, "DICOM association rejected");
            wire.send(&rejection.into()).await?;
            wait_for_close(wire).await;
            return Ok(Ended::Rejected);
        }
    };
    wire.set_timeout(Duration::from_secs(scp.config.idle_timeout_seconds));
    Association {
        scp,
        wire,
        agreed,
        command: Vec::new(),
        message: None,
    }
    .serve(stop)
    .await
}

/// The peer closes after a rejection or release; we wait so that it can read our last word.
async fn wait_for_close(mut wire: Wire<TcpStream>) {
    wire.set_timeout(Duration::from_secs(2));
    let _ = wire.readable().await;
    wire.close().await;
}

async fn abort(
    mut wire: Wire<TcpStream>,
    reason: AbortReason,
    ended: Ended,
) -> Result<Ended, WireError> {
    let source = AbortRQSource::ServiceProvider(reason);
    wire.send(&Pdu::AbortRQ { source }).await?;
    wait_for_close(wire).await;
    Ok(ended)
}

/// A C-STORE whose data set is arriving.
struct Message {
    context: u8,
    request: Command,
    /// Gone wrong already; the rest of the data set is read and dropped.
    incoming: Result<Incoming, StoreError>,
}

struct Association<'a> {
    scp: &'a Scp,
    wire: Wire<TcpStream>,
    agreed: Agreed,
    /// The fragments of a command set so far.
    command: Vec<u8>,
    message: Option<Message>,
}

/// What a fragment led to.
enum Step {
    Continue,
    Broken,
}

impl Association<'_> {
    async fn serve(mut self, stop: &CancellationToken) -> Result<Ended, WireError> {
        loop {
            if self.message.is_none() && self.command.is_empty() {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {
                        return abort(self.wire, AbortReason::ReasonNotSpecified, Ended::Stopped).await;
                    }
                    ready = self.wire.readable() => ready?,
                }
            }
            match self.wire.receive().await? {
                Pdu::PData { data } => {
                    for value in data {
                        if let Step::Broken = self.fragment(value).await? {
                            let reason = AbortReason::InvalidPduParameter;
                            return abort(self.wire, reason, Ended::Misbehaved).await;
                        }
                    }
                }
                Pdu::ReleaseRQ => {
                    self.wire.send(&Pdu::ReleaseRP).await?;
                    wait_for_close(self.wire).await;
                    return Ok(Ended::Released);
                }
                Pdu::AbortRQ { .. } => return Ok(Ended::Aborted),
                _ => return abort(self.wire, AbortReason::UnexpectedPdu, Ended::Misbehaved).await,
            }
        }
    }

    async fn fragment(&mut self, value: PDataValue) -> Result<Step, WireError> {
        if !self
            .agreed
            .contexts
            .contains_key(&value.presentation_context_id)
        {
            return Ok(Step::Broken);
        }
        match (value.value_type, &mut self.message) {
            (PDataValueType::Command, None) => {
                if self.command.len() + value.data.len() > MAX_COMMAND_BYTES {
                    return Ok(Step::Broken);
                }
                self.command.extend_from_slice(&value.data);
                if value.is_last {
                    let bytes = std::mem::take(&mut self.command);
                    return self.request(value.presentation_context_id, &bytes).await;
                }
                Ok(Step::Continue)
            }
            (PDataValueType::Data, Some(message))
                if message.context == value.presentation_context_id =>
            {
                message.take(&value.data).await;
                if value.is_last
                    && let Some(message) = self.message.take()
                {
                    self.store(message).await?;
                }
                Ok(Step::Continue)
            }
            _ => Ok(Step::Broken),
        }
    }

    async fn request(&mut self, context: u8, bytes: &[u8]) -> Result<Step, WireError> {
        let Ok(request) = Command::read(bytes) else {
            return Ok(Step::Broken);
        };
        match request.field {
            command::ECHO_RQ if !request.has_dataset => {
                self.respond(context, &request.response(status::SUCCESS, ""))
                    .await?;
            }
            command::STORE_RQ if request.has_dataset => {
                let (_, transfer_syntax_uid) = &self.agreed.contexts[&context];
                let kind = Kind::Dataset {
                    transfer_syntax_uid: transfer_syntax_uid.clone(),
                    sop_class_uid: request.sop_class_uid.clone(),
                    sop_instance_uid: request.sop_instance_uid.clone(),
                };
                let incoming = Ok(self.scp.spool.begin(kind, self.scp.config.max_object_bytes));
                self.message = Some(Message {
                    context,
                    request,
                    incoming,
                });
            }
            // Nothing of ours is ever pending.
            command::CANCEL_RQ => {}
            _ if request.is_response() || request.has_dataset => return Ok(Step::Broken),
            _ => {
                let comment = "only C-ECHO and C-STORE are served here";
                let response = request.response(status::UNRECOGNISED_OPERATION, comment);
                self.respond(context, &response).await?;
            }
        }
        Ok(Step::Continue)
    }

    async fn store(&mut self, message: Message) -> Result<(), WireError> {
        let Message {
            context,
            request,
            incoming,
        } = message;
        let result = match incoming {
            Ok(incoming) => self.spool(incoming).await,
            Err(error) => Err(error),
        };
        let response = match result {
            Ok(stored) => {
                (self.scp.on_stored)(&stored);
                request.response(status::SUCCESS, "")
            }
            Err(error) => {
                let calling = &self.agreed.calling;
                tracing::warn!(calling, %error, "a C-STORE was refused");
                request.response(status_of(&error), &error.to_string())
            }
        };
        self.respond(context, &response).await
    }

    async fn spool(&self, incoming: Incoming) -> Result<Stored, StoreError> {
        let spool = std::sync::Arc::clone(&self.scp.spool);
        let source = Source::AeTitle(self.agreed.calling.clone());
        let now_ms = (self.scp.now)();
        crate::blocking(move || spool.store(incoming, &source, now_ms)).await
    }

    async fn respond(&mut self, context: u8, response: &Command) -> Result<(), WireError> {
        self.wire
            .message(context, true, &response.write(), self.agreed.peer_max)
            .await?;
        self.wire.flush().await
    }
}

impl Message {
    async fn take(&mut self, bytes: &[u8]) {
        let full = self
            .incoming
            .as_ref()
            .is_ok_and(|i| i.would_block(bytes.len()));
        if !full {
            if let Ok(incoming) = &mut self.incoming
                && let Err(error) = incoming.push(bytes)
            {
                self.incoming = Err(error);
            }
            return;
        }
        let placeholder = Err(StoreError::Io(std::io::ErrorKind::Interrupted.into()));
        if let Ok(mut incoming) = std::mem::replace(&mut self.incoming, placeholder) {
            let bytes = bytes.to_vec();
            self.incoming = crate::blocking(move || {
                incoming.push(&bytes)?;
                Ok(incoming)
            })
            .await;
        }
    }
}

/// The DIMSE status of a failure (PS3.4 B.2.3, PS3.7 annex C); STOW-RS uses the same as reasons.
pub(crate) fn status_of(error: &StoreError) -> u16 {
    match error {
        StoreError::DiskFull | StoreError::TooLarge { .. } => status::OUT_OF_RESOURCES,
        StoreError::Contradicts { .. } | StoreError::PatientMismatch => status::DOES_NOT_MATCH,
        StoreError::DuplicateDiffers => status::DUPLICATE,
        StoreError::Refused(InspectError::Read(_)) | StoreError::Io(_) => {
            status::PROCESSING_FAILURE
        }
        StoreError::Refused(_) => status::CANNOT_UNDERSTAND,
    }
}
