//! `annotate convert LABELS.json -o FILE...`: any other format from a timeline, without decoding the video again.

use std::path::PathBuf;

use clap::Args;

use super::output;
use super::shared::{self, MeasureGroups, ReplaceArguments, TierArguments};
use super::{Failure, printable_list};
use crate::eaf::BundleOptions;
use crate::sink::{FanOut, Written};
use crate::timeline::Timeline;
use crate::write::Format;

/// Arguments of `annotate convert`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The annotation, corrected or not
    #[arg(value_name = "LABELS.json")]
    labels: PathBuf,
    /// File to write, its format by its extension ('-' for standard output); may be repeated
    #[arg(
        short,
        long = "output",
        value_name = "FILE",
        allow_hyphen_values = true,
        required_unless_present = "formats"
    )]
    outputs: Vec<PathBuf>,
    /// Formats to write into the output folder, named after the annotation
    #[arg(short, long = "format", value_name = "FORMAT", value_delimiter = ',')]
    formats: Vec<Format>,
    /// Folder for -f; the current one if not given
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
    #[command(flatten)]
    replace: ReplaceArguments,
    #[command(flatten)]
    tiers: TierArguments,
    /// Add the .eaf's tiers to the content of this one, which stays as it is unless -o names it too
    #[arg(long, value_name = "EXISTING.eaf")]
    merge_into: Option<PathBuf>,
    /// What of the measured faces goes into the files: all, none, or some of head, brows, eyes, mouth, hands
    #[arg(long, value_name = "all|none|LIST", value_parser = shared::measures)]
    measures: Option<MeasureGroups>,
    /// Say nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { labels, outputs, formats, merge_into, .. } = arguments;
    let inputs = [labels.clone(), PathBuf::from(&arguments.tiers.tiers)];
    let folder = arguments.output_dir.as_deref();
    let targets = output::plan(&inputs[..1], &inputs, outputs, formats, folder)?.concat();
    let mut timeline = Timeline::read(labels)?;
    if let Some(groups) = &arguments.measures {
        timeline.keep_groups(&groups.0);
    }
    // What is made from corrected labels holds a person's decisions: no later run takes it for the program's own.
    let existing = arguments.replace.existing().holds_hand_work(timeline.is_corrected());
    let elan = BundleOptions { existing, merge_into: merge_into.clone(), ..arguments.tiers.bundle()? };
    if merge_into.is_some() && targets.iter().all(|target| target.format != Format::Eaf) {
        return Err(Failure::Usage("--merge-into is for an .eaf file; give one with -o".into()));
    }
    let Written { paths: written, mut kept } = FanOut::open_at_end(&targets, &elan)?.end(&timeline)?;
    if !arguments.quiet && !written.is_empty() {
        talk!("{} -> {}", labels.display(), printable_list(&written));
    }
    match kept.pop() {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}
