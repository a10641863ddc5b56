//! A bundle is sealed by the producer's code, altered as a hostile cloud, trust impostor or producer
//! could, and opened by the consumer's: each alteration is found by the step that is there for it.

use std::collections::BTreeMap;

use harpo_protocol::deposit::{DepositRequest, unwrap_content_key};
use harpo_protocol::id::{GenerationId, Nonce, PartyId};
use harpo_protocol::identity::GatewayKeys;
use harpo_protocol::release::Placement;
use harpo_protocol::retrieval::Ticket;
use harpo_protocol::sign::SigningKey;
use harpo_protocol::stack::{Figures, SealedGeneration};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::*;
use crate::phantom::{self, Plan};
use crate::seal::Sealer;
use crate::spool::{Kind, Source as Sender, Spool};
use crate::testing::BOUNDS;

const LAYOUT: Layout = Layout {
    cell_bytes: 4096,
    cells_per_slot: 4,
    slots: 64,
};
const NOW: Timestamp = Timestamp(1_750_000_000_000);
const GENERATION: GenerationId = GenerationId([9; 16]);
const BUNDLE: BundleId = BundleId([7; 16]);
const GRANT: Nonce = Nonce([5; 16]);

/// A sealed bundle in the cloud, and everybody's keys.
struct World {
    rng: ChaCha20Rng,
    trust: SigningKey,
    producer: SigningKey,
    consumer: OpeningKey,
    credential: Credential,
    request: DepositRequest,
    content_key: ContentKey,
    fragments: Vec<Vec<u8>>,
    originals: BTreeMap<String, Vec<u8>>,
    bounds: Bounds,
    _dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let dir = tempfile::tempdir().unwrap();
        let (closed, originals) = closed_bundle(dir.path(), &mut rng);
        let (trust, _) = SigningKey::generate(&mut rng);
        let (producer, _) = SigningKey::generate(&mut rng);
        let (trust_opening, _) = OpeningKey::generate(&mut rng);
        let (consumer, _) = OpeningKey::generate(&mut rng);
        let (producer_opening, _) = OpeningKey::generate(&mut rng);
        let origin = PartyId([3; 16]);
        let sealing_key = trust_opening.sealing_key();
        let sealer = Sealer {
            origin,
            signing: &producer,
            trust: &sealing_key,
            layout: LAYOUT,
            unmarked_modalities: &[],
            bounds: BOUNDS,
        };
        let mut sealed = Vec::new();
        let request = sealer
            .seal(&closed, BUNDLE, dir.path(), &mut sealed, NOW, &mut rng)
            .unwrap()
            .request;
        let digest = request.manifest.digest();
        let content_key =
            unwrap_content_key(&request.content_key, BUNDLE, digest, &trust_opening).unwrap();
        let credential = Credential {
            party: origin,
            name: "St. Luke's".into(),
            keys: GatewayKeys {
                signing: producer.verifying_key(),
                sealing: producer_opening.sealing_key(),
            },
            issued: Timestamp(NOW.0 - 1000),
            expires: Timestamp(NOW.0 + 1000),
        };
        let fragments = sealed
            .chunks(LAYOUT.fragment_bytes())
            .map(<[u8]>::to_vec)
            .collect();
        Self {
            rng,
            trust,
            producer,
            consumer,
            credential,
            request,
            content_key,
            fragments,
            originals,
            bounds: BOUNDS,
            _dir: dir,
        }
    }

    /// A release from trust's cache.
    fn release(&mut self) -> Release {
        let secrets = Secrets {
            content_key: self.content_key.clone(),
            placements: Vec::new(),
        };
        self.release_of(&secrets, Source::Cache)
    }

    fn release_of(&mut self, secrets: &Secrets, source: Source) -> Release {
        let to = self.consumer.sealing_key();
        Release {
            bundle: BUNDLE,
            manifest: self.request.manifest.clone(),
            origin: self.trust.sign(&self.credential),
            obligations: Vec::new(),
            access: Some(Access {
                grant: GRANT,
                secrets: secrets.wrap(BUNDLE, GRANT, &to, &mut self.rng).unwrap(),
                source,
                give_back: false,
            }),
        }
    }

    /// A release from the stack, with every fragment at a place of its own.
    fn release_from_stack(&mut self, spoil: impl Fn(&mut Secrets)) -> Release {
        let mut secrets = Secrets {
            content_key: self.content_key.clone(),
            placements: Vec::new(),
        };
        for index in 0..self.fragments.len() as u32 {
            let at = CellAddress {
                generation: GENERATION,
                slot: index / 4,
                cell: (index % 4) as u16,
            };
            secrets.placements.push(Placement {
                at,
                key: PlacementKey::random(&mut self.rng),
            });
        }
        spoil(&mut secrets);
        let slots = distinct_slots(&secrets).len() as u32;
        let tickets = classes(slots)
            .into_iter()
            .map(|queries| Ticket {
                nonce: GRANT,
                generations: vec![GENERATION],
                queries,
                expires: NOW,
            })
            .map(|ticket| self.trust.sign(&ticket))
            .collect();
        let stack = self.trust.sign(&stack());
        self.release_of(&secrets, Source::Stack { stack, tickets })
    }

    fn check(&self, release: &Release) -> Result<Checked, OpenError> {
        check(
            release,
            BUNDLE,
            &self.trust.verifying_key(),
            &self.consumer,
            &LAYOUT,
        )
    }

    /// Opens `fragments` as the consumer does.
    fn open(&mut self, fragments: &[Vec<u8>]) -> Result<BTreeMap<String, Vec<u8>>, OpenError> {
        let producer = self.producer.verifying_key();
        Ok(self.open_as(fragments, producer)?.0)
    }

    fn open_as(
        &mut self,
        fragments: &[Vec<u8>],
        producer: VerifyingKey,
    ) -> Result<(BTreeMap<String, Vec<u8>>, Found), OpenError> {
        let release = self.release();
        let checked = self.check(&release)?;
        let key = checked.access.unwrap().secrets.content_key.clone();
        let scratch = tempfile::tempfile().unwrap();
        let bounds = self.bounds;
        let mut opener = Opener::new(Arc::new(checked.manifest), producer, key, LAYOUT, scratch);
        for (index, fragment) in (0..).zip(fragments) {
            opener.fragment(index, fragment.clone())?;
        }
        let mut instances = BTreeMap::new();
        let found = opener.finish(&bounds, |instance, bytes| {
            instances.insert(instance.sop_instance_uid.clone(), bytes.to_vec());
            Ok(())
        })?;
        Ok((instances, found))
    }

    /// Seals a pack of the test's making, as the producer who signs for it.
    fn reseal(&mut self, attestation: &Signed<Attestation>, spoil: impl Fn(&mut Vec<u8>)) {
        let release = self.release();
        let checked = self.check(&release).unwrap();
        let chunks: Vec<u8> = (0u32..)
            .zip(&self.fragments)
            .flat_map(|(index, fragment)| {
                let last = index as usize + 1 == self.fragments.len();
                fragment::open(&self.content_key, BUNDLE, index, last, fragment.clone()).unwrap()
            })
            .collect();
        let lengths: Vec<u64> = checked.manifest.instances().map(|(_, i)| i.bytes).collect();
        let contents = Contents::read(&*chunks, chunks.len() as u64, &lengths).unwrap();
        let mut heads = Heads::new(&chunks[contents.heads_at as usize..], &contents).unwrap();
        let mut writer = pack::Writer::new(Vec::new(), Vec::new()).unwrap();
        let mut at = contents.bodies_at as usize;
        for entry in &contents.entries {
            let (head, tail) = heads.next(entry).unwrap();
            let body = &chunks[at..at + entry.body as usize];
            at += body.len();
            writer.append(&head, &tail, entry.coding, body).unwrap();
        }
        let parts = writer.finish(attestation).unwrap();
        let mut pack = [parts.front, parts.heads, parts.bodies].concat();
        spoil(&mut pack);
        let chunks: Vec<_> = pack.chunks(LAYOUT.chunk_bytes()).collect();
        let seal = |(index, chunk): (u32, &&[u8])| {
            let last = index as usize + 1 == chunks.len();
            let chunk = chunk.to_vec();
            fragment::seal(&self.content_key, BUNDLE, index, last, chunk, &LAYOUT).unwrap()
        };
        self.fragments = (0..).zip(&chunks).map(seal).collect();
        let mut manifest = checked.manifest.into_inner();
        manifest.fragments = self.fragments.iter().map(|f| sha256(f)).collect();
        self.request.manifest = self.producer.sign(&manifest);
    }

    fn attestation(&mut self) -> Attestation {
        let release = self.release();
        Attestation::of(&self.check(&release).unwrap().manifest)
    }
}

