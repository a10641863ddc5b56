//! Fetching one bundle: release, bytes, opening, local cache.
//!
//! Bytes are first brought to the local disk, whole, and only then opened: nothing that the opening
//! finds can show in how they are brought (docs/protocol.md 9.4).

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Instant;

use futures_util::{FutureExt as _, StreamExt as _};
use harpo_oblivious::Engine;
use harpo_protocol::access::Requester;
use harpo_protocol::cell::Layout;
use harpo_protocol::id::{BundleId, GenerationId};
use harpo_protocol::identity::Credential;
use harpo_protocol::manifest::Manifest;
use harpo_protocol::release::ReleaseRequest;
use harpo_protocol::retrieval::{Ticket, classes};
use harpo_protocol::rounds::{Rule, Urgency};
use harpo_protocol::secret::{ContentKey, MarkKey, TraceKey};
use harpo_protocol::sign::{Signed, Verified};
use harpo_protocol::stack::StackDescriptor;
use harpo_service::causes::in_one_line;
use tokio::sync::SemaphorePermit;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use zeroize::Zeroizing;

use super::brought::Brought;
use super::give_back::Read;
use super::progress::{Phase, Progress};
use super::retrieve::{self, Answers, Patience, Place, Wanted};
use super::rounds::{Unserved, Wanting};
use super::stream::{self, Asked, Streamed};
use super::{ConsultError, Inner};
use crate::blocking;
use crate::hints::HeldStack;
use crate::open::{self, Checked, CheckedAccess, Found, OpenError, Opener};
use crate::seal::scratch_file;
use crate::store::Fetch;
use crate::store::marks::BundleKeys;

/// Fragments from trust's cache on their way at once.
const DOWNLOADS_AT_ONCE: usize = 4;

impl Inner {
    /// Brings a bundle into the local cache, and notes what it cost; with the network's rounds if there are any and
    /// nobody wants it `at_once`. Gives what trust wants back of it.
    pub(super) async fn fetch(
        &self,
        requester: &Requester,
        bundle: BundleId,
        urgency: Urgency,
        at_once: &CancellationToken,
    ) -> Result<Option<Read>, ConsultError> {
        let mut tried = false;
        loop {
            let rule = self.rule_for(requester);
            let rule = rule.filter(|_| !at_once.is_cancelled());
            let fetched = match rule {
                Some(rule) => {
                    let when = When::Rounds(rule, urgency, at_once);
                    self.fetch_once(requester, bundle, when).await
                }
                None => {
                    // Before the release is asked for, so that its tickets do not age while other retrievals go
                    // first. Released before anything is decoded (9.4).
                    let turn = self.retrievals.acquire().await;
                    let turn = turn.map_err(|_| ConsultError::Stopping)?;
                    self.fetch_once(requester, bundle, When::Now(turn)).await
                }
            };
            match &fetched {
                Err(ConsultError::Unserved(Unserved::AtOnce)) => {}
                // Sealed between release and fetch, or retired: the second release names the stack.
                Err(error) if error.needs_another_release() && !tried => tried = true,
                _ => return fetched,
            }
        }
    }

