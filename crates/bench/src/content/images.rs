//! The images that everything is measured on: of folders of DICOM files, and synthetic ones.

mod part10;
mod read;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use harpo_gateway::content::picture::Picture;
use harpo_watermark::Plane;
use serde::Serialize;

/// What took an image, as far as pixels differ by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub(crate) enum Modality {
    /// Computed tomography.
    #[serde(rename = "CT")]
    Ct,
    /// Magnetic resonance.
    #[serde(rename = "MR")]
    Mr,
    /// Ultrasound.
    #[serde(rename = "US")]
    Us,
    /// Projection radiography: CR, DX, RG, MG, XA, RF, PX, IO.
    #[serde(rename = "CR/DX")]
    Radiograph,
    /// Everything else, such as colour photographs and secondary captures.
    #[serde(rename = "other")]
    Other,
}

impl Modality {
    pub(crate) const ALL: [Modality; 5] = [
        Modality::Ct,
        Modality::Mr,
        Modality::Us,
        Modality::Radiograph,
        Modality::Other,
    ];

    /// As it stands in tables and in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Modality::Ct => "CT",
            Modality::Mr => "MR",
            Modality::Us => "US",
            Modality::Radiograph => "CR/DX",
            Modality::Other => "other",
        }
    }

    /// Of DICOM's Modality (0008,0060).
    pub(crate) fn of(code: &str) -> Self {
        match code.trim() {
            "CT" => Modality::Ct,
            "MR" => Modality::Mr,
            "US" | "IVUS" => Modality::Us,
            "CR" | "DX" | "RG" | "MG" | "XA" | "RF" | "PX" | "IO" => Modality::Radiograph,
            _ => Modality::Other,
        }
    }
}

/// A DICOM file in memory.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) modality: Modality,
    pub(crate) synthetic: bool,
    pub(crate) bytes: Vec<u8>,
    /// Where its pixels are, if they are native.
    pub(crate) picture: Option<Picture>,
}

/// One frame with native pixel data, no side less than 64.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// The file's name, or what made it.
    pub(crate) name: String,
    pub(crate) modality: Modality,
    /// Whether it was made here; synthetic and real images never share a row.
    pub(crate) synthetic: bool,
    /// One plane, or three of one size. Signed samples are in offset binary.
    pub(crate) planes: Vec<Plane>,
    /// Centre and width of the window that the file asks for, in rescaled values.
    pub(crate) window: Option<(f64, f64)>,
    /// Slope and intercept of rescaled values, of samples as they are stored.
    pub(crate) rescale: (f64, f64),
    pub(crate) signed: bool,
}

/// All files and images of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Images {
    files: Vec<File>,
    images: Vec<Image>,
    pub(crate) refused: usize,
    pub(crate) left_out: usize,
}

impl Images {
    /// Those of folders, and those that were made here.
    ///
    /// # Errors
    /// If a folder cannot be read, or there is nothing at all.
    pub(crate) fn read(
        folders: &[PathBuf],
        modality_bytes: u64,
        made: Vec<(Modality, Vec<Plane>)>,
    ) -> Result<Self> {
        let mut found = read::folders(folders, modality_bytes)?;
        for (number, (modality, planes)) in made.into_iter().enumerate() {
            if let Some(bytes) = part10::file(modality, number, &planes) {
                found.files.push(File {
                    name: format!("synthetic {} {number}", modality.name()),
                    modality,
                    synthetic: true,
                    picture: Picture::find(&bytes).ok(),
                    bytes,
                });
            }
        }
        ensure!(
            !found.files.is_empty(),
            "no DICOM files in these folders: name others, or none to measure synthetic images"
        );
        Ok(Images {
            images: found.files.iter().flat_map(read::images).collect(),
            files: found.files,
            refused: found.refused,
            left_out: found.left_out,
        })
    }

    /// Files of one kind, of every transfer syntax.
    pub(crate) fn files_of(&self, modality: Modality, synthetic: bool) -> Vec<&File> {
        let files = self.files.iter();
        files
            .filter(|file| (file.modality, file.synthetic) == (modality, synthetic))
            .collect()
    }

    /// Images of one kind, which may be none.
    pub(crate) fn group(&self, modality: Modality, synthetic: bool) -> Group<'_> {
        let images = self.images.iter();
        Group {
            modality,
            synthetic,
            images: images
                .filter(|image| (image.modality, image.synthetic) == (modality, synthetic))
                .collect(),
        }
    }

    /// Every modality that has files, real ones first.
    pub(crate) fn kinds(&self) -> Vec<(Modality, bool)> {
        let all = Modality::ALL.into_iter();
        all.flat_map(|modality| [(modality, false), (modality, true)])
            .filter(|(modality, synthetic)| !self.files_of(*modality, *synthetic).is_empty())
            .collect()
    }

    /// The groups that rows are made of: each modality, real images first, if there are any.
    pub(crate) fn groups(&self) -> Vec<Group<'_>> {
        self.kinds()
            .into_iter()
            .map(|(modality, synthetic)| self.group(modality, synthetic))
            .filter(|group| !group.images.is_empty())
            .collect()
    }
}

/// Images of one modality, all real or all synthetic.
#[derive(Debug, Clone)]
pub(crate) struct Group<'a> {
    pub(crate) modality: Modality,
    pub(crate) synthetic: bool,
    pub(crate) images: Vec<&'a Image>,
}

impl<'a> Group<'a> {
    /// As tables and charts call the group. In JSON a row has `modality` (its name alone) and `synthetic`.
    pub(crate) fn label(&self) -> String {
        label(self.modality, self.synthetic)
    }

    /// At most `wanted` images, evenly spread over the group.
    pub(crate) fn pick(&self, wanted: usize) -> Vec<&'a Image> {
        let count = self.images.len();
        let wanted = wanted.min(count);
        (0..wanted)
            .map(|i| self.images[(2 * i + 1) * count / (2 * wanted)])
            .collect()
    }
}

/// A modality's name, with a word if its images are synthetic.
pub(crate) fn label(modality: Modality, synthetic: bool) -> String {
    let name = modality.name();
    if synthetic {
        format!("{name} (synthetic)")
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests;