fn closed_bundle(
    dir: &std::path::Path,
    rng: &mut ChaCha20Rng,
) -> (crate::spool::ClosedBundle, BTreeMap<String, Vec<u8>>) {
    let plan = Plan {
        slices: 6,
        size: 128,
        ..Plan::default()
    };
    let spool = Spool::open(&dir.join("spool")).unwrap();
    let mut originals = BTreeMap::new();
    let mut study = String::new();
    for path in phantom::write_plan(&dir.join("phantom"), &plan, rng).unwrap() {
        let bytes = std::fs::read(path).unwrap();
        let mut incoming = spool.begin(
            Kind::File {
                study_instance_uid: None,
            },
            1 << 20,
        );
        incoming.push(&bytes).unwrap();
        let stored = spool
            .store(incoming, &Sender::User("ada".into()), NOW.0)
            .unwrap();
        study = stored.header.study_instance_uid;
        originals.insert(stored.header.sop_instance_uid, bytes);
    }
    let closed = spool.close(&study, &BUNDLE.to_string()).unwrap();
    (spool.bundle(&closed.id).unwrap(), originals)
}

fn stack() -> StackDescriptor {
    let figures = Figures {
        slots: 64,
        slot_bytes: LAYOUT.slot_bytes(),
        parameter_set: 1,
        interleave: 2,
        seed: harpo_protocol::id::Digest([1; 32]),
    };
    let sealed = SealedGeneration {
        generation: GENERATION,
        figures,
        slots: harpo_protocol::id::Digest([2; 32]),
        hint: harpo_protocol::id::Digest([3; 32]),
        hint_bytes: 1,
    };
    StackDescriptor {
        generations: vec![sealed],
        issued: NOW,
    }
}

