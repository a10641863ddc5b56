//! The cloud's part: what it would write into its log, with the lengths that the real messages have.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use harpo_cloud::events::Event;
use harpo_oblivious::{Engine, GenerationInfo, ParamSetId, Seed, Shape, Stack};
use harpo_protocol::id::{GenerationId, Nonce, PartyId};
use harpo_protocol::retrieval::{Ticket, head};
use harpo_protocol::sign::SigningKey;
use harpo_protocol::stack::Figures;
use harpo_protocol::time::Timestamp;
use rand_core::{CryptoRng, Rng};

use super::{Recorder, Settings, WorldError};
use crate::record::{Read, Record, Truth, Written};

/// What the cloud and its log know.
pub(super) struct Cloud<'a> {
    recorder: Recorder<'a>,
    truth: Truth,
    relay: bool,
    slot_bytes: u32,
    signing: SigningKey,
}

/// A connection's address, and the pass on it.
pub(super) type Party = (SocketAddr, Option<PartyId>);

/// A stack as retrievals see it.
pub(super) struct Shelf {
    pub(super) ids: Vec<GenerationId>,
    infos: Vec<GenerationInfo>,
    pub(super) ring: Stack,
    /// Bytes of a ticket over it, by the digits of its number of queries: 1, 2, 3.
    ticket_bytes: [u64; 3],
}

impl<'a> Cloud<'a> {
    pub(super) fn new(
        settings: &Settings,
        lines: Option<&'a mut dyn io::Write>,
        rng: &mut impl CryptoRng,
    ) -> Self {
        Self {
            recorder: Recorder::new(lines),
            truth: Truth::default(),
            relay: settings.relay,
            slot_bytes: settings.trust.layout().slot_bytes(),
            signing: SigningKey::generate(rng).0,
        }
    }

    pub(super) fn finish(self) -> Record {
        Record {
            view: self.recorder.finish(),
            truth: self.truth,
        }
    }

    pub(super) fn recorder(&mut self) -> &mut Recorder<'a> {
        &mut self.recorder
    }

    /// A slot arrives.
    pub(super) fn write(
        &mut self,
        generation: GenerationId,
        slot: u32,
        holds: Written,
        time: Timestamp,
    ) -> Result<(), WorldError> {
        self.recorder.record(&Event::Write {
            time,
            generation,
            slot,
            bytes: self.slot_bytes.into(),
        })?;
        self.truth.uploads.push(holds);
        Ok(())
    }

    /// A generation becomes readable.
    pub(super) fn seal(
        &mut self,
        generation: GenerationId,
        figures: &Figures,
        time: Timestamp,
    ) -> Result<(), WorldError> {
        let hint_bytes = info(figures)?.hint_bytes()?;
        self.recorder.record(&Event::Seal {
            time,
            generation,
            slots: figures.slots,
            slot_bytes: figures.slot_bytes,
            hint_bytes,
        })?;
        Ok(())
    }

    /// A gateway downloads a hint.
    pub(super) fn hint(
        &mut self,
        generation: GenerationId,
        figures: &Figures,
        hospital: u16,
        time: Timestamp,
        rng: &mut impl Rng,
    ) -> Result<(), WorldError> {
        let (peer, pass) = self.party(hospital, rng);
        self.recorder.record(&Event::Hint {
            time,
            generation,
            bytes: info(figures)?.hint_bytes()?,
            peer,
            pass,
        })?;
        Ok(())
    }

    /// A generation goes.
    pub(super) fn retire(
        &mut self,
        generation: GenerationId,
        time: Timestamp,
    ) -> Result<(), WorldError> {
        self.recorder.record(&Event::Retire { time, generation })?;
        Ok(())
    }

    /// A ticket is spent: for queries, or for a stream of the whole stack.
    pub(super) fn retrieve(
        &mut self,
        shelf: &Shelf,
        (engine, queries): (Engine, u32),
        read: Read,
        (peer, pass): Party,
        time: Timestamp,
        rng: &mut impl Rng,
    ) -> Result<(), WorldError> {
        let mut nonce = Nonce([0; 16]);
        rng.fill_bytes(&mut nonce.0);
        let cost = engine.cost(&shelf.ring, queries);
        let digits = queries.max(1).ilog10().min(2) as usize;
        let bytes_up = shelf.ticket_bytes[digits] + cost.bytes_up;
        let (stack, bytes_down) = (shelf.ids.clone(), cost.bytes_down);
        let event = match engine {
            Engine::Ring => Event::Retrieval {
                time,
                nonce,
                stack,
                queries,
                bytes_up,
                bytes_down,
                peer,
                pass,
            },
            Engine::Stream => Event::Stream {
                time,
                nonce,
                stack,
                queries,
                from: 0,
                bytes_up,
                bytes_down,
                peer,
                pass,
            },
        };
        self.recorder.record(&event)?;
        self.truth.fetches.push(read);
        Ok(())
    }

    /// For baselines that this cloud has no event for.
    pub(super) fn fetch(&mut self, fetch: crate::record::Fetch, read: Read) {
        self.recorder.view_mut().fetches.push(fetch);
        self.truth.fetches.push(read);
    }

    /// The shelf with one more generation.
    pub(super) fn shelf(
        &self,
        shelf: Option<&Shelf>,
        id: GenerationId,
        figures: &Figures,
    ) -> Result<Shelf, WorldError> {
        let (mut ids, mut infos) = shelf.map_or((vec![], vec![]), |shelf| {
            (shelf.ids.clone(), shelf.infos.clone())
        });
        ids.push(id);
        infos.push(info(figures)?);
        let ticket_bytes = [1, 10, 100].map(|queries| {
            let ticket = self.signing.sign(&Ticket {
                nonce: Nonce([0; 16]),
                generations: ids.clone(),
                queries,
                // As many digits as any moment of this century.
                expires: crate::traffic::BEGIN,
            });
            head(&ticket).len() as u64
        });
        Ok(Shelf {
            ring: Stack::new(infos.clone())?,
            ticket_bytes,
            ids,
            infos,
        })
    }

    /// A connection's address, and the pass that was made for it: each connection has one of its own, but those of a
    /// relay have none.
    pub(super) fn party(&self, hospital: u16, rng: &mut impl Rng) -> Party {
        let [high, low] = if self.relay {
            [0, 1]
        } else {
            (hospital + 2).to_be_bytes()
        };
        let address = IpAddr::V4(Ipv4Addr::new(198, 18, high, low));
        let port = 32_768 + (rng.next_u32() % 28_232) as u16;
        let pass = (!self.relay).then(|| {
            let mut name = PartyId([0; 16]);
            rng.fill_bytes(&mut name.0);
            name
        });
        (SocketAddr::new(address, port), pass)
    }
}

fn info(figures: &Figures) -> Result<GenerationInfo, harpo_oblivious::Error> {
    Ok(GenerationInfo {
        params: ParamSetId(figures.parameter_set),
        shape: Shape::new(figures.slots, figures.slot_bytes, figures.interleave)?,
        seed: Seed(figures.seed.0),
    })
}
