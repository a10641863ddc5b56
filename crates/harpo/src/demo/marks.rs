//! What the demo shows of marks: copies whose origin is proven, an alteration that is found, and an export
//! that names who took it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use harpo_gateway::content::overlay;
use harpo_gateway::content::picture::Picture;
use harpo_protocol::access::Purpose;
use serde::Serialize;
use serde_json::Value;

use super::Demo;
use super::network::{Harpo, text};
use super::visit::Visitor;

/// Most images that are copied, and that leak.
const TAKEN: usize = 12;
/// The purpose whose exports the demo's policy wants traced.
pub(crate) const TRACED: Purpose = Purpose::Hoperat;

/// The demo's policy: the built-in one and this.
pub(crate) const RULE: &str = r#"
// Teaching and quality assurance may take images away, and each copy says whose it is.
@id("operations")
@obligations("trace-export")
permit (
    principal is User,
    action in [Action::"search", Action::"retrieve"],
    resource is Bundle
)
when {
    principal.role == "physician" && context.purpose == "HOPERAT" && resource.consent != "deny"
};
"#;

/// What marks did, and what they cost.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Marks {
    /// Instances from the cloud whose reliability mark proved them, before it was taken out.
    pub authentic: u64,
    /// Instances from the cloud without one: no native pixels, no room, or the policy's wish.
    pub unmarked: u64,
    /// Marked copies that were made of some, as they may leave the platform.
    pub copies: usize,
    /// The largest change of a sample in them.
    pub largest_error: u16,
    /// Their mean peak signal to noise ratio in dB; the peak is that of the bits stored.
    pub mean_psnr_db: f64,
    /// Copies that were judged authentic.
    pub copies_authentic: usize,
    /// Copies in which one sample was changed, and those of them that were found altered in one block.
    pub planted: usize,
    /// Found ones.
    pub found: usize,
    /// The export that was traced.
    pub trace: Option<Trace>,
    /// Why none was.
    pub trace_problem: Option<String>,
}

/// Pictures of an export, as a screen shows them, traced back.
#[derive(Debug, Serialize)]
pub(crate) struct Trace {
    /// Pictures that leaked.
    pub pictures: usize,
    /// Whom they name, if anybody.
    pub user: Option<String>,
    /// Where.
    pub hospital: Option<String>,
    /// Bound on the base-10 logarithm of the probability that chance would name the same.
    pub log10_p: Option<f64>,
}

/// A file with native pixels, and what it says of them.
struct Image {
    path: PathBuf,
    bytes: Vec<u8>,
    picture: Picture,
}

impl Image {
    fn read(path: &Path) -> Option<Self> {
        Self::of(path.to_owned(), fs::read(path).ok()?)
    }

    fn of(path: PathBuf, bytes: Vec<u8>) -> Option<Self> {
        let picture = Picture::find(&bytes).ok()?;
        picture.planes(&bytes, 0)?;
        Some(Self {
            path,
            bytes,
            picture,
        })
    }
}

impl Demo {
    /// Tells the story of the marks; whether all of it was right.
    pub(super) async fn tell_of_marks(&mut self, dir: &Path) -> Result<bool> {
        self.screen.step(
            "Marks: what proves an image outside the platform, and what names who took it there",
        );
        fs::create_dir_all(dir)?;
        let visitor = Visitor::new(&self.network.consumer)?;
        for fetch in visitor.fetches().await? {
            if fetch.source == "stack" && fetch.outcome == "opened" {
                self.report.marks.authentic += fetch.authentic;
                self.report.marks.unmarked += fetch.unmarked;
            }
        }
        let marks = &self.report.marks;
        self.screen.good(&format!(
            "{} instances proved authentic by their reliability mark, which was taken out again; {} carry none",
            marks.authentic, marks.unmarked
        ));
        let images = self.some_images();
        let right = self.copies(&images, dir).await?;
        Ok(self.leak(&visitor, dir).await? && right)
    }

    /// Some of the originals that have native pixels, from all over the study.
    fn some_images(&self) -> Vec<Image> {
        let all = &self.originals.instances;
        let step = all.len().div_ceil(TAKEN).max(1);
        let some = all.iter().step_by(step);
        some.filter_map(|original| Image::read(&original.path))
            .collect()
    }

