//! From the cloud's event log to what attackers look at, and to the log's own lines.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

use harpo_cloud::events::Event;
use harpo_protocol::id::{GenerationId, PartyId};

use crate::record::{Fetch, Seal, Upload, View};

/// Turns events into a [`View`], in the order of the log; the same for simulated logs and for that of a real cloud.
#[derive(Default)]
pub struct Recorder<'a> {
    view: View,
    generations: Numbers<GenerationId>,
    peers: Numbers<IpAddr>,
    passes: Numbers<PartyId>,
    /// Addresses that came without a pass, by number.
    without_pass: BTreeSet<u32>,
    lines: Option<&'a mut dyn Write>,
}

/// Numbers in the order of first mention.
struct Numbers<T>(HashMap<T, u32>);

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Eq + Hash> Numbers<T> {
    fn of(&mut self, name: T) -> u32 {
        let next = self.0.len() as u32;
        *self.0.entry(name).or_insert(next)
    }
}

impl<'a> Recorder<'a> {
    /// One that writes the lines of the log besides.
    pub fn new(lines: Option<&'a mut dyn Write>) -> Self {
        Self {
            lines,
            ..Self::default()
        }
    }

    /// What a whole log shows.
    #[must_use]
    pub fn read(events: &[Event]) -> View {
        let mut recorder = Recorder::default();
        for event in events {
            recorder.see(event);
        }
        recorder.finish()
    }

    /// The next event.
    ///
    /// # Errors
    /// Whatever the place of the lines answers.
    pub fn record(&mut self, event: &Event) -> io::Result<()> {
        if let Some(lines) = &mut self.lines {
            serde_json::to_writer(&mut **lines, event)?;
            lines.write_all(b"\n")?;
        }
        self.see(event);
        Ok(())
    }

    /// What was recorded, so far.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// For baselines that are not built like this cloud.
    pub(crate) fn view_mut(&mut self) -> &mut View {
        &mut self.view
    }

    /// What was recorded. One sole address without a pass is the relay's, which says nothing; several tell parties apart.
    #[must_use]
    pub fn finish(mut self) -> View {
        if self.without_pass.len() == 1 {
            for fetch in &mut self.view.fetches {
                if fetch
                    .peer
                    .is_some_and(|peer| self.without_pass.contains(&peer))
                {
                    fetch.peer = None;
                }
            }
        }
        self.view
    }

    fn see(&mut self, event: &Event) {
        match event {
            Event::Write {
                time,
                generation,
                slot,
                bytes,
            } => {
                let generation = self.generation(*generation);
                self.view.uploads.push(Upload {
                    time: *time,
                    generation,
                    slot: *slot,
                    bytes: *bytes,
                    account: None,
                    object: None,
                });
            }
            Event::Seal {
                time,
                generation,
                slots,
                ..
            } => {
                let generation = self.generation(*generation);
                self.view.seals.push(Seal {
                    time: *time,
                    generation,
                    slots: *slots,
                });
            }
            Event::Retrieval {
                time,
                stack,
                queries,
                bytes_down,
                peer,
                pass,
                ..
            }
            | Event::Stream {
                time,
                stack,
                queries,
                bytes_down,
                from: 0,
                peer,
                pass,
                ..
            } => {
                let (peer, account) = self.party(*peer, *pass);
                let fetch = Fetch {
                    time: *time,
                    stack: stack.first().map_or(0, |first| self.generation(*first)),
                    generations: stack.len() as u32,
                    queries: *queries,
                    bytes_down: *bytes_down,
                    peer,
                    account,
                    object: None,
                };
                self.view.fetches.push(fetch);
            }
            // What follows a connection that broke, and what all gateways do alike.
            Event::Stream { .. }
            | Event::Resumption { .. }
            | Event::Hint { .. }
            | Event::Retire { .. } => {}
        }
    }

    /// A generation's number, as the view has it.
    pub(crate) fn number(&mut self, id: GenerationId) -> u32 {
        self.generation(id)
    }

    /// From 1: 0 is for systems without generations.
    fn generation(&mut self, id: GenerationId) -> u32 {
        self.generations.of(id) + 1
    }

    /// An address counts without its port, which is another for each connection. Behind a relay there is no pass.
    fn party(&mut self, peer: SocketAddr, pass: Option<PartyId>) -> (Option<u32>, Option<u32>) {
        let peer = self.peers.of(peer.ip());
        if pass.is_none() {
            self.without_pass.insert(peer);
        }
        (Some(peer), pass.map(|pass| self.passes.of(pass)))
    }
}