    async fn fetch_once(
        &self,
        requester: &Requester,
        bundle: BundleId,
        when: When<'_>,
    ) -> Result<Option<Read>, ConsultError> {
        #[expect(
            clippy::disallowed_methods,
            reason = "how long it took, for people to read"
        )]
        let begun = Instant::now();
        let request = ReleaseRequest {
            requester: requester.clone(),
            bundle,
            held: false,
        };
        let release = self
            .trust
            .release(&request)
            .await
            .map_err(ConsultError::Trust)?;
        super::note_obligations(&release);
        let party = &self.party;
        let layout = party.layout();
        let Checked {
            manifest,
            origin,
            access,
        } = open::check(
            &release,
            bundle,
            party.trust_key(),
            party.opening_key(),
            &layout,
        )?;
        let Some(access) = access else {
            return Err(OpenError::Unfit("it gives no access").into());
        };
        let mut fetch = Fetch::new(&manifest, &access, self.now());
        let progress = Progress::new(&fetch, party.clock());
        self.underway.show(&progress);
        let result = self
            .bring(
                (Arc::new(manifest), &origin),
                access,
                when,
                &mut fetch,
                &progress,
            )
            .await;
        progress.end();
        fetch.wire = progress.wire();
        fetch.took = begun.elapsed();
        fetch.outcome = match &result {
            Ok(_) => "opened".into(),
            Err(error) => in_one_line(error),
        };
        self.store.add_fetch(&fetch).await?;
        match &result {
            Ok(_) => {
                info!(%bundle, source = fetch.source, engine = fetch.engine.map(Engine::name), queries = fetch.wire.queries, authentic = fetch.authentic, unmarked = fetch.unmarked, "bundle opened");
            }
            Err(error) => {
                warn!(%bundle, error = %in_one_line(error), "a bundle could not be opened");
            }
        }
        result
    }

    /// With a turn at the cloud, it is given back as soon as everything is here.
    async fn bring(
        &self,
        (manifest, origin): (Arc<Verified<Manifest>>, &Verified<Credential>),
        access: CheckedAccess,
        when: When<'_>,
        fetch: &mut Fetch,
        progress: &Progress,
    ) -> Result<Option<Read>, ConsultError> {
        let layout = self.party.layout();
        open::check_sizes(&manifest, &self.bounds)?;
        let room = room(&manifest, &layout);
        let dir = self.library.dir().to_owned();
        blocking(move || stream::check_room(&dir, room)).await?;
        let CheckedAccess {
            grant,
            secrets,
            stack,
            give_back,
        } = access;
        let brought = match stack {
            None => {
                // The cloud is not asked.
                drop(when);
                let fragments = self.fetch_cached(&manifest, grant, progress).await?;
                Brought::Fragments(fragments)
            }
            Some((stack, tickets)) => {
                let slots = open::distinct_slots(&secrets);
                let queries = match &when {
                    When::Now(_) => stream::class(slots.len()),
                    When::Rounds(rule, ..) => rule.queries,
                };
                let asked = Asked::new(&stack, &slots, queries)?;
                fetch.engine = Some(asked.engine);
                fetch.stack_bytes = asked.stack.plain_bytes();
                fetch.hint_bytes = asked.stack.hint_bytes();
                progress.covers(asked.engine, fetch.stack_bytes, fetch.hint_bytes);
                match when {
                    // The release's own tickets are not spent.
                    When::Rounds(_, urgency, at_once) => {
                        let wanted = (manifest.bundle, slots, urgency);
                        self.wait_for_rounds(wanted, room, at_once, progress)
                            .await?
                    }
                    When::Now(turn) => {
                        let spending = Spending {
                            asked: &asked,
                            stack: &stack,
                            tickets: &tickets,
                            room,
                        };
                        let brought = self.ask_now(spending, slots, progress).await?;
                        drop(turn);
                        brought
                    }
                }
            }
        };
        let _opening = self
            .openings
            .acquire()
            .await
            .map_err(|_| ConsultError::Stopping)?;
        let shelf = self.library.shelf(manifest.bundle);
        let scratch = scratch_file(self.library.dir())?;
        let sealed = match give_back {
            true => Some(Arc::new(scratch_file(self.library.dir())?)),
            false => None,
        };
        let keeping = sealed.clone();
        let (opened, progress) = (manifest.clone(), progress.clone());
        let (producer, bounds) = (origin.keys.signing, self.bounds);
        let content_key = secrets.content_key.clone();
        let (bytes, found) = blocking(move || {
            let key = secrets.content_key.clone();
            let mut opener = Opener::new(opened, producer, key, layout, scratch);
            if let Some(file) = keeping {
                opener.keep_sealed(file);
            }
            brought.open(&mut opener, &secrets, &layout, &progress)?;
            progress.enter(Phase::Verifying, 0);
            shelf.write(opener, &bounds)
        })
        .await?;
        (fetch.authentic, fetch.unmarked) = (found.authentic, found.unmarked);
        self.keep_keys(&manifest, origin, &content_key, &found)
            .await?;
        self.library.enter(&manifest, bytes, self.now()).await?;
        Ok(sealed.map(|file| Read {
            bundle: manifest.bundle,
            grant,
            fragments: manifest.fragments.len() as u32,
            file,
        }))
    }

    /// Everything now, with the release's tickets, and the connection closed.
    async fn ask_now(
        &self,
        now: Spending<'_>,
        slots: Vec<(GenerationId, u32)>,
        progress: &Progress,
    ) -> Result<Brought, ConsultError> {
        match now.asked.engine {
            Engine::Ring => {
                let held = self.hints_of(now.stack).await?;
                let answers = self
                    .fetch_obliviously(&held, &slots, now.tickets, progress)
                    .await?;
                Ok(Brought::Answers {
                    held,
                    slots,
                    answers,
                })
            }
            Engine::Stream => {
                let stack = self.fetch_stack(now, progress).await?;
                Ok(Brought::Stack { slots, stack })
            }
        }
    }

    /// Everything, as the network's rounds bring it (9.7).
    async fn wait_for_rounds(
        &self,
        (bundle, slots, urgency): (BundleId, Vec<(GenerationId, u32)>, Urgency),
        room: u64,
        at_once: &CancellationToken,
        progress: &Progress,
    ) -> Result<Brought, ConsultError> {
        let slot_bytes = self.party.layout().slot_bytes();
        let bytes = slots.len() as u64 * u64::from(slot_bytes);
        let dir = self.library.dir().to_owned();
        let besides = room.saturating_add(self.rounds.room());
        let file = blocking(move || stream::set_aside(&dir, bytes, besides)).await?;
        progress.enter(Phase::Round, slots.len() as u64);
        let mut waiting = self.rounds.want(Wanting {
            bundle,
            urgency,
            slots: slots.clone(),
            slot_bytes,
            file,
            progress: Some(progress.clone()),
        });
        let file = tokio::select! {
            arrived = waiting.arrival() => arrived?,
            () = at_once.cancelled() => return Err(Unserved::AtOnce.into()),
            () = self.shutdown.stopping() => return Err(ConsultError::Stopping),
        };
        let stack = Streamed::kept(file, slot_bytes, slots.len());
        Ok(Brought::Stack { slots, stack })
    }

    /// What marks of the bundle are judged with, kept for as long as pictures of it are (10.2).
    async fn keep_keys(
        &self,
        manifest: &Manifest,
        origin: &Credential,
        content_key: &ContentKey,
        found: &Found,
    ) -> Result<(), ConsultError> {
        let bundle = manifest.bundle;
        let keys = BundleKeys {
            bundle,
            study: manifest.study.study_instance_uid.clone(),
            origin: origin.party,
            origin_name: origin.name.clone(),
            origin_key: origin.keys.signing,
            mark_key: Zeroizing::new(*MarkKey::derive(content_key, bundle).expose()),
            trace_key: Zeroizing::new(*TraceKey::derive(content_key, bundle).expose()),
            attestation: found.attestation.to_json(),
        };
        Ok(self.store.add_bundle_keys(&keys).await?)
    }

    /// Cache first (8.5): the fragments one after another in a file.
    async fn fetch_cached(
        &self,
        manifest: &Manifest,
        grant: harpo_protocol::id::Nonce,
        progress: &Progress,
    ) -> Result<File, ConsultError> {
        let size = self.party.layout().fragment_bytes();
        let file = scratch_file(self.library.dir())?;
        let total = manifest.fragments.len() as u64 * size as u64;
        progress.expect_more(total);
        progress.enter(Phase::Receiving, total);
        let mut fragments = futures_util::stream::iter(0..manifest.fragments.len() as u32)
            .map(|index| async move {
                let bytes = self
                    .trust
                    .cached_fragment(manifest.bundle, index, grant, size)
                    .await;
                (index, bytes)
            })
            .buffer_unordered(DOWNLOADS_AT_ONCE);
        while let Some((index, bytes)) = fragments.next().await {
            let bytes = bytes.map_err(ConsultError::Trust)?;
            progress.received(bytes.len() as u64);
            progress.step(bytes.len() as u64);
            // Into the page cache: as quick as copying.
            file.write_all_at(&bytes, u64::from(index) * size as u64)?;
        }
        drop(fragments);
        Ok(file)
    }

    /// Obliviously (9).
    async fn fetch_obliviously(
        &self,
        held: &Arc<HeldStack>,
        slots: &[(GenerationId, u32)],
        tickets: &[Signed<Ticket>],
        progress: &Progress,
    ) -> Result<Answers, ConsultError> {
        let cloud = self.connect().await?;
        let tickets: Vec<_> = tickets
            .iter()
            .cloned()
            .zip(classes(slots.len() as u32))
            .collect();
        let wanted = Wanted {
            held,
            slots,
            tickets: &tickets,
        };
        let place = Place {
            reconnect: &|| self.connect().boxed(),
            scratch: self.library.dir(),
            clock: self.party.clock(),
            patience: &Patience::default(),
            progress,
        };
        // The connection closes when this returns, before anything is decoded.
        Ok(retrieve::retrieve(cloud, wanted, place, self.party.rng()).await?)
    }

    /// Obliviously, by downloading everything (9.6).
    async fn fetch_stack(
        &self,
        now: Spending<'_>,
        progress: &Progress,
    ) -> Result<Streamed, ConsultError> {
        let Spending {
            asked,
            tickets,
            room,
            ..
        } = now;
        let ticket = tickets
            .first()
            .ok_or(OpenError::Unfit("it has no ticket"))?;
        let (dir, bytes) = (self.library.dir().to_owned(), asked.stack.plain_bytes());
        let file = blocking(move || stream::set_aside(&dir, bytes, room)).await?;
        let cloud = self.connect().await?;
        let place = Place {
            reconnect: &|| self.connect().boxed(),
            scratch: self.library.dir(),
            clock: self.party.clock(),
            patience: &Patience::default(),
            progress,
        };
        // The connection closes when this returns, before anything is opened.
        Ok(stream::stream(cloud, asked, ticket, file, place, self.party.rng()).await?)
    }

    /// The sum of the hints, if they are here: they are not fetched because somebody reads (7.2).
    pub(super) async fn hints_of(
        &self,
        stack: &StackDescriptor,
    ) -> Result<Arc<HeldStack>, ConsultError> {
        if !self.hints.missing(stack).is_empty() {
            return Err(ConsultError::HintsPending);
        }
        let (hints, stack) = (self.hints.clone(), stack.clone());
        Ok(blocking(move || hints.held(&stack)).await?)
    }
}

/// What is asked for now, with what. Opening takes `room`.
#[derive(Clone, Copy)]
struct Spending<'a> {
    asked: &'a Asked,
    stack: &'a StackDescriptor,
    tickets: &'a [Signed<Ticket>],
    room: u64,
}

/// When a bundle is asked for.
enum When<'a> {
    /// Now, with a turn at the cloud.
    Now(SemaphorePermit<'a>),
    /// With the network's rounds, unless the token is cancelled.
    Rounds(Rule, Urgency, &'a CancellationToken),
}

/// What opening a bundle writes: what was fetched of it, the pack, and the instances, whose lengths are the
/// producer's claim.
fn room(manifest: &Manifest, layout: &Layout) -> u64 {
    let fragments = manifest.fragments.len() as u64 * layout.fragment_bytes() as u64;
    manifest
        .instances()
        .fold(2 * fragments, |sum, (_, i)| sum.saturating_add(i.bytes))
}
