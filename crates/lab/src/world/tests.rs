use super::*;

#[test]
#[ignore = "prints what a season is like"]
fn a_season() {
    let run = simulate(&Settings::default(), &Scenario::default(), 1, None).unwrap();
    println!(
        "{:#?}",
        Summary {
            waits: vec![],
            ..run.summary
        }
    );
    println!(
        "{} uploads, {} fetches",
        run.record.view.uploads.len(),
        run.record.view.fetches.len()
    );
}
