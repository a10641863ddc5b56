use super::*;

/// Few hospitals, few days, few questions: whether all parts go together, not how well anybody does.
fn little() -> Options {
    let scenario = Scenario {
        hospitals: 4,
        days: 3,
        ..Scenario::default()
    };
    let mut options = Options::quick(scenario);
    options.systems = vec![System::Product, System::Naive];
    options.play.pairs = 400;
    options.play.practice_pairs = 300;
    options.play.identifications = 20;
    options.sweeps = None;
    options
}

#[test]
fn a_run_tells_every_step_and_fills_the_report() {
    let told = AtomicUsize::new(0);
    let options = little();
    let report = run(&options, &|step| {
        if let Step::Done = step {
            told.fetch_add(1, Ordering::Relaxed);
        }
    })
    .unwrap();
    assert_eq!(told.into_inner(), options.steps());
    let names: Vec<&str> = report
        .systems
        .iter()
        .map(|system| system.name.as_str())
        .collect();
    assert_eq!(names, ["product", "naive-sharing"]);
    assert!(
        report.rows.iter().any(|row| row.baseline) && report.rows.iter().any(|row| !row.baseline)
    );
    // Whoever uploads under an account is known by it.
    let origin = report.best("naive-sharing", "upload-origin").unwrap();
    assert!(origin.auc > 0.8, "{origin:?}");
    assert!(report.best("product", "uploads-within-epoch").is_some());
    // The planted leak was left out: no fault, and no proof.
    let states: Vec<ControlState> = report.controls.iter().map(|c| c.state).collect();
    assert_eq!(states.len(), 2);
    assert!(!report.is_sound() && states[1] == ControlState::NotPlayed);
    assert!(!report.verdicts.is_empty());
    let again = run(&options, &|_| ()).unwrap();
    assert_eq!(again, report);
}