#[test]
fn an_honest_bundle_comes_back_byte_for_byte() {
    let mut world = World::new();
    let fragments = world.fragments.clone();
    assert!(fragments.len() > 3, "the test needs several fragments");
    assert_eq!(world.open(&fragments).unwrap(), world.originals);
}

#[test]
fn flipped_swapped_truncated_and_missing_fragments_are_found() {
    let mut world = World::new();
    let honest = world.fragments.clone();
    let mut flipped = honest.clone();
    flipped[1][17] ^= 1;
    assert!(matches!(
        world.open(&flipped),
        Err(OpenError::Fragment { index: 1 })
    ));
    let mut swapped = honest.clone();
    swapped.swap(0, 2);
    assert!(matches!(
        world.open(&swapped),
        Err(OpenError::Fragment { index: 0 })
    ));
    let mut truncated = honest.clone();
    truncated[0].pop();
    assert!(matches!(
        world.open(&truncated),
        Err(OpenError::Fragment { index: 0 })
    ));
    assert!(matches!(
        world.open(&honest[..2]),
        Err(OpenError::Incomplete(_))
    ));
}

#[test]
fn a_cell_opens_only_with_its_key_and_only_at_its_place() {
    let mut world = World::new();
    let release = world.release_from_stack(|_| {});
    let checked = world.check(&release).unwrap();
    let secrets = checked.access.unwrap().secrets;
    let cells: Vec<Vec<u8>> = secrets
        .placements
        .iter()
        .zip(&world.fragments)
        .map(|(placement, fragment)| {
            let mut cell = fragment.clone();
            harpo_protocol::cell::seal_cell(&placement.key, placement.at, &mut cell).unwrap();
            cell
        })
        .collect();
    let scratch = tempfile::tempfile().unwrap();
    let mut opener = Opener::new(
        Arc::new(checked.manifest),
        checked.origin.keys.signing,
        secrets.content_key.clone(),
        LAYOUT,
        scratch,
    );
    let [first, second] = [&secrets.placements[0], &secrets.placements[1]];
    opener.cell(0, first.at, &first.key, &cells[0]).unwrap();
    let wrong = [
        opener.cell(1, second.at, &second.key, &cells[0]),
        opener.cell(1, second.at, &first.key, &cells[1]),
        opener.cell(1, first.at, &second.key, &cells[1]),
        // What a linear combination of slots would give.
        opener.cell(1, second.at, &second.key, &sum(&cells[0], &cells[1])),
    ];
    for result in wrong {
        assert!(
            matches!(result, Err(OpenError::Fragment { index: 1 })),
            "{result:?}"
        );
    }
}

