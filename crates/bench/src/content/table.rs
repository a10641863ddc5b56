//! The report for people.

use std::fmt::Write;

use super::images::{Modality, label};
use super::report::Report;
use crate::columns::Table;

/// The whole report as text.
pub(crate) fn render(report: &Report) -> String {
    let mut out = String::new();
    head(&mut out, report);
    out.push_str(&compression(report));
    out.push_str(&pixels(report));
    out.push_str(&rates(report));
    out.push_str(&marks(report));
    out.push_str(&localisation(report));
    out.push_str(&tracing(report));
    out.push_str(&accusations(report));
    out
}

fn head(out: &mut String, report: &Report) {
    let machine = &report.machine;
    let _ = writeln!(
        out,
        "Content protection on {}, {} core(s), {}\nMB = 10^6 bytes; speeds are of one core{}",
        machine.cpu,
        machine.cores,
        machine.system,
        if report.quick {
            "; quick: few images, few rounds"
        } else {
            ""
        }
    );
    let header = ["images", "files", "native", "frames", "megapixels"];
    let mut table = Table::new("What was measured on", &header);
    for row in &report.images {
        table.row(vec![
            label(row.modality, row.synthetic),
            row.files.to_string(),
            row.native.to_string(),
            row.images.to_string(),
            format!("{:.1}", row.megapixels),
        ]);
    }
    out.push_str(&table.text());
    if report.refused + report.left_out > 0 {
        let _ = writeln!(
            out,
            "  left out: {} files that are no DICOM instances or damaged, {} of modalities with more than enough",
            report.refused, report.left_out
        );
    }
}

fn compression(report: &Report) -> String {
    let mut table = Table::new(
        "Bundles: files to sealed packs and back, one core",
        &[
            "modality",
            "files",
            "MB",
            "ratio",
            "no marks",
            "seal MB/s",
            "no marks",
            "open MB/s",
            "marked",
        ],
    );
    for row in &report.compression {
        table.row(vec![
            label(row.modality, row.synthetic),
            row.files.to_string(),
            format!("{:.1}", row.bytes as f64 / 1e6),
            format!("{:.2}", row.ratio),
            format!("{:.2}", row.ratio_unmarked),
            format!("{:.0}", row.mb_per_s),
            format!("{:.0}", row.mb_per_s_unmarked),
            format!("{:.0}", row.open_mb_per_s),
            row.marked.to_string(),
        ]);
    }
    let mut out = table.text();
    if let Some(kept) = &report.kept {
        let _ = writeln!(
            out,
            "  kept as they came: {} files, ratio {:.2}",
            kept.files, kept.ratio
        );
    }
    let _ = writeln!(
        out,
        "  came back byte for byte: {} of as many files",
        report.exact_files
    );
    out
}

fn pixels(report: &Report) -> String {
    let mut out = String::new();
    for row in report
        .compression
        .iter()
        .filter(|row| !row.pixels.is_empty())
    {
        let title = format!("Pixels alone, {}", label(row.modality, row.synthetic));
        let header = ["codec", "ratio", "encode MB/s", "decode MB/s", "images"];
        let mut table = Table::new(&title, &header);
        for codec in &row.pixels {
            table.row(vec![
                codec.codec.clone(),
                format!("{:.2}", codec.ratio),
                format!("{:.0}", codec.encode_mb_per_s),
                format!("{:.0}", codec.decode_mb_per_s),
                codec.images.to_string(),
            ]);
        }
        out.push_str(&table.text());
    }
    if let Some(why) = &report.peers_missing {
        let _ = writeln!(out, "  no foreign codecs: {why}");
    }
    out
}

/// One table for each group: PSNR of every scheme at every rate.
fn rates(report: &Report) -> String {
    let mut out = String::new();
    let mut groups: Vec<(Modality, bool)> = Vec::new();
    for row in &report.reliability {
        if !groups.contains(&(row.modality, row.synthetic)) {
            groups.push((row.modality, row.synthetic));
        }
    }
    for group in groups {
        let ours: Vec<_> = report
            .reliability
            .iter()
            .filter(|row| (row.modality, row.synthetic) == group)
            .collect();
        let rates: Vec<String> = ours.iter().map(|row| row.bpp.to_string()).collect();
        let mut header = vec!["bits a pixel"];
        header.extend(rates.iter().map(String::as_str));
        let title = format!("Reversible hiding, {}: PSNR in dB", label(group.0, group.1));
        let mut table = Table::new(&title, &header);
        let schemes = report.schemes_of(group);
        for (scheme, rows) in &schemes {
            let mut cells = vec![(*scheme).to_owned()];
            cells.extend(rows.iter().map(|row| decibels(row.psnr_db)));
            table.row(cells);
        }
        let mut gains = vec!["gain over Sachnev".to_owned()];
        gains.extend(ours.iter().map(|row| decibels(row.gain_over_sachnev_db)));
        table.row(gains);
        let mut least = vec!["least of an image".to_owned()];
        least.extend(ours.iter().map(|row| decibels(row.least_gain_db)));
        table.row(least);
        out.push_str(&table.text());
        let exact = schemes
            .iter()
            .flat_map(|(_, rows)| rows)
            .all(|row| row.exact);
        let _ = writeln!(
            out,
            "  {} images; a dash: no image had room; {}",
            ours.first().map_or(0, |row| row.images),
            if exact {
                "everything came back exactly"
            } else {
                "NOT everything came back exactly"
            }
        );
    }
    out
}

