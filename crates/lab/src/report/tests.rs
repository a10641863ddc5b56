use super::*;

fn row(system: &str, game: &str, numeral: &str, promised: bool, auc: f64) -> Row {
    Row {
        game: game.to_owned(),
        numeral: numeral.to_owned(),
        title: format!("what <{game}> asks"),
        promised,
        system: system.to_owned(),
        attack: "nearest in time".to_owned(),
        auc,
        ci_low: auc - 0.01,
        ci_high: auc + 0.01,
        kind: kind(system),
        baseline: system != "product",
        best: true,
        advantage: 0.01,
        tpr_at_1e3: 0.001,
        top1: (numeral == "v").then_some(auc - 0.45),
        prior_top1: (numeral == "v").then_some(0.05),
        gain_half: (numeral == "v").then_some(0.01),
        identifications: if numeral == "v" { 4_000 } else { 0 },
        entropy: 0.99,
        prior_entropy: 1.0,
        trials: 16_000,
    }
}

fn kind(system: &str) -> String {
    let kind = if system == "product" {
        "product"
    } else {
        "baseline"
    };
    kind.to_owned()
}

fn system(name: &str) -> SystemRow {
    SystemRow {
        name: name.to_owned(),
        about: format!("about {name} & others"),
        kind: kind(name),
        costs: serde_json::json!({ "slots_fresh": 1200, "wait_median": 61.5 }),
    }
}

fn report() -> Report {
    let mut report = Report {
        scenario: serde_json::json!({ "hospitals": 24, "days": 90 }),
        rows: vec![
            row("product", "uploads-within-epoch", "i", true, 0.503),
            row("product", "uploads-whole-log", "i", false, 0.61),
            row("product", "retrieval-target", "v", true, 0.51),
            row("no-cache", "uploads-within-epoch", "i", true, 0.97),
            row("no-cache", "uploads-whole-log", "i", false, 0.99),
        ],
        systems: vec![system("product"), system("no-cache")],
        controls: vec![Control {
            name: "null".to_owned(),
            wanted: "0.50".to_owned(),
            found: "0.50".to_owned(),
            state: ControlState::Right,
        }],
        sweeps: vec![Sweep {
            name: "old-share".to_owned(),
            points: [0.0, 0.5]
                .map(|x| SweepPoint {
                    x,
                    named: None,
                    figures: vec![("AUC".to_owned(), 0.9 - x / 2.0)],
                })
                .to_vec(),
        }],
        ..Report::default()
    };
    report.judge();
    report
}

#[test]
fn goals_are_judged() {
    let mut report = report();
    let mark = |report: &Report, system: &str, game: &str| report.mark(system, game);
    assert_eq!(mark(&report, "product", "uploads-within-epoch"), Mark::Met);
    assert_eq!(mark(&report, "product", "uploads-whole-log"), Mark::Context);
    assert_eq!(mark(&report, "product", "retrieval-target"), Mark::Met);
    assert_eq!(
        mark(&report, "no-cache", "uploads-within-epoch"),
        Mark::Loses
    );
    assert!(report.is_sound() && report.misses().is_empty() && report.standing().is_empty());
    // What is promised and was not asked about.
    let promised = Game::ALL.into_iter().filter(|game| game.promised()).count();
    assert_eq!(report.unclear(), promised - 2);
    assert_eq!(mark(&report, "product", "upload-origin"), Mark::Unclear);

    report.rows[0].auc = 0.53;
    report.judge();
    // Its interval still reaches what is promised.
    assert_eq!(
        mark(&report, "product", "uploads-within-epoch"),
        Mark::Unclear
    );
    assert_eq!((report.misses().len(), report.unclear()), (0, promised - 1));
    report.rows[0].ci_low = 0.525;
    // Within 0.02 by area, but the right bundle is named too often.
    report.rows[2].top1 = Some(0.10);
    report.rows[3].ci_low = 0.55;
    report.rows[4].ci_low = 0.59;
    report.controls[0].state = ControlState::Wrong;
    report.judge();
    assert_eq!(report.misses().len(), 2);
    assert_eq!(
        report.standing(),
        [("no-cache", "uploads-within-epoch".to_owned())]
    );
    assert!(!report.is_sound() && report.misbehaves());
    let text = tables(&report);
    for loud in [
        "A CONTROL MISBEHAVES: null",
        "PROMISES THAT ARE NOT KEPT",
        "DID NOT LOSE",
    ] {
        assert!(text.contains(loud), "{text}");
    }
}

