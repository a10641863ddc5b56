use serde_json::Value;

use super::*;

/// A run of seconds: what the command does, on a stack that fits any machine.
fn tiny() -> Plan {
    let options = Options {
        slots: Some(8),
        slot_kib: 64,
        interleave: 2,
        k: vec![1, 2],
        threads: vec![1, 2],
        wanted: 3,
        quick: true,
        json: None,
        svg: None,
    };
    let mut plan = Plan::new(&options).unwrap();
    plan.growth_slots = vec![4, 8];
    plan.growth_slot_bytes = vec![16 << 10, 64 << 10];
    plan.growth_ks = vec![1, 2];
    plan
}

fn number(value: &Value, path: &str) -> f64 {
    value
        .pointer(path)
        .and_then(Value::as_f64)
        .unwrap_or_else(|| panic!("{path} is no number in {value}"))
}

#[test]
fn a_whole_run_checks_what_it_measures_and_reports_all_of_it() {
    let report = measure(&tiny()).unwrap();
    let json = serde_json::to_value(&report).unwrap();
    for path in [
        "/read_limit_gb_per_s",
        "/seal_gb_per_s",
        "/answer_ratio",
        "/query_ms",
        "/decode_ms",
        "/scan/0/gb_per_s",
        "/scan/0/threads",
        "/scan/0/k",
        "/peers/0/gb_per_s",
        "/peers/0/bytes_up",
        "/peers/0/bytes_down",
        "/growth/0/server_ms",
        "/read_limit/1/gb_per_s",
    ] {
        let value = number(&json, path);
        assert!(value.is_finite() && value > 0.0, "{path} = {value}");
    }
    let kernels = harpo_oblivious::Kernel::available().len();
    assert_eq!(report.scan.len(), kernels * 2 * 2);
    assert_eq!(report.growth.len(), 2 * 2 * 2);
    assert!(json["scan"][0]["kernel"].is_string() && json["peers"][0]["name"].is_string());
}

#[test]
fn measured_bytes_are_those_of_the_formulas() {
    let report = measure(&tiny()).unwrap();
    let wire = &report.wire;
    assert_eq!(wire.bytes_up, wire.bytes_up_formula);
    assert_eq!(wire.bytes_down, wire.bytes_down_formula);
    assert_eq!(wire.hint_bytes, wire.hint_bytes_formula);
    assert!(wire.answer_ratio > 1.0 && wire.answer_ratio < 1.15);
    let ring = report
        .peers
        .iter()
        .find(|row| row.name == "ring engine")
        .unwrap();
    assert_eq!(ring.bytes_up, 3 * wire.bytes_up);
    assert_eq!(ring.bytes_down, 3 * wire.bytes_down);
}

#[test]
fn the_drawing_shows_kernels_limit_and_growth() {
    let report = measure(&tiny()).unwrap();
    let svg = chart::draw(&report).unwrap();
    for word in [
        "<svg",
        "portable",
        "sequential read limit",
        "hint, once",
        "k, records wanted",
    ] {
        assert!(svg.contains(word), "{word}");
    }
    let table = table::render(&report);
    for word in [
        "read limit",
        "masked transfer (Chu-Tzeng)",
        "ring engine",
        "Growth",
    ] {
        assert!(table.contains(word), "{word}\n{table}");
    }
}
