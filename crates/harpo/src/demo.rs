//! `harpo demo`: a study goes from one hospital through trust into the cloud and comes back to
//! another, with everybody a process of its own and every byte on a real connection.

mod expected;
mod follow;
mod marks;
mod network;
mod report;
mod rounds;
mod screen;
mod size;
mod study;
mod visit;
mod watch;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use harpo_gateway::dicom::scu;
use harpo_gateway::status::Status;
use harpo_gateway::store::FetchRow;
use harpo_protocol::cell::Layout;
use harpo_protocol::rounds::Rule;
use harpo_protocol::time::Timestamp;
use harpo_service::clock::Clock;
use harpo_service::shutdown::Shutdown;

use network::{Harpo, Hospital, Network, text};
use report::Report;
use screen::{Screen, megabytes};
use size::{layout, rule};
use study::Originals;
use visit::Visitor;

/// How long a stage of the demo may take before it is called stuck.
const STUCK: Duration = Duration::from_secs(600);

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Options {
    /// DICOM files to send; a synthetic CT study if none.
    pub folder: Option<PathBuf>,
    /// Leave everything running.
    pub keep: bool,
    /// Where the parties keep their data; a temporary folder if none.
    pub dir: Option<PathBuf>,
    /// Size of the stack; what the files need, at least 256, if none.
    pub stack_mib: Option<u64>,
    /// Where the report goes.
    pub report: Option<PathBuf>,
}

/// Runs the demo; an error if anything was not right.
pub(crate) async fn run(options: Options) -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let dir = match &options.dir {
        Some(dir) => {
            if dir.exists() && fs::read_dir(dir)?.next().is_some() {
                bail!(
                    "{} is not empty; give an empty or new folder",
                    dir.display()
                );
            }
            fs::create_dir_all(dir)?;
            dir.clone()
        }
        None => temporary.path().to_owned(),
    };
    let shutdown = Shutdown::new();
    shutdown.on_signals()?;
    let interrupted = || anyhow::anyhow!("interrupted; everything was stopped");
    let mut demo = tokio::select! {
        demo = Demo::prepare(&options, &dir) => demo?,
        () = shutdown.stopping() => return Err(interrupted()),
    };
    let result = tokio::select! {
        result = demo.tell() => result,
        () = shutdown.stopping() => Err(interrupted()),
    };
    if let Some(path) = &options.report {
        let json = serde_json::to_string_pretty(&demo.report)?;
        fs::write(path, json + "\n").with_context(|| path.display().to_string())?;
    }
    if result.is_ok() && options.keep {
        demo.keep();
        shutdown.stopping().await;
    }
    demo.network.stop().await;
    result
}

struct Demo {
    dir: PathBuf,
    screen: Screen,
    network: Network,
    originals: Originals,
    layout: Layout,
    rule: Rule,
    /// When the consumer read from the cloud.
    reading: (Timestamp, Timestamp),
    report: Report,
}

impl Demo {
    async fn prepare(options: &Options, dir: &Path) -> Result<Self> {
        let mut screen = Screen::new();
        screen.title(
            "Harpocrates",
            "sharing medical images through a cloud that cannot tell whose they are",
        );
        screen.step("A study");
        let originals = match &options.folder {
            Some(folder) => Originals::collect(folder)?,
            None => {
                let spinner = screen.spinner("computing a CT phantom");
                let made = Originals::synthetic(&dir.join("phantom"))?;
                spinner.finish_and_clear();
                made
            }
        };
        screen.note(&format!(
            "{} instances of {}, {}{}",
            originals.instances.len(),
            count(originals.studies().len(), "study", "studies"),
            megabytes(originals.bytes()),
            if options.folder.is_none() {
                ", a synthetic CT phantom"
            } else {
                ""
            },
        ));
        for skipped in &originals.skipped {
            screen.note(&format!("skipped {}: {}", skipped.file, skipped.reason));
        }
        let layout = layout(options.stack_mib, &originals)?;
        let rule = rule(&layout, &originals);
        screen.step(
            "A network of five, each a process of its own on loopback, mutual TLS 1.3 in between",
        );
        let spinner = screen.spinner("enrolling and starting");
        let network = Network::start(dir, layout, rule).await?;
        spinner.finish_and_clear();
        screen.note(&format!("trust      https://{}", network.trust));
        screen.note(&format!("cloud      https://{}", network.cloud));
        screen.note(&format!("relay      https://{}", network.relay));
        for hospital in [&network.producer, &network.consumer] {
            screen.note(&format!(
                "{:10} {} DICOM {}, DICOMweb http://{}/dicom-web",
                if hospital.dicom == network.producer.dicom {
                    "producer"
                } else {
                    "consumer"
                },
                hospital.name,
                hospital.dicom,
                hospital.web
            ));
        }
        Ok(Self {
            dir: dir.to_owned(),
            screen,
            network,
            originals,
            layout,
            rule,
            reading: (Timestamp(0), Timestamp(0)),
            report: Report::default(),
        })
    }

