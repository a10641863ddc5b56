//! Sharing as it is without anything of this: objects with names, written and read when somebody does something.

use std::time::Duration;

use harpo_protocol::cell::Layout;
use harpo_protocol::time::Timestamp;

use crate::record::{Bundle, Fetch, Read, Record, Truth, Upload, View, Why, Written};
use crate::traffic::{Deposit, Reading, Scenario, Traffic, Urgency};
use crate::world::WorldError;

/// Line to the cloud, in bytes a second: between two slots of a study lies what the first takes.
const LINE_BYTES_PER_SECOND: f64 = 125e6;

/// Runs a baseline: `naive` with accounts and whole studies, otherwise with slots of one size from one sender.
pub(super) fn run(naive: bool, scenario: &Scenario, seed: u64) -> Result<Record, WorldError> {
    scenario.validate()?;
    let layout = Layout::DEFAULT;
    let traffic = Traffic::generate(scenario, &layout, seed);
    let mut run = Objects::new(naive, layout, &traffic, usize::from(scenario.hospitals));
    for deposit in &traffic.deposits {
        run.upload(deposit);
    }
    for reading in &traffic.readings {
        run.fetch(reading);
    }
    Ok(run.finish(scenario.end()))
}

struct Objects<'a> {
    naive: bool,
    layout: Layout,
    traffic: &'a Traffic,
    hospitals: usize,
    /// The first object of each bundle, and how many it has.
    objects: Vec<(u32, u32)>,
    next: u32,
    held: Vec<bool>,
    uploads: Vec<(Upload, Written)>,
    fetches: Vec<(Fetch, Read)>,
}

impl<'a> Objects<'a> {
    fn new(naive: bool, layout: Layout, traffic: &'a Traffic, hospitals: usize) -> Self {
        Self {
            naive,
            layout,
            traffic,
            hospitals,
            objects: Vec::new(),
            next: 0,
            held: vec![false; traffic.deposits.len() * hospitals],
            uploads: Vec::new(),
            fetches: Vec::new(),
        }
    }

    fn count(&self, deposit: &Deposit) -> u32 {
        match self.naive {
            true => 1,
            false => deposit
                .fragments
                .div_ceil(self.layout.cells_per_slot.into()),
        }
    }

    fn bytes(&self, deposit: &Deposit) -> u64 {
        match self.naive {
            true => u64::from(deposit.fragments) * u64::from(self.layout.cell_bytes),
            false => self.layout.slot_bytes().into(),
        }
    }

    fn upload(&mut self, deposit: &Deposit) {
        let (count, bytes) = (self.count(deposit), self.bytes(deposit));
        self.objects.push((self.next, count));
        for i in 0..count {
            let upload = Upload {
                time: later(deposit.time, i, bytes),
                generation: 0,
                slot: self.next,
                bytes,
                account: self.naive.then_some(deposit.hospital.into()),
                object: Some(self.next),
            };
            let holds = Written {
                bundles: vec![deposit.bundle],
                replaced: false,
            };
            self.uploads.push((upload, holds));
            self.next += 1;
        }
    }

    fn fetch(&mut self, reading: &Reading) {
        let place = usize::from(reading.hospital) + self.hospitals * reading.bundle as usize;
        if std::mem::replace(&mut self.held[place], true) {
            return;
        }
        let bytes = self.bytes(&self.traffic.deposits[reading.bundle as usize]);
        // Prefetched where it is known, as everywhere.
        let (begin, why) = match reading.urgency {
            Urgency::Scheduled { known } => (known, Why::Ahead),
            _ => (reading.time, Why::Reader),
        };
        let (first, count) = self.objects[reading.bundle as usize];
        for i in 0..count {
            let fetch = Fetch {
                time: later(begin, i, bytes),
                stack: 0,
                generations: 1,
                queries: 1,
                bytes_down: bytes,
                peer: Some(reading.hospital.into()),
                account: self.naive.then_some(reading.hospital.into()),
                object: Some(first + i),
            };
            let read = Read {
                hospital: reading.hospital,
                bundles: vec![reading.bundle],
                why,
                at_once: true,
            };
            self.fetches.push((fetch, read));
        }
    }

    fn finish(mut self, end: Timestamp) -> Record {
        self.uploads.retain(|(upload, _)| upload.time < end);
        self.fetches.retain(|(fetch, _)| fetch.time < end);
        self.uploads.sort_by_key(|(upload, _)| upload.time);
        self.fetches.sort_by_key(|(fetch, _)| fetch.time);
        let bundle = |deposit: &Deposit| Bundle {
            patient: deposit.patient,
            hospital: deposit.hospital,
            deposited: deposit.time,
            fragments: deposit.fragments,
        };
        let bundles = self.traffic.deposits.iter().map(bundle).collect();
        let (view_uploads, uploads) = self.uploads.into_iter().unzip();
        let (view_fetches, fetches) = self.fetches.into_iter().unzip();
        Record {
            view: View {
                uploads: view_uploads,
                seals: Vec::new(),
                fetches: view_fetches,
            },
            truth: Truth {
                uploads,
                fetches,
                bundles,
            },
        }
    }
}

/// When the `i`th object follows on the same line.
fn later(begin: Timestamp, i: u32, bytes: u64) -> Timestamp {
    let seconds = f64::from(i) * bytes as f64 / LINE_BYTES_PER_SECOND;
    begin.after(Duration::from_secs_f64(seconds))
}
