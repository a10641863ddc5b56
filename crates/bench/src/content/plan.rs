//! What one run does: where images come from, how many of them, how often.

use std::path::PathBuf;

use clap::Args;

/// Options of the content benchmark.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Folders of DICOM files [default: pydicom's test files if they are installed, and synthetic images]
    #[arg(value_name = "FOLDER")]
    pub(crate) folders: Vec<PathBuf>,
    /// Few images and few rounds: within two minutes
    #[arg(long)]
    pub(crate) quick: bool,
    /// Write all figures to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Draw the figures into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) svg: Option<PathBuf>,
}

/// A run in figures.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) folders: Vec<PathBuf>,
    pub(crate) quick: bool,
    /// Most bytes of files that are held of one modality; of more, an evenly spread choice is taken.
    pub(crate) modality_bytes: u64,
    /// Synthetic images of each modality.
    pub(crate) synthetic: usize,
    /// Times that speed is taken; the middle one counts.
    pub(crate) rounds: usize,
    /// Times that bundles are sealed and opened; the middle one counts.
    pub(crate) seal_rounds: usize,
    /// Images of each modality that codecs are compared on.
    pub(crate) codec_images: usize,
    /// Most samples of a colour of those images, each and together: what is larger is cut to its centre.
    pub(crate) codec_samples: usize,
    /// Times that each codec runs on each image.
    pub(crate) codec_rounds: usize,
    /// Images of each modality that rate and distortion are measured on.
    pub(crate) distortion_images: usize,
    /// Most samples of a plane that rate and distortion are measured on: larger ones are cut to their centre.
    pub(crate) distortion_samples: usize,
    /// Marked images of each modality that are altered.
    pub(crate) altered_images: usize,
    /// Alterations of each kind of each of those images.
    pub(crate) alterations: usize,
    /// Exports that are attacked, of each attack.
    pub(crate) trials: usize,
    /// Slices of the study that is exported.
    pub(crate) slices: usize,
    /// Innocent codewords that are scored against each kind of evidence.
    pub(crate) innocents: usize,
}

impl Plan {
    /// Completes the options.
    pub(crate) fn new(options: &Options) -> Self {
        let quick = options.quick;
        Plan {
            folders: options.folders.clone(),
            quick,
            modality_bytes: if quick { 8 << 20 } else { 64 << 20 },
            synthetic: if quick { 2 } else { 6 },
            rounds: if quick { 3 } else { 7 },
            seal_rounds: if quick { 1 } else { 3 },
            codec_images: if quick { 3 } else { 12 },
            codec_samples: if quick { 1 << 18 } else { 4 << 20 },
            codec_rounds: if quick { 2 } else { 5 },
            distortion_images: if quick { 1 } else { 6 },
            distortion_samples: if quick { 384 * 384 } else { 1 << 20 },
            altered_images: if quick { 2 } else { 8 },
            alterations: if quick { 4 } else { 12 },
            trials: if quick { 4 } else { 20 },
            slices: if quick { 4 } else { 8 },
            innocents: if quick { 100_000 } else { 1_000_000 },
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn quick_is_less_of_everything() {
        let plan = |line: &[&str]| Plan::new(&Line::parse_from(line).options);
        let (whole, quick) = (plan(&["bench", "a", "b"]), plan(&["bench", "--quick"]));
        assert_eq!((whole.folders.len(), quick.folders.len()), (2, 0));
        assert!(quick.quick && !whole.quick);
        assert!(quick.modality_bytes < whole.modality_bytes && quick.trials < whole.trials);
        assert_eq!(whole.innocents, 1_000_000);
    }
}
