//! The storage service class user: sends files as they are, for the demonstration and for tests.

use std::collections::HashMap;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dicom_ul::pdu::{
    AssociationRJ, AssociationRQ, PDataValueType, Pdu, PresentationContextProposed,
    PresentationContextResultReason as Reason, UserVariableItem,
};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::dimse::{Command, MAX_COMMAND_BYTES, command, status};
use super::inspect::{Limits, inspect_file, open_file};
use super::wire::{MAX_PDU_BYTES, Wire, WireError};
use super::{InspectError, uid};

/// Presentation contexts have odd identifiers of one byte.
const MAX_CONTEXTS: usize = 128;

/// Whom to call, and as whom.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Where it listens.
    pub address: SocketAddr,
    /// Our application entity title.
    pub calling_ae_title: String,
    /// Its application entity title.
    pub called_ae_title: String,
    /// How long it may be silent.
    pub timeout: Duration,
}

/// Why an association could not be had, or broke.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScuError {
    /// No connection.
    #[error("cannot connect to {address}; check that the peer listens there")]
    Connect {
        /// Where.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The peer rejected the association.
    #[error("the peer rejected the association: {}; check both titles and its limits", .0.source)]
    Rejected(AssociationRJ),
    /// The peer did not accept the verification service.
    #[error("the peer does not accept C-ECHO")]
    NoVerification,
    /// The peer answered something else than was asked.
    #[error("the peer answered out of turn")]
    Unexpected,
    /// The connection broke.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// Why a file was not stored by the peer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// It cannot be read as a DICOM instance.
    #[error(transparent)]
    Unreadable(#[from] InspectError),
    /// The peer takes no such objects, or not in this transfer syntax.
    #[error("the peer accepts no {sop_class_uid} in {transfer_syntax_uid}")]
    NotAccepted {
        /// Its SOP class.
        sop_class_uid: String,
        /// Its transfer syntax.
        transfer_syntax_uid: String,
    },
    /// The peer refused it.
    #[error("the peer refused it with status {status:04X}: {comment}")]
    Refused {
        /// DIMSE status.
        status: u16,
        /// The peer's error comment.
        comment: String,
    },
    /// The association ended before an answer came: it may or may not be stored. Send it again.
    #[error("the association ended before an answer came ({0}); send it again")]
    Lost(String),
}

/// What became of one file.
#[derive(Debug)]
pub struct Sent {
    /// The file.
    pub path: PathBuf,
    /// Its SOP Instance UID, empty where it could not be read.
    pub sop_instance_uid: String,
    /// Bytes of its data set.
    pub bytes: u64,
    /// Stored with success or a warning, or why not.
    pub result: Result<(), SendError>,
}

/// Asks whether the peer is there (C-ECHO).
///
/// # Errors
/// See [`ScuError`].
pub async fn echo(peer: &Peer) -> Result<(), ScuError> {
    let contexts = [(uid::VERIFICATION.to_owned(), uid::IMPLICIT_LE.to_owned())];
    let mut association = Association::open(peer, &contexts).await?;
    let Some(context) = association.accepted.first().copied().flatten() else {
        return Err(ScuError::NoVerification);
    };
    let request = Command {
        field: command::ECHO_RQ,
        message_id: 1,
        sop_class_uid: uid::VERIFICATION.to_owned(),
        ..Command::default()
    };
    let response = association.exchange(context, &request, None).await?;
    association.release().await?;
    if response.status == status::SUCCESS {
        Ok(())
    } else {
        Err(ScuError::Unexpected)
    }
}

/// Sends files, each in its own transfer syntax and with its data set's bytes as they are.
///
/// `progress` is called after each file. Results are in the order of `files`.
///
/// # Errors
/// [`ScuError`] if no association could be had at all; what goes wrong later is in the results.
pub async fn send(
    peer: &Peer,
    files: &[PathBuf],
    mut progress: impl FnMut(&Sent),
) -> Result<Vec<Sent>, ScuError> {
    let planned = {
        let files = files.to_vec();
        tokio::task::spawn_blocking(move || Plan::of(&files))
            .await
            .unwrap_or_default()
    };
    let mut results: Vec<Option<Sent>> =
        std::iter::repeat_with(|| None).take(files.len()).collect();
    for (index, path, error) in planned.unreadable {
        let sent = Sent {
            path,
            sop_instance_uid: String::new(),
            bytes: 0,
            result: Err(error.into()),
        };
        progress(&sent);
        results[index] = Some(sent);
    }
    for (number, batch) in planned.batches.into_iter().enumerate() {
        let mut lost = match Association::open(peer, &batch.contexts).await {
            Ok(association) => association
                .batch(&batch, &mut results, &mut progress)
                .await
                .err(),
            Err(error) if number == 0 => return Err(error),
            Err(error) => Some(error),
        };
        for item in &batch.items {
            if results[item.index].is_none() {
                let error = lost.get_or_insert(ScuError::Unexpected);
                let sent = item.sent(Err(SendError::Lost(error.to_string())));
                progress(&sent);
                results[item.index] = Some(sent);
            }
        }
    }
    Ok(results.into_iter().flatten().collect())
}

/// A file to send.
#[derive(Debug, Clone)]
struct Item {
    index: usize,
    path: PathBuf,
    sop_class_uid: String,
    sop_instance_uid: String,
    bytes: u64,
    /// Index into the batch's contexts.
    context: usize,
}

impl Item {
    fn sent(&self, result: Result<(), SendError>) -> Sent {
        let (path, sop_instance_uid) = (self.path.clone(), self.sop_instance_uid.clone());
        Sent {
            path,
            sop_instance_uid,
            bytes: self.bytes,
            result,
        }
    }
}

/// What one association carries.
#[derive(Debug, Default)]
struct Batch {
    /// Abstract and transfer syntax.
    contexts: Vec<(String, String)>,
    items: Vec<Item>,
}

#[derive(Debug, Default)]
struct Plan {
    batches: Vec<Batch>,
    unreadable: Vec<(usize, PathBuf, InspectError)>,
}

impl Plan {
    fn of(files: &[PathBuf]) -> Self {
        let mut plan = Self::default();
        let limits = Limits::default();
        for (index, path) in files.iter().enumerate() {
            match inspect_file(path, &limits) {
                Ok(header) => {
                    let length = std::fs::metadata(path).map_or(0, |m| m.len());
                    let context = (header.sop_class_uid.clone(), header.transfer_syntax_uid);
                    plan.add(
                        context,
                        Item {
                            index,
                            path: path.clone(),
                            sop_class_uid: header.sop_class_uid,
                            sop_instance_uid: header.sop_instance_uid,
                            bytes: length.saturating_sub(header.dataset_offset),
                            context: 0,
                        },
                    );
                }
                Err(error) => plan.unreadable.push((index, path.clone(), error)),
            }
        }
        plan
    }

    fn add(&mut self, context: (String, String), mut item: Item) {
        let room = |b: &Batch| b.contexts.contains(&context) || b.contexts.len() < MAX_CONTEXTS;
        let at = self.batches.iter().position(room).unwrap_or_else(|| {
            self.batches.push(Batch::default());
            self.batches.len() - 1
        });
        let batch = &mut self.batches[at];
        item.context = batch
            .contexts
            .iter()
            .position(|c| *c == context)
            .unwrap_or_else(|| {
                batch.contexts.push(context);
                batch.contexts.len() - 1
            });
        batch.items.push(item);
    }
}

struct Association {
    wire: Wire<TcpStream>,
    peer_max: u32,
    /// By proposed context: its identifier, if the peer accepted it.
    accepted: Vec<Option<u8>>,
}

impl Association {
    async fn open(peer: &Peer, contexts: &[(String, String)]) -> Result<Self, ScuError> {
        let address = peer.address;
        let stream = tokio::time::timeout(peer.timeout, TcpStream::connect(address))
            .await
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
            .map_err(|source| ScuError::Connect { address, source })?;
        stream
            .set_nodelay(true)
            .map_err(|source| ScuError::Connect { address, source })?;
        let mut wire = Wire::new(stream, peer.timeout);
        let proposed: Vec<PresentationContextProposed> = contexts
            .iter()
            .zip((1..=u8::MAX).step_by(2))
            .map(
                |((abstract_syntax, transfer_syntax), id)| PresentationContextProposed {
                    id,
                    abstract_syntax: abstract_syntax.clone(),
                    transfer_syntaxes: vec![transfer_syntax.clone()],
                },
            )
            .collect();
        let ids: Vec<u8> = proposed.iter().map(|p| p.id).collect();
        wire.send(&Pdu::AssociationRQ(AssociationRQ {
            protocol_version: 1,
            calling_ae_title: peer.calling_ae_title.clone(),
            called_ae_title: peer.called_ae_title.clone(),
            application_context_name: uid::APPLICATION_CONTEXT.to_owned(),
            presentation_contexts: proposed,
            user_variables: vec![
                UserVariableItem::MaxLength(MAX_PDU_BYTES),
                UserVariableItem::ImplementationClassUID(uid::IMPLEMENTATION_CLASS.to_owned()),
                UserVariableItem::ImplementationVersionName(uid::IMPLEMENTATION_VERSION.to_owned()),
            ],
        }))
        .await?;
        let answer = match wire.receive().await? {
            Pdu::AssociationAC(answer) => answer,
            Pdu::AssociationRJ(rejection) => return Err(ScuError::Rejected(rejection)),
            _ => return Err(ScuError::Unexpected),
        };
        let results: HashMap<u8, bool> = answer
            .presentation_contexts
            .iter()
            .map(|c| (c.id, c.reason == Reason::Acceptance))
            .collect();
        let accepted = ids
            .into_iter()
            .map(|id| results.get(&id).copied().unwrap_or(false).then_some(id))
            .collect();
        let peer_max = answer.user_variables.iter().find_map(|v| match v {
            UserVariableItem::MaxLength(n) => Some(*n),
            _ => None,
        });
        Ok(Self {
            wire,
            peer_max: peer_max.unwrap_or(0),
            accepted,
        })
    }

    async fn batch(
        mut self,
        batch: &Batch,
        results: &mut [Option<Sent>],
        progress: &mut impl FnMut(&Sent),
    ) -> Result<(), ScuError> {
        // The next file is read while the peer is writing this one.
        let mut next = batch.items.first().map(|item| load(&item.path));
        for (number, item) in batch.items.iter().enumerate() {
            let loading = next.take();
            next = batch.items.get(number + 1).map(|item| load(&item.path));
            let dataset = match loading {
                Some(loading) => loading
                    .await
                    .unwrap_or_else(|e| Err(lost(std::io::Error::other(e)))),
                None => continue,
            };
            // Message identifiers only need to differ among messages in flight.
            let message_id = u16::try_from(number % 0xFFFF).unwrap_or(0) + 1;
            let result = match dataset {
                Ok(dataset) => self.store(batch, item, message_id, &dataset).await?,
                Err(error) => Err(SendError::Unreadable(error)),
            };
            let sent = item.sent(result);
            progress(&sent);
            results[item.index] = Some(sent);
        }
        self.release().await
    }

    async fn store(
        &mut self,
        batch: &Batch,
        item: &Item,
        message_id: u16,
        dataset: &[u8],
    ) -> Result<Result<(), SendError>, ScuError> {
        let Some(context) = self.accepted[item.context] else {
            let (sop_class_uid, transfer_syntax_uid) = batch.contexts[item.context].clone();
            return Ok(Err(SendError::NotAccepted {
                sop_class_uid,
                transfer_syntax_uid,
            }));
        };
        let request = Command {
            field: command::STORE_RQ,
            message_id,
            has_dataset: true,
            sop_class_uid: item.sop_class_uid.clone(),
            sop_instance_uid: item.sop_instance_uid.clone(),
            ..Command::default()
        };
        let response = self.exchange(context, &request, Some(dataset)).await?;
        Ok(match response.status {
            // Warnings: stored, with something coerced or dropped (PS3.4 table B.2-1).
            status::SUCCESS | 0xB000..=0xBFFF => Ok(()),
            status => Err(SendError::Refused {
                status,
                comment: response.comment,
            }),
        })
    }

    /// Sends a request and reads its response.
    async fn exchange(
        &mut self,
        context: u8,
        request: &Command,
        dataset: Option<&[u8]>,
    ) -> Result<Command, ScuError> {
        self.wire
            .message(context, true, &request.write(), self.peer_max)
            .await?;
        if let Some(dataset) = dataset {
            self.wire
                .message(context, false, dataset, self.peer_max)
                .await?;
        }
        self.wire.flush().await?;
        let mut bytes = Vec::new();
        loop {
            let Pdu::PData { data } = self.wire.receive().await? else {
                return Err(ScuError::Unexpected);
            };
            for value in data {
                if value.value_type != PDataValueType::Command
                    || bytes.len() + value.data.len() > MAX_COMMAND_BYTES
                {
                    return Err(ScuError::Unexpected);
                }
                bytes.extend_from_slice(&value.data);
                if value.is_last {
                    let response = Command::read(&bytes).map_err(|_| ScuError::Unexpected)?;
                    let ours = response.is_response() && response.message_id == request.message_id;
                    return if ours {
                        Ok(response)
                    } else {
                        Err(ScuError::Unexpected)
                    };
                }
            }
        }
    }

    async fn release(mut self) -> Result<(), ScuError> {
        self.wire.send(&Pdu::ReleaseRQ).await?;
        match self.wire.receive().await? {
            Pdu::ReleaseRP => {
                self.wire.close().await;
                Ok(())
            }
            _ => Err(ScuError::Unexpected),
        }
    }
}

/// Reads a file's data set in the background.
fn load(path: &Path) -> JoinHandle<Result<Vec<u8>, InspectError>> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || {
        let (opening, mut file, length) = open_file(&path)?;
        let length = length.saturating_sub(opening.dataset_offset);
        let mut dataset = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        file.read_to_end(&mut dataset).map_err(InspectError::Read)?;
        Ok(dataset)
    })
}

fn lost(error: std::io::Error) -> InspectError {
    InspectError::Read(error)
}
