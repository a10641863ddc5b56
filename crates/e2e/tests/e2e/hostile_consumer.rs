//! A consumer that wants more than it was granted. It holds a real gateway's keys, gets the ciphertext of everything,
//! and reads what was released to it and nothing else.

use std::collections::BTreeSet;

use harpo_e2e::images::pydicom;
use harpo_e2e::system::System;
use harpo_protocol::cell::{CellAddress, open_cell};
use harpo_protocol::id::BundleId;
use harpo_protocol::identity::Role;
use harpo_protocol::release::Placement;
use harpo_service::http::ClientError;
use tokio::runtime::Runtime;

use crate::combine::sum_of_two;
use crate::rogue::{Held, Permit, Rogue, ask, forge, position};
use crate::sent::Sent;

/// Cells of a slot in the tests' layout.
const CELLS: usize = 4;

struct Scene {
    system: System,
    runtime: Runtime,
    producer: Rogue,
    mallory: Rogue,
    granted: BundleId,
    other: BundleId,
    /// Study of `other`.
    other_study: String,
}

/// Two bundles in a sealed generation: Mallory asks for one, never for the other. Both are small, so that they
/// probably share a slot.
fn scene() -> Scene {
    let mut system = System::start(&["St Anne", "Mercy Vale"]).unwrap();
    let mut bundles = Vec::new();
    let mut studies = Vec::new();
    let runtime = Runtime::new().unwrap();
    let (trust, cloud) = (system.trust_url.clone(), system.cloud_url.clone());
    let producer = Rogue::new(&system.hospitals[0].dir, &trust, &cloud).unwrap();
    let mallory = Rogue::new(&system.hospitals[1].dir, &trust, &cloud).unwrap();
    for name in ["MR_small.dcm", "CT_small.dcm"] {
        let file = pydicom(name).unwrap();
        assert_eq!(
            system.hospitals[0]
                .stow(std::slice::from_ref(&file))
                .unwrap()["status"],
            200
        );
        let mut sent = Sent::default();
        sent.by_stow(&[file]).unwrap();
        sent.found_by(&system.hospitals[0]).unwrap();
        let study = sent.studies().next().unwrap().to_owned();
        sent.found_by(&system.hospitals[1]).unwrap();
        let located = runtime.block_on(producer.locate(&study)).unwrap();
        assert_eq!(located.len(), 1);
        bundles.push(located[0]);
        studies.push(study);
    }
    system.seal().unwrap();
    Scene {
        system,
        runtime,
        producer,
        mallory,
        granted: bundles[0],
        other: bundles[1],
        other_study: studies.remove(1),
    }
}

fn code(error: &ClientError) -> &str {
    error.code().unwrap_or("none")
}

/// Every slot of a stack, each with a ticket of its own.
async fn everything(rogue: &Rogue, permit: &Permit, held: &Held, bundle: BundleId) -> Vec<Vec<u8>> {
    let generation = position(&permit.stack, permit.secrets.placements[0].at.generation).unwrap();
    let mut slots = Vec::new();
    for slot in 0..permit.stack.generations[generation].figures.slots {
        let ticket = rogue.permit(bundle).await.unwrap().tickets.remove(0);
        slots.push(rogue.slot(held, &ticket, generation, slot).await.unwrap());
    }
    slots
}

/// The addresses whose cells open with the key of one of `placements`, tried at every address with every key.
fn opened(slots: &[Vec<u8>], placements: &[Placement]) -> BTreeSet<(u32, u16)> {
    let mut opened = BTreeSet::new();
    for (slot, bytes) in (0u32..).zip(slots) {
        for (cell, bytes) in (0u16..).zip(bytes.chunks(bytes.len() / CELLS)) {
            for placement in placements {
                // At the address where it lies, and at the address that the key was released for.
                let here = CellAddress {
                    slot,
                    cell,
                    ..placement.at
                };
                for address in [here, placement.at] {
                    if open_cell(&placement.key, address, bytes).is_ok() {
                        opened.insert((slot, cell));
                    }
                }
            }
        }
    }
    opened
}

fn places(permit: &Permit) -> BTreeSet<(u32, u16)> {
    permit
        .secrets
        .placements
        .iter()
        .map(|place| (place.at.slot, place.at.cell))
        .collect()
}

#[test]
fn with_the_whole_stack_in_hand_only_released_cells_open() {
    let scene = scene();
    let Scene {
        runtime,
        producer,
        mallory,
        ..
    } = &scene;
    runtime.block_on(async {
        let permit = mallory.permit(scene.granted).await.unwrap();
        let held = mallory.hold(&permit.stack).await.unwrap();
        let slots = everything(mallory, &permit, &held, scene.granted).await;

        let own = opened(&slots, &permit.secrets.placements);
        assert_eq!(own, places(&permit));

        // It does hold the other bundle's ciphertext: with the keys that the producer may have, it opens.
        let other = producer.permit(scene.other).await.unwrap();
        assert_eq!(opened(&slots, &other.secrets.placements), places(&other));
        assert!(own.is_disjoint(&places(&other)));

        // Nor does a combination of two slots open: the ring lets her ask for it, the keys do not let her read it.
        let (granted, wanted) = (
            permit.secrets.placements[0].at,
            other.secrets.placements[0].at,
        );
        let generation = position(&permit.stack, granted.generation).unwrap();
        let partner = if granted.slot == wanted.slot {
            (wanted.slot + 1) % 32
        } else {
            wanted.slot
        };
        let ticket = mallory
            .permit(scene.granted)
            .await
            .unwrap()
            .tickets
            .remove(0);
        let sum = sum_of_two(mallory, &held, &ticket, generation, granted.slot, partner)
            .await
            .unwrap();
        let expected = crate::combine::add(&slots[granted.slot as usize], &slots[partner as usize]);
        assert_eq!(sum, expected, "the attack does what it says");
        let mut placements = permit.secrets.placements;
        placements.extend(other.secrets.placements);
        assert_eq!(opened(&[sum], &placements), BTreeSet::new());
    });
}

