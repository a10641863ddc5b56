//! Asking for what one ticket buys, answers or a stream, over as many connections as it takes (docs/protocol.md 9.2,
//! 9.5, 9.6).
//!
//! Nothing here knows what was asked for. What it does depends on the transport, and on what the cloud
//! refuses with.

use std::fs::File;
use std::future::Future;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use futures_util::StreamExt as _;
use harpo_service::causes::in_one_line;
use harpo_service::http::{ClientError, Response};
use rand_core::Rng;
use tracing::info;

use super::super::progress::{Phase, Progress};
use super::{Place, RetrieveError};
use crate::cloud_client::{CloudClient, ConnectError};
use crate::within::TooSlow;

/// What is asked for with one ticket: parts of one size, in order.
pub(in super::super) trait Request: Sync {
    /// How many.
    fn parts(&self) -> u32;

    /// Bytes of the body that asks for those from `from` on.
    fn length(&self, from: u32) -> u64;

    /// Sends that body; `resumes` says that the ticket was spent for it before. Returns with the head of the answer, or
    /// with why there is none. The outer error is final.
    fn send(
        &self,
        cloud: &CloudClient,
        from: u32,
        resumes: bool,
        progress: &Progress,
    ) -> impl Future<Output = Result<Result<Response, ClientError>, RetrieveError>> + Send;
}

/// The part of a file that is one ticket's.
#[derive(Clone, Copy)]
pub(in super::super) struct Region<'a> {
    pub(in super::super) file: &'a File,
    pub(in super::super) start: u64,
    pub(in super::super) part_bytes: u64,
}

/// A retrieval's connection, made anew when it breaks.
pub(in super::super) struct Asking<'a, 'b> {
    cloud: CloudClient,
    place: &'a Place<'b>,
}

/// Why a request did not bring everything.
enum Failure {
    Cloud(ClientError),
    TooSlow(TooSlow),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Cloud(error)
    }
}

impl From<Failure> for RetrieveError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Cloud(error) => Self::Cloud(error),
            Failure::TooSlow(error) => Self::TooSlow(error),
        }
    }
}

impl Failure {
    /// Whether a cloud that has spent nothing is busy, and when it wants to be asked again if it said so.
    fn busy(&self) -> Option<Option<Duration>> {
        match self {
            Self::Cloud(error) if error.code() == Some("busy") => Some(error.retry_after()),
            _ => None,
        }
    }

    /// In short, for the log.
    fn cause(&self) -> String {
        match self {
            Self::Cloud(error) => in_one_line(error),
            Self::TooSlow(error) => in_one_line(error),
        }
    }
}

/// What has happened with one ticket.
struct Course {
    /// The ticket was shown over a connection that broke, and may be spent: from then on the request says
    /// that it goes on, even if with the first answer. A ticket that is not spent is good for that, too.
    resumes: bool,
    /// Bytes of parts that came, whole parts only while nothing is being received.
    received: u64,
    /// A disk that is full must not show: answers are received to their end all the same.
    kept: io::Result<()>,
    broken: u32,
    busy: u32,
    /// Bytes that are expected to be sent and were not.
    unsent: u64,
}

impl Course {
    /// Parts that came whole.
    fn whole(&self, region: Region<'_>) -> u32 {
        (self.received / region.part_bytes) as u32
    }
}

impl<'a, 'b> Asking<'a, 'b> {
    pub(in super::super) fn new(cloud: CloudClient, place: &'a Place<'b>) -> Self {
        Self { cloud, place }
    }

    /// Receives everything that `request` asks for into `region`.
    pub(in super::super) async fn ask(
        &mut self,
        request: &impl Request,
        region: Region<'_>,
        rng: &mut impl Rng,
    ) -> Result<(), RetrieveError> {
        let mut course = Course {
            resumes: false,
            received: 0,
            kept: Ok(()),
            broken: 0,
            busy: 0,
            unsent: request.length(0),
        };
        let patience = self.place.patience;
        loop {
            let Err(failure) = self.attempt(request, region, &mut course).await? else {
                return Ok(course.kept?);
            };
            if course.received == u64::from(request.parts()) * region.part_bytes {
                // It broke after the last byte.
                return Ok(course.kept?);
            }
            if let Some(pause) = failure.busy()
                && course.busy < patience.busy_tries
            {
                course.busy += 1;
                let pause = pause.unwrap_or(patience.busy_pause);
                self.place.clock.sleep(pause).await;
            } else if self.is_broken(&failure) && course.broken < patience.resumptions {
                info!(
                    cause = %failure.cause(),
                    "the connection to the cloud broke; the retrieval goes on over another"
                );
                course.resumes = true;
                self.place.progress.resumes();
                self.reconnect(&mut course, rng).await?;
            } else {
                return Err(failure.into());
            }
            self.begin_again(request, region, &mut course);
        }
    }