fn sum(a: &[u8], b: &[u8]) -> Vec<u8> {
    a.iter().zip(b).map(|(a, b)| a.wrapping_add(*b)).collect()
}

#[test]
fn impostors_of_trust_producer_and_consumer_are_refused() {
    let mut world = World::new();
    let (impostor, _) = SigningKey::generate(&mut world.rng);

    let mut release = world.release();
    release.origin = impostor.sign(&world.credential);
    assert!(matches!(
        world.check(&release),
        Err(OpenError::Credential(_))
    ));

    let manifest = world
        .request
        .manifest
        .verify(&world.producer.verifying_key())
        .unwrap();
    let mut release = world.release();
    release.manifest = impostor.sign(&*manifest);
    assert!(matches!(world.check(&release), Err(OpenError::Manifest(_))));

    let release = world.release();
    world.consumer = OpeningKey::generate(&mut world.rng).0;
    assert!(matches!(world.check(&release), Err(OpenError::Secrets(_))));
}

#[test]
fn manifests_of_other_bundles_origins_and_times_are_refused() {
    let mut world = World::new();
    let manifest = world
        .request
        .manifest
        .verify(&world.producer.verifying_key())
        .unwrap();
    type Spoil = fn(&mut Manifest);
    let cases: [(&str, Spoil); 4] = [
        ("other bundle", |m| m.bundle = BundleId([8; 16])),
        ("other origin", |m| m.origin = PartyId([4; 16])),
        ("before the credential", |m| m.created = Timestamp(1)),
        ("no instances", |m| m.study.series.clear()),
    ];
    for (name, spoil) in cases {
        let mut release = world.release();
        let mut changed = (*manifest).clone();
        spoil(&mut changed);
        release.manifest = world.producer.sign(&changed);
        assert!(world.check(&release).is_err(), "{name}");
    }
}

#[test]
fn placements_outside_the_stack_are_refused_before_anything_is_asked() {
    let mut world = World::new();
    let honest = world.release_from_stack(|_| {});
    assert!(world.check(&honest).is_ok());
    type Spoil = fn(&mut Secrets);
    let cases: [(&str, Spoil); 4] = [
        ("generation", |s| {
            s.placements[0].at.generation = GenerationId([1; 16])
        }),
        ("slot", |s| s.placements[0].at.slot = 64),
        ("cell", |s| s.placements[0].at.cell = 4),
        ("count", |s| drop(s.placements.pop())),
    ];
    for (name, spoil) in cases {
        let release = world.release_from_stack(spoil);
        assert!(
            matches!(world.check(&release), Err(OpenError::Unfit(_))),
            "{name}"
        );
    }
}

#[test]
fn an_instance_that_differs_from_its_signed_digest_is_not_delivered() {
    let mut world = World::new();
    let manifest = world
        .request
        .manifest
        .verify(&world.producer.verifying_key())
        .unwrap();
    let mut changed = (*manifest).clone();
    changed.study.series[0].instances[0].sha256 = harpo_protocol::id::Digest([0; 32]);
    world.request.manifest = world.producer.sign(&changed);
    let fragments = world.fragments.clone();
    assert!(matches!(
        world.open(&fragments),
        Err(OpenError::Instance(_))
    ));
}