#[test]
fn tickets_work_once_and_only_as_they_were_signed() {
    let mut scene = scene();
    let Scene {
        runtime, mallory, ..
    } = &scene;
    let (ticket, query) = runtime.block_on(async {
        let mut permit = mallory.permit(scene.granted).await.unwrap();
        let held = mallory.hold(&permit.stack).await.unwrap();
        let ticket = permit.tickets.remove(0);
        let (_, query) = ask(&held, 0, 0).unwrap();
        let query = query.to_bytes();

        // What does not fit the ticket is refused, and does not spend it.
        let twice = [query.as_slice(), &query].concat();
        for body in [twice.as_slice(), &query[1..], &[]] {
            let refusal = mallory.spend(&ticket, body).await.unwrap_err();
            assert_eq!(code(&refusal), "malformed", "{refusal}");
        }
        // Two queries for the price of one; a ticket that lives on; one of her own.
        let more = forge(&ticket, |ticket| ticket["queries"] = 2.into()).unwrap();
        let longer = forge(&ticket, |ticket| {
            ticket["expires"] = 4_000_000_000_000_u64.into()
        })
        .unwrap();
        let other = forge(&ticket, |ticket| ticket["nonce"] = "00".repeat(16).into()).unwrap();
        for (forged, body) in [(&more, &twice), (&longer, &query), (&other, &query)] {
            let refusal = mallory.spend(forged, body).await.unwrap_err();
            assert_eq!(code(&refusal), "rejected", "{refusal}");
        }
        mallory.spend(&ticket, &query).await.unwrap();
        let refusal = mallory.spend(&ticket, &query).await.unwrap_err();
        assert_eq!(code(&refusal), "spent", "{refusal}");
        (ticket, query)
    });
    // A crash does not give it back.
    scene.system.cloud.kill();
    scene.system.cloud.start().unwrap();
    scene.system.cloud.ready().unwrap();
    let refusal = scene
        .runtime
        .block_on(scene.mallory.spend(&ticket, &query))
        .unwrap_err();
    assert_eq!(code(&refusal), "spent", "{refusal}");
}

#[test]
fn certificates_open_only_their_own_doors() {
    let scene = scene();
    let Scene {
        system,
        runtime,
        mallory,
        ..
    } = &scene;
    runtime.block_on(async {
        let mut permit = mallory.permit(scene.granted).await.unwrap();
        let generation = permit.stack.generations[0].generation;
        let held = mallory.hold(&permit.stack).await.unwrap();
        let ticket = permit.tickets.remove(0);
        let (_, query) = ask(&held, 0, 0).unwrap();
        let body = [harpo_protocol::retrieval::head(&ticket), query.to_bytes()].concat();
        let hint = format!("/v1/generations/{generation}/hint");
        let slot = format!("/v1/generations/{generation}/slots/0");

        // The cloud wants passes, not names.
        let named = mallory.cloud_by_name().unwrap();
        assert!(named.get(&hint).send().await.is_err());
        assert!(
            named
                .post("/v1/retrievals")
                .bytes(body.clone())
                .send()
                .await
                .is_err()
        );
        // Neither writes.
        let pass = mallory.cloud().await.unwrap();
        for client in [&named, &pass] {
            for request in [
                client.put(&slot).bytes(vec![0; 65_536]),
                client.delete(&format!("/v1/generations/{generation}")),
            ] {
                let refusal = request.send().await.unwrap_err();
                assert!(
                    ["rejected", "denied"].contains(&code(&refusal)),
                    "{refusal}"
                );
            }
        }
        // A pass says nothing to trust.
        let pass = mallory
            .under_pass(&system.trust_url, Role::Trust)
            .await
            .unwrap();
        for path in ["/v1/stacks", "/v1/info"] {
            assert!(pass.get(path).send().await.is_err(), "{path}");
        }
        // None of it spent the ticket.
        mallory.spend(&ticket, &query.to_bytes()).await.unwrap();
    });
}

#[test]
fn what_the_policy_denies_is_neither_found_nor_released() {
    let scene = scene();
    let Scene {
        system,
        runtime,
        producer,
        mallory,
        ..
    } = &scene;
    system.consent("1CT1", "deny").unwrap();
    runtime.block_on(async {
        assert_eq!(mallory.locate(&scene.other_study).await.unwrap(), []);
        let refusal = mallory.release(scene.other).await.unwrap_err();
        assert!(
            ["denied", "not_found"].contains(&code(&refusal)),
            "{refusal}"
        );
        // The other patient's, and the producer's own, go on.
        mallory.permit(scene.granted).await.unwrap();
        producer.permit(scene.other).await.unwrap();
    });
    let found = system.hospitals[1].instances(&scene.other_study);
    assert!(found.is_err() || found.unwrap().is_empty());
}