    async fn tell(&mut self) -> Result<()> {
        let begun = begin();
        self.send().await?;
        self.wait_for_deposits().await?;
        self.report.outsource_seconds = begun.elapsed().as_secs_f64();
        let from_cache = self.consult_from_cache().await?;
        self.seal().await?;
        let from_cloud = self.consult_from_cloud().await?;
        self.placed_anew().await?;
        let marked = self.tell_of_marks(&self.dir.join("marks")).await?;
        self.rounds_go_on().await?;
        self.verdict(from_cache && from_cloud, marked)
    }

    async fn send(&mut self) -> Result<()> {
        let name = self.network.producer.name;
        self.screen
            .step(&format!("Outsourcing: C-STORE to the gateway of {name}"));
        let files: Vec<PathBuf> = self
            .originals
            .instances
            .iter()
            .map(|i| i.path.clone())
            .collect();
        let bar = self.screen.bar(files.len() as u64, "sending", false);
        let peer = scu::Peer {
            address: self.network.producer.dicom,
            calling_ae_title: "DEMO-CT".into(),
            called_ae_title: "HARPO".into(),
            timeout: Duration::from_secs(30),
        };
        let results = scu::send(&peer, &files, |_| bar.inc(1)).await?;
        bar.finish_and_clear();
        for sent in &results {
            if let Err(error) = &sent.result {
                self.screen.note(&format!(
                    "skipped {}: {error}",
                    self.originals.name(&sent.path)
                ));
                self.originals.refuse(&sent.path, &error.to_string());
            }
        }
        self.report.instances_sent = self.originals.instances.len();
        self.report.study_bytes = self.originals.bytes();
        self.report.skipped.clone_from(&self.originals.skipped);
        if self.originals.instances.is_empty() {
            bail!("the gateway stored none of the instances");
        }
        self.screen.good(&format!(
            "{} instances acknowledged, durable in the spool",
            self.report.instances_sent
        ));
        Ok(())
    }

    async fn wait_for_deposits(&mut self) -> Result<()> {
        let visitor = Visitor::new(&self.network.producer)?;
        let spinner = self.screen.spinner("sealing and depositing");
        let wanted = self.originals.studies().len() as u64;
        let begun = begin();
        let status = loop {
            self.network.check()?;
            let status: Status = visitor.status().await?;
            if status.refused_bundles > 0 {
                bail!(
                    "trust refused {} bundles; see {}",
                    status.refused_bundles,
                    self.network.producer.dir.join("log.txt").display()
                );
            }
            if status.deposited_bundles >= wanted && status.waiting_instances == 0 {
                break status;
            }
            stuck(begun, "depositing")?;
            pause().await;
        };
        spinner.finish_and_clear();
        self.screen.good(&format!(
            "{} sealed, signed, deposited; trust's signed receipts kept",
            count(status.deposited_bundles as usize, "bundle", "bundles")
        ));
        let saw = watch::saw(&self.network.cloud_dir)?;
        self.screen.columns(
            &[
                format!(
                    "{}: {} instances of {} left the PACS",
                    self.network.producer.name,
                    self.report.instances_sent,
                    count(wanted as usize, "study", "studies")
                ),
                "trust: sealed fragments, a manifest and a signature; no pixels".into(),
            ],
            &[watch::describe(&saw)],
        );
        Ok(())
    }

