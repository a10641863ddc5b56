//! The report for people.

use std::fmt::Write;

use super::report::{GrowthRow, Report};
use crate::columns::Table;

/// The whole report as text.
pub(crate) fn render(report: &Report) -> String {
    let mut out = String::new();
    head(&mut out, report);
    out.push_str(&scan(report));
    out.push_str(&seal(report));
    out.push_str(&client(report));
    out.push_str(&peers(report));
    out.push_str(&growth(&report.growth));
    out
}

fn head(out: &mut String, report: &Report) {
    let (machine, shape) = (&report.machine, &report.shape);
    let _ = writeln!(
        out,
        "Oblivious retrieval: N = {} slots of R = {}, t = {}, {} polynomials\n\
         {} of records, {} encoded; {}, {} core(s), {}\n\
         GB = 10^9 bytes; rates and times are the best of their rounds",
        shape.slots,
        bytes(u64::from(shape.slot_bytes)),
        shape.interleave,
        shape.polys,
        bytes(shape.plain_bytes),
        bytes(shape.encoded_bytes),
        machine.cpu,
        machine.cores,
        machine.system,
    );
}

fn scan(report: &Report) -> String {
    let mut table = Table::new(
        "Scan beside the machine's sequential read limit (plaintext × K)",
        &[
            "kernel",
            "threads",
            "K",
            "GB/s",
            "median",
            "memory GB/s",
            "of limit %",
        ],
    );
    for limit in &report.read_limit {
        table.row(vec![
            "read limit".to_owned(),
            limit.threads.to_string(),
            String::new(),
            String::new(),
            String::new(),
            format!("{:.2}", limit.gb_per_s),
            "100".to_owned(),
        ]);
        let rows = report.scan.iter().filter(|r| r.threads == limit.threads);
        for row in rows {
            table.row(vec![
                row.kernel.to_owned(),
                row.threads.to_string(),
                row.k.to_string(),
                format!("{:.2}", row.gb_per_s),
                format!("{:.2}", row.median_gb_per_s),
                format!("{:.2}", row.read_gb_per_s),
                format!("{:.0}", row.read_limit_fraction * 100.0),
            ]);
        }
    }
    table.text()
}

fn seal(report: &Report) -> String {
    let mut table = Table::new(
        "Sealing a generation (plaintext)",
        &[
            "threads",
            "GB/s",
            "median",
            "encode GB/s",
            "hint GB/s",
            "peak memory",
        ],
    );
    for row in &report.seal {
        table.row(vec![
            row.threads.to_string(),
            format!("{:.3}", row.gb_per_s),
            format!("{:.3}", row.median_gb_per_s),
            format!("{:.2}", row.encode_gb_per_s),
            format!("{:.2}", row.hint_gb_per_s),
            row.peak_bytes.map_or("not known here".to_owned(), bytes),
        ]);
    }
    table.text()
}

fn client(report: &Report) -> String {
    let (client, wire) = (&report.client, &report.wire);
    let mut times = Table::new("One query, one thread", &["step", "ms", "median ms"]);
    for (name, step) in [
        ("make a query", client.query),
        ("server reads it", client.server_reads_query),
        ("decode a slot", client.decode),
        ("sum of hints", client.hint_sum),
    ] {
        times.row(vec![
            name.to_owned(),
            format!("{:.1}", step.best),
            format!("{:.1}", step.median),
        ]);
    }
    let mut sizes = Table::new(
        "Bytes of one query",
        &["what", "measured", "formula", "of R"],
    );
    let slot = f64::from(report.shape.slot_bytes);
    for (name, measured, formula) in [
        ("up", wire.bytes_up, wire.bytes_up_formula),
        ("down", wire.bytes_down, wire.bytes_down_formula),
        ("hint, once", wire.hint_bytes, wire.hint_bytes_formula),
    ] {
        sizes.row(vec![
            name.to_owned(),
            measured.to_string(),
            formula.to_string(),
            format!("{:.3}", measured as f64 / slot),
        ]);
    }
    times.text() + &sizes.text()
}

fn peers(report: &Report) -> String {
    let k = report.peers.iter().map(|row| row.k).max().unwrap_or(0);
    let mut table = Table::new(
        &format!("What one could use instead: k = {k} records over loopback, all cores"),
        &[
            "engine",
            "GB/s",
            "s",
            "client s",
            "up",
            "down",
            "once",
            "s at 1 Gbit/s",
            "rounds",
            "over",
        ],
    );
    for row in &report.peers {
        table.row(vec![
            row.name.to_owned(),
            format!("{:.3}", row.gb_per_s),
            format!("{:.2}", row.seconds),
            format!("{:.2}", row.client_seconds),
            bytes(row.bytes_up),
            bytes(row.bytes_down),
            bytes(row.bytes_once),
            format!("{:.2}", row.seconds_on_1_gbit_per_s),
            row.rounds.to_string(),
            format!("{} × {}", row.records, bytes(row.record_bytes)),
        ]);
    }
    let mut text = table.text();
    text.push_str(
        "GB/s: all records once, by the seconds of server and transfer together; at 1 Gbit/s: both sides' seconds\n\
         and those of the bytes\n",
    );
    for row in &report.peers {
        let _ = writeln!(text, "  {}: {}", row.name, row.note);
    }
    text
}

fn growth(rows: &[GrowthRow]) -> String {
    let mut table = Table::new(
        "Growth with N, R and k (all cores)",
        &[
            "N",
            "R",
            "k",
            "up",
            "down",
            "hint",
            "memory",
            "seal ms",
            "server ms",
            "client ms",
        ],
    );
    for row in rows {
        table.row(vec![
            row.slots.to_string(),
            bytes(u64::from(row.slot_bytes)),
            row.k.to_string(),
            bytes(row.bytes_up),
            bytes(row.bytes_down),
            bytes(row.hint_bytes),
            bytes(row.encoded_bytes),
            format!("{:.0}", row.seal_ms),
            format!("{:.1}", row.server_ms),
            format!("{:.1}", row.client_ms),
        ]);
    }
    table.text()
}

/// Bytes with a binary unit, three digits.
pub(super) fn bytes(count: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = match value {
        _ if value.fract() == 0.0 => 0,
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_three_digits() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1024, "1 KiB"),
            (4 << 20, "4 MiB"),
            (4_640_000, "4.43 MiB"),
            (53_000_000, "50.5 MiB"),
            (7_516_192_768, "7 GiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }
}