    /// Whether it was the transport, and something had been sent over it. A cloud that cannot be reached in
    /// the first place is not waited for.
    fn is_broken(&self, failure: &Failure) -> bool {
        match failure {
            Failure::Cloud(ClientError::Unreachable { source, .. }) => {
                !source.is_connect() || self.place.progress.wire().up > 0
            }
            Failure::Cloud(_) => false,
            // A cloud that trickles may not keep us for ever.
            Failure::TooSlow(_) => true,
        }
    }

    /// Waits, and connects anew; trust, which gives the pass, may be away as well.
    async fn reconnect(
        &mut self,
        course: &mut Course,
        rng: &mut impl Rng,
    ) -> Result<(), RetrieveError> {
        let Place {
            patience, clock, ..
        } = self.place;
        loop {
            course.broken += 1;
            let pause = patience.backoff.pause(course.broken, rng);
            self.place.progress.enter(Phase::Waiting, 0);
            clock.sleep(pause).await;
            match (self.place.reconnect)().await {
                Ok(cloud) => {
                    self.cloud = cloud;
                    return Ok(());
                }
                Err(ConnectError::Pass(error))
                    if error.is_transient() && course.broken < patience.resumptions => {}
                Err(error) => return Err(RetrieveError::Reconnect(error)),
            }
        }
    }

    /// Forgets what came of an answer that broke off, and expects it, and what was sent in vain, again.
    fn begin_again(&self, request: &impl Request, region: Region<'_>, course: &mut Course) {
        let cut = course.received % region.part_bytes;
        course.received -= cut;
        let length = request.length(course.whole(region));
        let in_vain = length.saturating_sub(course.unsent);
        self.place.progress.expect_more(cut + in_vain);
        course.unsent = length;
    }

    /// One request. The outer error is final.
    async fn attempt(
        &self,
        request: &impl Request,
        region: Region<'_>,
        course: &mut Course,
    ) -> Result<Result<(), Failure>, RetrieveError> {
        let from = course.whole(region);
        let before = self.place.progress.wire().up;
        let resumes = course.resumes;
        let answer = request
            .send(&self.cloud, from, resumes, self.place.progress)
            .await;
        let sent = self.place.progress.wire().up - before;
        course.unsent = course.unsent.saturating_sub(sent);
        let answer = answer?;
        Ok(match answer {
            Ok(answer) => {
                let expected = u64::from(request.parts()) * region.part_bytes;
                let missing = expected.saturating_sub(course.received);
                let Place {
                    patience, clock, ..
                } = self.place;
                let receiving = self.receive(answer, region, expected, course);
                match patience.pace.within(clock, missing, receiving).await {
                    Ok(received) => received.map_err(Failure::Cloud),
                    Err(slow) => Err(Failure::TooSlow(slow)),
                }
            }
            Err(error) => Err(error.into()),
        })
    }

    /// Receives what is missing of `expected` bytes: no more and no less.
    async fn receive(
        &self,
        answer: Response,
        region: Region<'_>,
        expected: u64,
        course: &mut Course,
    ) -> Result<(), ClientError> {
        let progress = self.place.progress;
        let mut stream = answer.stream();
        let mut first = true;
        while let Some(piece) = stream.next().await {
            let piece = piece?;
            if std::mem::take(&mut first) {
                progress.enter(Phase::Receiving, expected);
                progress.step(course.received);
            }
            let at = region.start + course.received;
            let length = piece.len() as u64;
            progress.received(length);
            progress.step(length);
            if course.received + length > expected {
                return Err(self.wrong_length(expected));
            }
            course.received += length;
            if course.kept.is_ok() {
                // Into the page cache: as quick as copying.
                course.kept = region.file.write_all_at(&piece, at);
            }
        }
        if course.received != expected {
            return Err(self.wrong_length(expected));
        }
        Ok(())
    }

    fn wrong_length(&self, expected: u64) -> ClientError {
        ClientError::Malformed {
            base: self.cloud.base().to_owned(),
            reason: format!("it is not the {expected} bytes that the stack's shape demands"),
        }
    }
}