    async fn consult_from_cache(&mut self) -> Result<bool> {
        let name = self.network.consumer.name;
        self.screen.step(&format!(
            "Consultation at {name}, minutes later: cache first"
        ));
        let before = watch::saw(&self.network.cloud_dir)?;
        let (right, seconds) = self.consult().await?;
        self.report.cache_consult_seconds = seconds;
        let after = watch::saw(&self.network.cloud_dir)?;
        self.report.cloud_saw_before_sealing.clone_from(&after);
        let exact = right == self.originals.instances.len();
        self.judge(exact, right, seconds, "from trust's upload cache");
        self.screen.columns(
            &[format!(
                "{name}: the whole study, verified, in {seconds:.1} s"
            )],
            &[watch::describe(&after)],
        );
        if before != after {
            self.screen
                .bad("the cloud saw something while it should have seen nothing");
        }
        Ok(exact && before == after)
    }

    async fn seal(&mut self) -> Result<()> {
        self.screen
            .step("The generation is padded with cover, shuffled, sealed and encoded");
        let slots = u64::from(self.layout.slots);
        Harpo::new()?
            .run(&["trust", "seal", "--dir", text(&self.network.trust_dir)?])
            .await?;
        let bar = self.screen.bar(slots, "slots to the cloud", false);
        let begun = begin();
        loop {
            self.network.check()?;
            let saw = watch::saw(&self.network.cloud_dir)?;
            let written = saw.get("write").copied().unwrap_or(0);
            bar.set_position(written.min(slots));
            if written >= slots {
                bar.set_message("encoding, computing the hint");
            }
            if saw.contains_key("seal")
                && Visitor::new(&self.network.consumer)?
                    .status()
                    .await?
                    .stack_generations
                    > 0
            {
                break;
            }
            stuck(begun, "sealing")?;
            pause().await;
        }
        bar.finish_and_clear();
        let size = slots * u64::from(self.layout.slot_bytes());
        self.screen.good(&format!(
            "{slots} slots of {} sealed: the anonymity set of every retrieval",
            megabytes(u64::from(self.layout.slot_bytes()))
        ));
        self.screen.columns(
            &[
                "trust: which cells are whose; which slots are cover".into(),
                "both gateways: the same hints, fetched once".into(),
            ],
            &[
                format!(
                    "{slots} writes of {} random bytes each, in random order ({})",
                    self.layout.slot_bytes(),
                    megabytes(size)
                ),
                watch::describe(&watch::saw(&self.network.cloud_dir)?),
            ],
        );
        Ok(())
    }

    async fn consult_from_cloud(&mut self) -> Result<bool> {
        let name = self.network.consumer.name;
        self.screen.step(&format!(
            "Consultation at {name}, weeks later: obliviously from the cloud"
        ));
        let dir = text(&self.network.consumer.dir)?;
        Harpo::new()?
            .run(&["gateway", "cache", "clear", "--dir", dir])
            .await?;
        let clock = Clock::system();
        let begun = clock.now();
        let (right, seconds) = self.consult().await?;
        self.reading = (begun, clock.now());
        self.report.consult_seconds = seconds;
        self.report.instances_received = right;
        let visitor = Visitor::new(&self.network.consumer)?;
        self.account(&visitor).await?;
        let exact = right == self.originals.instances.len();
        self.judge(exact, right, seconds, "from the cloud");
        let report = &self.report;
        let saw = watch::saw(&self.network.cloud_dir)?;
        self.screen.columns(
            &[
                format!("{name}: {right} instances in {seconds:.1} s, with the network's rounds"),
                "each verified: signature, digests, position, mark".into(),
                format!(
                    "sealed, its bundles are {:.1} times smaller than its files",
                    report.bundle_ratio
                ),
            ],
            &[report.shown(), watch::describe(&saw)],
        );
        self.report.cloud_saw = saw;
        Ok(exact)
    }

