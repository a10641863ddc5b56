//! A cloud that does not answer what it was asked. Every lie is found, said clearly, and does not spoil what comes after.

use std::path::{Path, PathBuf};

use harpo_e2e::images::{pydicom, variant};
use harpo_e2e::process::free_port;
use harpo_e2e::system::{Changes, Hospital, System, configure};
use harpo_e2e::wait;

use crate::proxy::{Attack, Proxy};
use crate::rogue::Rogue;
use crate::sent::Sent;

/// Puts the hostile cloud where trust says the cloud is, after everything was sealed.
pub(crate) fn with_proxy(system: &mut System) -> Proxy {
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

const ATTACKS: [Attack; 8] = [
    Attack::FlipAnswer,
    Attack::FlipHeader,
    Attack::Swap,
    Attack::Old,
    Attack::Noise,
    Attack::Truncate,
    Attack::Extend,
    Attack::Fail,
];

/// A study of one instance, in three slots of 64 KiB: a retrieval of four queries.
fn study(folder: &Path, number: usize) -> Sent {
    let path = folder.join(format!("{number}.dcm"));
    let uid = |end: &str| format!("{}{number:04}", &end[..end.len() - 4]);
    let ends = ["7144527203339851", "7144550003340146", "7144551003340153"];
    let replacements = ends.map(|end| (end, uid(end)));
    variant("J2K_pixelrep_mismatch.dcm", &replacements, &path).unwrap();
    let mut sent = Sent::default();
    sent.by_stow(&[path]).unwrap();
    sent
}

#[test]
fn lies_about_slots_are_found_and_the_truth_still_works() {
    let changes = Changes {
        trust: "[layout]\nslots_per_generation = 64\n",
        ..Changes::default()
    };
    let mut system = System::start_with(&["St Anne", "Mercy Vale"], &changes).unwrap();
    let folder = tempfile::tempdir().unwrap();
    // One study for each lie, and as many that are told the truth between the lies.
    let studies: Vec<Sent> = (0..2 * ATTACKS.len())
        .map(|number| study(folder.path(), number))
        .collect();
    let files: Vec<PathBuf> = studies.iter().flat_map(Sent::files).collect();
    assert_eq!(system.hospitals[0].stow(&files).unwrap()["status"], 200);
    for sent in &studies {
        sent.found_by(&system.hospitals[1]).unwrap();
    }
    system.seal().unwrap();
    let proxy = with_proxy(&mut system);
    let out = folder.path().join("out");

    for (attack, pair) in ATTACKS.into_iter().zip(studies.chunks_exact(2)) {
        let [lie, truth] = pair else { unreachable!() };
        proxy.play(attack);
        refused(
            &mut system.hospitals[1],
            lie,
            &out.join(format!("{attack:?}")),
        );
        assert_eq!(proxy.played(), 1, "{attack:?}");
        // Asking again at once must not show the cloud that something failed (docs/protocol.md 9.4).
        refused(
            &mut system.hospitals[1],
            lie,
            &out.join(format!("{attack:?} again")),
        );
        assert_eq!(
            proxy.played(),
            1,
            "{attack:?} was followed by another retrieval"
        );
        proxy.play(Attack::Honest);
        truth
            .comes_back_at(
                &system.hospitals[1],
                &out.join(format!("truth after {attack:?}")),
            )
            .unwrap();
    }
    // In a while what was refused can be had.
    for pair in studies.chunks_exact(2) {
        wait::until("the failure is forgotten", || {
            Ok(pair[0]
                .comes_back_at(&system.hospitals[1], &out.join("later"))
                .ok())
        })
        .unwrap();
    }
}

/// A study may have come in several bundles. Whether the first opened must not show in whether the next is asked for
/// (docs/protocol.md 9.4).
#[test]
fn a_lie_about_one_bundle_does_not_keep_the_next_from_being_asked_for() {
    let changes = Changes {
        trust: "[layout]\nslots_per_generation = 64\n",
        ..Changes::default()
    };
    let mut system = System::start_with(&["St Anne", "Mercy Vale"], &changes).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut sent = Sent::default();
    for number in 0..3 {
        // One study, whose instances come one after another.
        let path = folder.path().join(format!("{number}.dcm"));
        let uid = ("7144551003340153", format!("714455100334015{number}"));
        variant("J2K_pixelrep_mismatch.dcm", &[uid], &path).unwrap();
        sent.by_stow(std::slice::from_ref(&path)).unwrap();
        assert_eq!(system.hospitals[0].stow(&[path]).unwrap()["status"], 200);
        sent.found_by(&system.hospitals[1]).unwrap();
    }
    system.seal().unwrap();
    let proxy = with_proxy(&mut system);
    proxy.play(Attack::FlipAnswer);
    refused(&mut system.hospitals[1], &sent, &folder.path().join("lies"));
    assert_eq!(proxy.played(), 3, "a retrieval for each bundle");
}

/// Nothing is delivered, the reason is said, and the gateway goes on.
pub(crate) fn refused(hospital: &mut Hospital, sent: &Sent, out: &Path) {
    let before = hospital.process.log().len();
    let study = sent.studies().next().unwrap();
    let answer = hospital.retrieve(study, out).unwrap();
    assert!(answer.status >= 500, "{answer:?}");
    assert!(answer.files.is_empty());
    // The user is told that nothing usable came, the administrator what.
    let told = ["damaged", "unavailable"]
        .iter()
        .any(|word| answer.body.contains(word));
    assert!(told, "{}", answer.body);
    assert!(hospital.process.log().len() > before, "nothing is logged");
    assert!(hospital.process.runs(), "the gateway ended");
    hospital.process.ready().unwrap();
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
        let log = mercy.process.log();
        assert!(log.contains("hint"), "{attack:?} is not logged: {log}");
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