    /// Marked copies leave, one sample of each is changed, and both are judged.
    async fn copies(&mut self, images: &[Image], dir: &Path) -> Result<bool> {
        let harpo = Harpo::new()?;
        let gateway = text(&self.network.consumer.dir)?.to_owned();
        let mut psnr = 0.0;
        let marks = &mut self.report.marks;
        for (number, image) in images.iter().enumerate() {
            let out = dir.join(format!("copy-{number}"));
            let words = ["mark", "apply", text(&image.path)?];
            let to = ["--dir", &gateway, "--out", text(&out)?];
            let (code, printed) = harpo.ask(&[&words[..], &to].concat()).await?;
            if code != 0 {
                // Too small, or nothing but noise: it was sealed without a mark, too.
                continue;
            }
            let copy = PathBuf::from(printed);
            let mut bytes = fs::read(&copy)?;
            let (error, decibels) = difference(image, &bytes)?;
            marks.copies += 1;
            marks.largest_error = marks.largest_error.max(error);
            psnr += decibels;
            let (code, _) = harpo
                .ask(&["mark", "verify", text(&copy)?, "--dir", &gateway])
                .await?;
            marks.copies_authentic += usize::from(code == 0);
            let at = image.picture.offset + image.picture.frame_bytes() / 2;
            bytes[at & !1] ^= 1;
            let altered = dir.join(format!("altered-{number}.dcm"));
            fs::write(&altered, bytes)?;
            let verify = ["mark", "verify", text(&altered)?, "--dir", &gateway];
            let picture = ["--json", "--picture", text(dir)?];
            let (code, printed) = harpo.ask(&[&verify[..], &picture].concat()).await?;
            marks.planted += 1;
            let told: Value = serde_json::from_str(&printed)?;
            let blocks = told[0]["altered"][0]["blocks"].as_array();
            marks.found += usize::from(code == 1 && blocks.is_some_and(|b| b.len() == 1));
        }
        if marks.copies > 0 {
            marks.mean_psnr_db = psnr / marks.copies as f64;
            self.screen.good(&format!(
                "{} of {} marked copies are authentic; the mark changes samples by at most {}, {:.1} dB",
                marks.copies_authentic, marks.copies, marks.largest_error, marks.mean_psnr_db
            ));
            self.screen.good(&format!(
                "one sample changed in each: {} of {} found, and the block of at most 16 x 16 named",
                marks.found, marks.planted
            ));
        }
        Ok(marks.copies_authentic == marks.copies && marks.found == marks.planted)
    }

    /// An export under the policy's obligation, pictures of it, and whom they name.
    async fn leak(&mut self, visitor: &Visitor, dir: &Path) -> Result<bool> {
        let hospital = &self.network.consumer;
        for study in self.originals.studies() {
            match visitor.export(&study, TRACED).await? {
                Ok(files) => {
                    let (right, trace) = self.traced(&study, files, dir).await?;
                    self.report.marks.trace = Some(trace);
                    return Ok(right);
                }
                Err(why) => {
                    self.screen.note(&format!(
                        "an export of study {study} at {} was refused: {why}",
                        hospital.name
                    ));
                    self.report.marks.trace_problem = Some(why);
                }
            }
        }
        // Nothing that can be traced left: that is right, too.
        Ok(true)
    }

    async fn traced(&self, study: &str, files: Vec<Vec<u8>>, dir: &Path) -> Result<(bool, Trace)> {
        let hospital = &self.network.consumer;
        let leaked: Vec<Image> = files
            .into_iter()
            .filter_map(|bytes| Image::of(PathBuf::new(), bytes))
            .collect();
        let mut words = vec!["mark".to_owned(), "trace".to_owned()];
        let step = leaked.len().div_ceil(TAKEN).max(1);
        for (number, image) in leaked.iter().step_by(step).enumerate() {
            let planes = image.picture.planes(&image.bytes, 0).context("no planes")?;
            let shown = overlay::png(&overlay::shown(&image.picture, &planes))?;
            let file = dir.join(format!("leaked-{number}.png"));
            fs::write(&file, shown)?;
            words.push(text(&file)?.to_owned());
        }
        let pictures = words.len() - 2;
        let gateway = text(&hospital.dir)?;
        words.extend(["--json", "--study", study, "--dir", gateway].map(str::to_owned));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut trace = Trace {
            pictures,
            user: None,
            hospital: None,
            log10_p: None,
        };
        if pictures == 0 {
            self.screen
                .note("the export holds no images that were marked");
            return Ok((true, trace));
        }
        let (code, printed) = Harpo::new()?.ask(&words).await?;
        if code == 2 {
            bail!("tracing failed: {printed}");
        }
        let told: Value = serde_json::from_str(&printed)?;
        let accused = &told["accused"][0];
        let word = |value: &Value| value.as_str().map(str::to_owned);
        trace.user = word(&accused["user"]);
        trace.hospital = word(&accused["hospital"]);
        trace.log10_p = accused["log10_p"].as_f64();
        let right = match &trace.user {
            Some(user) => user == hospital.user,
            // Little was shown; then nobody is named.
            None => true,
        };
        match (&trace.user, trace.log10_p) {
            (Some(user), Some(p)) if right => self.screen.good(&format!(
                "{user} at {} exported the study for {TRACED}; {pictures} PNGs of it name {user}, by chance with \
                 a probability of at most 10^{p:.0}",
                hospital.name
            )),
            (Some(user), _) => self.screen.bad(&format!("an export was traced to {user}")),
            (None, _) => self
                .screen
                .note("the export shows too little to name anybody, and nobody is named"),
        }
        Ok((right, trace))
    }
}

/// The largest difference of samples of the first frames, and the peak signal to noise ratio in dB.
fn difference(original: &Image, copy: &[u8]) -> Result<(u16, f64)> {
    let before = original.picture.planes(&original.bytes, 0);
    let after = Picture::find(copy)?.planes(copy, 0);
    let (before, after) = before.zip(after).context("a copy has other pixels")?;
    let (mut largest, mut squares, mut count) = (0, 0u64, 0u64);
    for (before, after) in before.iter().zip(&after) {
        for (a, b) in before.samples().iter().zip(after.samples()) {
            let error = a.abs_diff(*b);
            largest = largest.max(error);
            squares += u64::from(error) * u64::from(error);
            count += 1;
        }
    }
    let peak = before.first().map_or(0.0, |plane| f64::from(plane.max()));
    let mse = (squares as f64 / count as f64).max(1e-12);
    Ok((largest, 10.0 * (peak * peak / mse).log10()))
}