    /// Fetches every study at the consumer and compares; how many instances are right, and the time.
    async fn consult(&mut self) -> Result<(usize, f64)> {
        let visitor = Visitor::new(&self.network.consumer)?;
        let bar = self.screen.bar(self.report.study_bytes, "asking", true);
        let mut right = 0;
        let mut seconds = 0.0;
        let mut delivered = 0;
        for study in self.originals.studies() {
            let begun = begin();
            let received =
                follow::study(&visitor, &study, &bar, self.report.study_bytes, delivered).await?;
            seconds += begun.elapsed().as_secs_f64();
            delivered = bar.position();
            let (good, wrong) = self.originals.compare(&study, &received);
            right += good;
            for complaint in wrong.iter().take(5) {
                self.screen.bad(complaint);
            }
        }
        bar.finish_and_clear();
        Ok((right, seconds))
    }

    /// Adds up what the consumer's gateway noted of its fetches from the cloud.
    async fn account(&mut self, visitor: &Visitor) -> Result<()> {
        let fetches = visitor.fetches().await?;
        let fetches: Vec<&FetchRow> = fetches
            .iter()
            .filter(|f| f.source == "stack" && f.outcome == "opened")
            .collect();
        let report = &mut self.report;
        for fetch in &fetches {
            report.fragments += fetch.fragments;
            let engine = fetch.engine.clone().unwrap_or_default();
            *report.engines.entry(engine).or_default() += 1;
            report.queries += fetch.queries;
            report.stack_bytes = fetch.stack_bytes;
            report.hint_bytes = fetch.hint_bytes;
        }
        report.sealed_bytes = report.fragments * u64::from(self.layout.cell_bytes);
        report.bundle_ratio = report.study_bytes as f64 / report.sealed_bytes.max(1) as f64;
        report.rounds.seconds = self.rule.seconds;
        report.rounds.queries = self.rule.queries;
        Ok(())
    }

    fn judge(&self, exact: bool, right: usize, seconds: f64, from: &str) {
        let of = self.originals.instances.len();
        match exact {
            true => self.screen.good(&format!(
                "{right} of {of} instances byte for byte {from} in {seconds:.1} s"
            )),
            false => self.screen.bad(&format!(
                "only {right} of {of} instances byte for byte {from}"
            )),
        }
    }

    fn verdict(&mut self, exact: bool, marked: bool) -> Result<()> {
        self.report.bit_exact = exact;
        self.screen.step("Verdict");
        if !exact || !marked {
            bail!("not everything was right; see above");
        }
        self.report.retrieval.check()?;
        self.report.rounds.check()?;
        rounds::check(&self.report.laboratory)?;
        self.screen
            .good("every instance came back byte for byte, twice");
        let retrieval = &self.report.retrieval;
        let largest = retrieval
            .difference_up
            .max(retrieval.difference_down)
            .max(retrieval.difference_hint);
        self.screen.good(&format!(
            "bytes on the wire are those of the documentation's formulas within {:.2} %",
            largest * 100.0
        ));
        let rounds = &self.report.rounds;
        self.screen.good(&format!(
            "{} retrievals while somebody read and {} while nobody did have one shape, one of each gateway in a round",
            rounds.while_reading,
            rounds.idle()
        ));
        self.laboratory_says();
        self.screen
            .good("the cloud knows that somebody wrote, and not even that somebody read; it knows no gateway, only the relay");
        Ok(())
    }

    fn keep(&mut self) {
        self.screen.step("Everything stays running until Ctrl-C");
        for hospital in [&self.network.producer, &self.network.consumer] {
            let Hospital {
                name,
                dicom,
                web,
                user,
                token,
                ..
            } = hospital;
            self.screen.note(&format!("{name}: http://{web}/ (user {user}, token {token}); C-STORE {dicom}, called AE title HARPO"));
        }
        self.screen.note(&format!(
            "the cloud's log: {}",
            watch::log_path(&self.network.cloud_dir).display()
        ));
    }
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the demo times itself for people to read"
)]
fn begin() -> Instant {
    Instant::now()
}

fn stuck(begun: Instant, stage: &str) -> Result<()> {
    if begun.elapsed() > STUCK {
        bail!("{stage} took longer than {STUCK:?}");
    }
    Ok(())
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}
