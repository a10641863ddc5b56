//! A plan for people to read.

use super::{Configuration, Network, Outlook, Search};
use crate::report::columns::Columns;

/// Figures of several configurations beside each other, each under its name, and which limits each breaks.
#[must_use]
pub fn table(network: &Network, limits: &Search, plans: &[(&str, &Outlook)]) -> String {
    let mut header = vec![""];
    header.extend(plans.iter().map(|(name, _)| *name));
    let mut columns = Columns::new(&title(network), &header);
    for (heading, rows) in GROUPS {
        columns.heading(heading);
        for (name, value) in *rows {
            let cells = plans.iter().map(|(_, outlook)| value(outlook));
            let mut row = vec![format!("  {name}")];
            row.extend(cells);
            columns.row(row);
        }
    }
    columns.heading("limits");
    let mut row = vec!["  broken".to_owned()];
    row.extend(plans.iter().map(
        |(_, outlook)| match limits.breaks(network, outlook).as_slice() {
            [] => "none".to_owned(),
            broken => format!("{} ✗", broken.len()),
        },
    ));
    columns.row(row);
    let mut text = columns.text();
    for (name, outlook) in plans {
        for broken in limits.breaks(network, outlook) {
            text.push_str(&format!("  ✗ {name}: {}\n", broken.name()));
        }
    }
    text
}

fn title(network: &Network) -> String {
    format!(
        "{} hospitals, {} studies of {} a day, each consulted {} times; kept for {} days; {} cores, {} Mbit/s of each line",
        network.hospitals,
        network.studies_per_day,
        bytes(network.study_bytes),
        network.reads_per_study,
        network.keep_days,
        network.cores,
        network.bandwidth_mbit,
    )
}

type Figure = (&'static str, fn(&Outlook) -> String);

const GROUPS: &[(&str, &[Figure])] = &[
    (
        "configuration",
        &[
            ("a round", |o| seconds(o.configuration.round_seconds.into())),
            ("queries of a round", |o| {
                o.configuration.queries.to_string()
            }),
            ("generations of a stack", |o| {
                o.configuration.stack_generations.to_string()
            }),
            ("sealed at the latest after", |o| {
                seconds(o.configuration.seal_after_seconds as f64)
            }),
            ("share that errands may fill", |o| {
                percent(o.configuration.old_share)
            }),
        ],
    ),
    (
        "anonymity",
        &[
            ("slots of a stack", |o| o.stack_slots.to_string()),
            ("bundles of a stack, about", |o| {
                format!("{:.0}", o.stack_bundles)
            }),
            ("retrievals a minute", |o| {
                format!("{:.1}", o.retrievals_per_minute)
            }),
            ("cover among writes", |o| percent(o.cover_writes)),
            ("cover among queries", |o| percent(o.cover_queries)),
            ("one study's uploads by time, AUC, about", |o| {
                format!("{:.3}", o.upload_auc)
            }),
            ("… different studies of a visit", |o| {
                format!("{:.3}", o.upload_auc_studies)
            }),
            ("… without re-placement", |o| {
                format!("{:.3}", o.upload_auc_unmoved)
            }),
            ("retrievals linked by stack, AUC", |_| {
                "0.5 by construction".to_owned()
            }),
            ("… without rounds", |o| {
                format!("{:.3}", o.stacks_auc_at_once)
            }),
        ],
    ),
    (
        "uploads",
        &[
            ("mean delay before the cloud", |o| {
                seconds(o.upload_delay_seconds)
            }),
            ("from one sealing to the next", |o| seconds(o.epoch_seconds)),
            ("slots written for one deposited", |o| {
                format!("{:.2}", o.writes_per_deposited)
            }),
            ("brought back by re-placement", |o| percent(o.moved_writes)),
        ],
    ),
    (
        "consults",
        &[
            ("a day, everywhere", |o| {
                format!("{:.0}", o.consults_per_day)
            }),
            ("answered by trust's cache", |o| percent(o.from_cache)),
            ("wait, newest stack: mean", |o| {
                seconds(o.wait_newest_seconds)
            }),
            ("… 95 %", |o| seconds(o.wait_newest_95_seconds)),
            ("share that is for older stacks", |o| percent(older(o))),
            ("wait, older stacks: mean", |o| {
                seconds(o.wait_older_seconds)
            }),
            ("… 95 %", |o| seconds(o.wait_older_95_seconds)),
            ("emergency, at once", |o| seconds(o.wait_at_once_seconds)),
        ],
    ),
    (
        "costs",
        &[
            ("a round's engine", |o| o.engine.to_owned()),
            ("query and answer", |o| {
                format!(
                    "{} + {}",
                    bytes(o.query_bytes as f64),
                    bytes(o.answer_bytes as f64)
                )
            }),
            ("a generation's hint", |o| bytes(o.hint_bytes as f64)),
            ("stacks of what is kept", |o| format!("{:.1}", o.stacks)),
            ("encoded, memory or disk", |o| bytes(o.encoded_bytes)),
            ("a gateway's line, down", |o| {
                format!("{:.1} Mbit/s", o.gateway_mbit_down)
            }),
            ("a gateway's line, up", |o| {
                format!("{:.1} Mbit/s", o.gateway_mbit_up)
            }),
            ("cores of the cloud, busy", |o| format!("{:.1}", o.cores)),
            ("out of the cloud, a day", |o| bytes(o.cloud_bytes_per_day)),
            ("for a consult: bytes", |o| bytes(o.bytes_per_consult)),
            ("… time of a core", |o| {
                seconds(o.core_seconds_per_consult)
            }),
            ("… money", |o| format!("{:.3}", o.cost_per_consult)),
        ],
    ),
];

fn older(outlook: &Outlook) -> f64 {
    (1.0 - outlook.from_cache - outlook.from_newest).max(0.0)
}

/// A configuration in a line.
impl std::fmt::Display for Configuration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "rounds of {} with {} queries, stacks of {} generations, sealed after {}, errands up to {}",
            seconds(self.round_seconds.into()),
            self.queries,
            self.stack_generations,
            seconds(self.seal_after_seconds as f64),
            percent(self.old_share),
        )
    }
}

/// `1.5 GB`: decimal, as networks and disks count.
pub(crate) fn bytes(value: f64) -> String {
    let (scaled, unit) = match value {
        v if v < 1e3 => (v, "B"),
        v if v < 1e6 => (v / 1e3, "kB"),
        v if v < 1e9 => (v / 1e6, "MB"),
        v if v < 1e12 => (v / 1e9, "GB"),
        v => (v / 1e12, "TB"),
    };
    format!("{scaled:.*} {unit}", usize::from(scaled < 100.0))
}

/// `90 s`, `3.5 min`, `12.0 h`, `4.0 d`.
pub(crate) fn seconds(value: f64) -> String {
    match value {
        v if v < 10.0 => format!("{v:.1} s"),
        v if v < 120.0 => format!("{v:.0} s"),
        v if v < 7200.0 => format!("{:.1} min", v / 60.0),
        v if v < 172_800.0 => format!("{:.1} h", v / 3600.0),
        v if v.is_infinite() => "for ever".to_owned(),
        v => format!("{:.1} d", v / 86_400.0),
    }
}

pub(crate) fn percent(share: f64) -> String {
    let value = share * 100.0;
    format!("{value:.*} %", usize::from(value < 10.0 && value != 0.0))
}