fn marks(report: &Report) -> String {
    let mut table = Table::new(
        "The reliability mark as it is used",
        &[
            "modality",
            "images",
            "no room",
            "bits a pixel",
            "PSNR dB",
            "Sachnev dB",
            "largest error",
            "exact",
            "mark Mpix/s",
            "verify Mpix/s",
        ],
    );
    for row in &report.reliability_mark {
        let speed = report
            .mark_speed
            .rows
            .iter()
            .find(|speed| (speed.modality, speed.synthetic) == (row.modality, row.synthetic));
        table.row(vec![
            label(row.modality, row.synthetic),
            row.images.to_string(),
            row.unmarkable.to_string(),
            format!("{:.3}", row.payload_bpp),
            decibels(row.psnr_db),
            decibels(row.sachnev_psnr_db),
            row.largest_error.to_string(),
            if row.exact { "yes" } else { "NO" }.to_owned(),
            figure(speed.and_then(|speed| speed.rate.mark)),
            figure(speed.and_then(|speed| speed.rate.verify)),
        ]);
    }
    table.text()
}

fn localisation(report: &Report) -> String {
    let found = &report.localisation;
    let mut table = Table::new(
        "Planted alterations of marked images",
        &[
            "alteration",
            "planted",
            "noticed",
            "found exactly",
            "unreadable",
        ],
    );
    let mut names: Vec<&str> = Vec::new();
    for row in &found.rows {
        if !names.contains(&row.alteration) {
            names.push(row.alteration);
        }
    }
    for name in names {
        let rows = found.rows.iter().filter(|row| row.alteration == name);
        let sums = rows.fold([0; 4], |sums, row| {
            let counts = &row.counts;
            [
                sums[0] + counts.planted,
                sums[1] + counts.noticed,
                sums[2] + counts.found,
                sums[3] + counts.unreadable,
            ]
        });
        let mut cells = vec![name.to_owned()];
        cells.extend(sums.map(|sum| sum.to_string()));
        table.row(cells);
    }
    let mut out = table.text();
    let _ = writeln!(
        out,
        "  all: {} planted, {} noticed, {} found exactly; {} untouched images, {} of them found altered",
        found.counts.planted,
        found.counts.noticed,
        found.counts.found,
        found.untouched,
        found.falsely_altered
    );
    out
}

fn tracing(report: &Report) -> String {
    let mut table = Table::new(
        "Tracing: leaks of exports, by what was done to them",
        &[
            "attack",
            "trials",
            "right",
            "wrong",
            "by 1 slice",
            "by 4",
            "slices",
            "log10 p",
        ],
    );
    for row in &report.tracing {
        table.row(vec![
            row.attack.to_owned(),
            row.trials.to_string(),
            row.right.to_string(),
            row.wrong.to_string(),
            row.right_from_one.to_string(),
            row.right_from_four.to_string(),
            row.slices.to_string(),
            format!("{:.0}", row.median_log10_p),
        ]);
    }
    let mut marks = Table::new(
        "What the tracing mark changes",
        &[
            "modality",
            "slices",
            "bits",
            "PSNR dB",
            "on 8 bits",
            "SSIM",
            "largest",
            "in levels",
            "Mpix/s",
        ],
    );
    for row in &report.tracing_distortion {
        marks.row(vec![
            label(row.modality, row.synthetic),
            row.slices.to_string(),
            row.bits_stored.to_string(),
            format!("{:.1}", row.psnr_db),
            format!("{:.1}", row.psnr_display_db),
            format!("{:.4}", row.ssim),
            row.largest_error.to_string(),
            format!("{:.1}", row.largest_error_levels),
            format!("{:.0}", row.embed_mpix_per_s),
        ]);
    }
    table.text() + &marks.text()
}

fn accusations(report: &Report) -> String {
    let Some(figures) = &report.false_accusations else {
        return String::new();
    };
    let mut table = Table::new(
        "Innocents held against real evidence",
        &[
            "evidence",
            "innocents",
            "accused",
            "p ≤ 1e-2",
            "1e-3",
            "1e-4",
            "least log10 p",
        ],
    );
    for row in &figures.evidence {
        let mut cells = vec![
            row.evidence.to_owned(),
            row.trials.to_string(),
            row.accused.to_string(),
        ];
        cells.extend(row.tails.iter().map(|tail| tail.innocents.to_string()));
        cells.push(format!("{:.1}", row.least_log10_p));
        table.row(cells);
    }
    let mut out = table.text();
    if !figures.within_bound {
        out.push_str("  MORE innocents look guilty than the bound allows\n");
    }
    let _ = writeln!(
        out,
        "  all: {} innocents, {} accused; accused from log10 p = {:.1}, the most suspicious has {:.1}; the bound allows {:.4}",
        figures.trials,
        figures.accused,
        figures.limit_log10_p,
        figures.least_log10_p,
        figures.expected_at_most
    );
    out
}

fn decibels(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |value| format!("{value:.2}"))
}

fn figure(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |value| format!("{value:.0}"))
}
