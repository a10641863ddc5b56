//! A cloud that does not answer what it was asked. Every lie is found, said clearly, and does not spoil what comes after.

use std::path::PathBuf;

use harpo_e2e::images::pydicom;
use harpo_e2e::process::free_port;
use harpo_e2e::system::{System, configure};
use harpo_e2e::wait;

use crate::proxy::{Attack, Proxy};
use crate::rogue::Rogue;
use crate::sent::Sent;

/// Puts the hostile cloud where trust says the cloud is, after everything was sealed.
fn with_proxy(system: &mut System) -> Proxy {
    let port = free_port().unwrap();
    let helper = Rogue::new(
        &system.hospitals[0].dir,
        &system.trust_url,
        &system.cloud_url,
    )
    .unwrap();
    let proxy = Proxy::start(port, &system.dir("cloud"), helper).unwrap();
    system.trust.stop().unwrap();
    let change = format!("[cloud]\nurl = 'https://127.0.0.1:{port}'\n");
    configure(&system.dir("trust").join("trust.toml"), &[&change]).unwrap();
    system.trust.start().unwrap();
    system.trust.healthy().unwrap();
    for hospital in &mut system.hospitals {
        hospital.process.stop().unwrap();
        hospital.process.start().unwrap();
        hospital.process.healthy().unwrap();
    }
    proxy
}

#[test]
fn lies_about_slots_are_found_and_the_truth_still_works() {
    let mut system = System::start(&["St Anne", "Mercy Vale"]).unwrap();
    // Three slots of 64 KiB: a retrieval of four queries.
    let file: PathBuf = pydicom("J2K_pixelrep_mismatch.dcm").unwrap();
    let mut sent = Sent::default();
    assert_eq!(
        system.hospitals[0]
            .stow(std::slice::from_ref(&file))
            .unwrap()["status"],
        200
    );
    sent.by_stow(&[file]).unwrap();
    sent.found_by(&system.hospitals[1]).unwrap();
    system.seal().unwrap();
    let proxy = with_proxy(&mut system);
    let study = sent.studies().next().unwrap().to_owned();
    let out = tempfile::tempdir().unwrap();

    for attack in [
        Attack::FlipAnswer,
        Attack::FlipHeader,
        Attack::Swap,
        Attack::Old,
        Attack::Noise,
        Attack::Truncate,
        Attack::Extend,
        Attack::Fail,
    ] {
        proxy.play(attack);
        let mercy = &mut system.hospitals[1];
        let before = mercy.process.log().len();
        let answer = mercy
            .retrieve(&study, &out.path().join(format!("{attack:?}")))
            .unwrap();
        assert!(proxy.played() > 0, "{attack:?} was not played: {answer:?}");
        assert!(answer.status >= 500, "{attack:?}: {answer:?}");
        // The user is told that nothing usable came, the administrator what.
        let told = ["damaged", "unavailable"]
            .iter()
            .any(|word| answer.body.contains(word));
        assert!(told, "{attack:?} is not told: {}", answer.body);
        let log = mercy.process.log().split_off(before);
        assert!(
            log.contains("a bundle could not be opened"),
            "{attack:?} is not logged: {log}"
        );
        assert!(answer.files.is_empty());
        assert!(mercy.process.runs(), "{attack:?} ended the gateway");
        mercy.process.ready().unwrap();
    }
    proxy.play(Attack::Honest);
    sent.comes_back_at(&system.hospitals[1], &out.path().join("truth"))
        .unwrap();
}

#[test]
fn lies_about_hints_are_found_and_the_truth_still_works() {
    let mut system = System::start(&["St Anne", "Mercy Vale"]).unwrap();
    let file = pydicom("CT_small.dcm").unwrap();
    let mut sent = Sent::default();
    assert_eq!(
        system.hospitals[0]
            .stow(std::slice::from_ref(&file))
            .unwrap()["status"],
        200
    );
    sent.by_stow(&[file]).unwrap();
    sent.found_by(&system.hospitals[1]).unwrap();
    // The consumer sleeps while the hint appears, and finds the liar when it wakes.
    system.hospitals[1].process.stop().unwrap();
    system.seal().unwrap();
    system.hospitals[1].process.start().unwrap();
    system.hospitals[1].process.healthy().unwrap();
    system.hospitals[1].process.stop().unwrap();
    let hints = crate::rogue::find(&system.hospitals[1].dir, "hints").unwrap();
    for entry in std::fs::read_dir(&hints).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    system.hospitals[1].process.start().unwrap();
    let proxy = with_proxy(&mut system);
    let study = sent.studies().next().unwrap().to_owned();
    let out = tempfile::tempdir().unwrap();

    for attack in [Attack::FlipHint, Attack::TruncateHint] {
        proxy.play(attack);
        let mercy = &mut system.hospitals[1];
        mercy.process.stop().unwrap();
        for entry in std::fs::read_dir(&hints).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
        mercy.process.start().unwrap();
        wait::until("the lie is told", || Ok((proxy.played() > 0).then_some(()))).unwrap();
        mercy.process.healthy().unwrap();
        let answer = mercy
            .retrieve(&study, &out.path().join(format!("{attack:?}")))
            .unwrap();
        assert!(answer.status >= 500, "{attack:?}: {answer:?}");
        assert!(
            answer.body.contains("hint") || answer.body.contains("cloud"),
            "{attack:?}: {}",
            answer.body
        );
    }
    proxy.play(Attack::Honest);
    wait::until("the true hint is fetched", || {
        let answer = system.hospitals[1].retrieve(&study, &out.path().join("probe"))?;
        Ok((answer.status == 200).then_some(()))
    })
    .unwrap();
    sent.comes_back_at(&system.hospitals[1], &out.path().join("truth"))
        .unwrap();
}