#[test]
fn few_questions_keep_no_promise() {
    let mut report = report();
    // As near as can be, but it could be much more.
    (
        report.rows[0].auc,
        report.rows[0].ci_low,
        report.rows[0].ci_high,
    ) = (0.5, 0.46, 0.54);
    // The bundle is named no oftener than by priors, of twenty questions.
    (report.rows[2].top1, report.rows[2].gain_half) = (Some(0.05), Some(0.1));
    report.judge();
    assert_eq!(
        report.mark("product", "uploads-within-epoch"),
        Mark::Unclear
    );
    assert_eq!(report.mark("product", "retrieval-target"), Mark::Unclear);
    report.rows[2].gain_half = Some(0.01);
    report.judge();
    assert_eq!(report.mark("product", "retrieval-target"), Mark::Met);
}

#[test]
fn controls_that_were_left_out_are_no_fault_and_no_proof() {
    let mut report = report();
    report.controls[0].state = ControlState::NotPlayed;
    assert!(!report.is_sound() && !report.misbehaves());
    let text = tables(&report);
    assert!(
        text.contains("Not played: null") && !text.contains("MISBEHAVES"),
        "{text}"
    );
}

#[test]
fn tables_say_all_and_fit_a_terminal() {
    let text = tables(&report());
    assert!(
        text.contains("0.50±.01 ✓") && text.contains("0.97±.01 !"),
        "{text}"
    );
    assert!(text.contains("2 promises are kept, 0 are missed"), "{text}");
    assert!(
        text.lines().all(|line| line.chars().count() <= 160),
        "{text}"
    );
}

#[test]
fn the_page_holds_everything_and_asks_nobody() {
    let report = report();
    let drawings = drawings(&report).unwrap();
    let names: Vec<&str> = drawings
        .iter()
        .map(|drawing| drawing.name.as_str())
        .collect();
    assert_eq!(names, ["auc", "old-share"]);
    let page = page(&report, &drawings);
    assert!(page.contains("what &lt;uploads-within-epoch&gt; asks"));
    assert!(page.contains("about no-cache &amp; others"));
    assert_eq!(page.matches("<svg").count(), 2);
    let outside = page.replace("http://www.w3.org/2000/svg", "");
    for asks in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!outside.contains(asks), "{asks}");
    }
}

#[test]
fn json_has_the_names_that_others_read() {
    let json = serde_json::to_value(report()).unwrap();
    let row = &json["rows"][0];
    for name in [
        "game",
        "system",
        "attack",
        "auc",
        "ci_low",
        "ci_high",
        "baseline",
        "tpr_at_fpr_1e-3",
    ] {
        assert!(!row[name].is_null(), "{name}: {row}");
    }
    assert_eq!(json["verdicts"][0]["mark"], "met");
}

#[test]
fn results_are_tables_of_even_width() {
    let page = results(&report());
    assert!(
        page.contains("| product (product) | 0.50±.01 ✓ |"),
        "{page}"
    );
    for table in page.split("\n\n") {
        let bars: Vec<usize> = table
            .lines()
            .filter(|line| line.starts_with('|'))
            .map(|line| line.matches('|').count())
            .collect();
        assert!(bars.windows(2).all(|pair| pair[0] == pair[1]), "{table}");
    }
}