#[test]
fn instances_larger_than_this_gateway_takes_are_refused_before_anything_is_read() {
    let mut world = World::new();
    let largest = world.originals.values().map(Vec::len).max().unwrap() as u64;
    let fragments = world.fragments.clone();
    world.bounds.object_bytes = largest;
    assert_eq!(world.open(&fragments).unwrap().len(), world.originals.len());
    world.bounds.object_bytes = largest - 1;
    let refused = world.open(&fragments);
    assert!(
        matches!(refused, Err(OpenError::TooLarge { bytes, most, .. }) if (bytes, most) == (largest, largest - 1)),
        "{refused:?}"
    );
    // What a producer claims, and signs, in a bundle of a few kilobytes.
    let release = world.release();
    let mut manifest = world.check(&release).unwrap().manifest.into_inner();
    manifest.study.series[0].instances[0].bytes = 4 << 30;
    world.request.manifest = world.producer.sign(&manifest);
    world.bounds = BOUNDS;
    let refused = world.open(&fragments);
    assert!(
        matches!(refused, Err(OpenError::TooLarge { bytes, .. }) if bytes == 4 << 30),
        "{refused:?}"
    );
}

#[test]
fn memory_is_counted_by_frame_and_file() {
    let mut world = World::new();
    let release = world.release();
    let manifest = world.check(&release).unwrap().manifest;
    let instance = |bytes| Instance {
        bytes,
        ..manifest.study.series[0].instances[0].clone()
    };
    let entry = |body| Entry {
        coding: 2,
        head: 0,
        tail: 0,
        body,
    };
    assert_eq!(working(&instance(1000), &entry(100)), 100 + 2000 + 5000);
    let frame = 2 * coding::MOST_SAMPLES as u64;
    let large = working(&instance(2 << 30), &entry(1));
    assert_eq!(large, 1 + (4 << 30) + 5 * frame);
    assert_eq!(working(&instance(u64::MAX), &entry(1)), u64::MAX);
}

#[test]
fn marks_are_verified_and_counted() {
    let mut world = World::new();
    let (fragments, producer) = (world.fragments.clone(), world.producer.verifying_key());
    let (instances, found) = world.open_as(&fragments, producer).unwrap();
    assert_eq!(
        (found.authentic, found.unmarked),
        (instances.len() as u64, 0)
    );
    let attestation = found.attestation.verify(&producer).unwrap();
    assert_eq!(*attestation, world.attestation());
}

#[test]
fn attestations_of_others_and_of_other_instances_are_refused() {
    let mut world = World::new();
    let honest = world.attestation();
    let impostor = SigningKey::from_seed(&[77; 32]);
    let refused = |signed: Signed<Attestation>| {
        let mut world = World::new();
        world.reseal(&signed, |_| ());
        let fragments = world.fragments.clone();
        world.open(&fragments).unwrap_err()
    };
    let by_impostor = refused(impostor.sign(&honest));
    assert!(matches!(by_impostor, OpenError::Attestation(_)));
    let mut other = honest.clone();
    other.instances.pop_first();
    assert!(matches!(
        refused(world.producer.sign(&other)),
        OpenError::Malformed(_)
    ));
    // Marks name what they were made for: a time is all that differs.
    let resigned = world.producer.sign(&honest);
    world.reseal(&resigned, |_| ());
    let fragments = world.fragments.clone();
    assert!(world.open(&fragments).is_ok(), "the same statement again");
}

#[test]
fn what_follows_the_last_instance_is_refused() {
    for extra in [vec![1], vec![0; 2 * LAYOUT.chunk_bytes()]] {
        let mut world = World::new();
        let attestation = world.attestation();
        let attestation = world.producer.sign(&attestation);
        world.reseal(&attestation, |pack| pack.extend_from_slice(&extra));
        let fragments = world.fragments.clone();
        assert!(matches!(world.open(&fragments), Err(OpenError::Unfit(_))));
    }
}

#[test]
fn pixels_that_were_changed_under_a_valid_signature_are_refused() {
    // A producer's software at fault: the manifest is signed, the pack is not what was marked.
    let mut world = World::new();
    let attestation = world.attestation();
    let attestation = world.producer.sign(&attestation);
    world.reseal(&attestation, |pack| {
        let at = pack.len() - 40;
        pack[at] ^= 1;
    });
    let fragments = world.fragments.clone();
    let refused = world.open(&fragments).unwrap_err();
    assert!(
        matches!(refused, OpenError::Decode { .. } | OpenError::Instance(_)),
        "{refused}"
    );
}
