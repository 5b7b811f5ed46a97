//! What `data import` and `adapt` have in common: people's annotations of videos to training pictures.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::Device;
use clap::Args;
use glob::Pattern;
use indicatif::{ProgressBar, ProgressStyle};

use super::Failure;
use super::exit;
use super::signals::Signals;
use crate::adapt::import::Rate;
use crate::adapt::source::SourceKind;
use crate::adapt::{self, Import, ImportProgress, ImportSettings, LeftOut, SignerChoice, left_out};
use crate::agree::Vocabulary;
use crate::annotator::Annotator;
use crate::model::registry;
use crate::timeline::MeasureGroup;

/// How annotations become pictures.
#[derive(Debug, Clone, Args)]
pub(super) struct AnnotationsArguments {
    /// Annotations: the tiers that are meant; * stands for anything
    #[arg(long, value_name = "PATTERN", default_value = "expression@*")]
    tier: String,
    /// Annotations: what the corpus's words mean, a .toml (class = ["word", ...]) or .csv (word,class); everyday words of
    /// English and German are known
    #[arg(long, visible_alias = "map", value_name = "FILE")]
    vocabulary: Option<PathBuf>,
    /// Annotations: the folder of their videos, where these are not where the files say
    #[arg(long, value_name = "FOLDER")]
    media: Option<PathBuf>,
    /// Annotations: time between pictures of one of them, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = Rate::default().every_s, id = "pictures_every")]
    every: f64,
    /// Annotations: pictures of one of them, at most
    #[arg(long, value_name = "N", default_value_t = Rate::default().most as u32, value_parser = clap::value_parser!(u32).range(1..))]
    most: u32,
    /// Annotations: time about their edges from which nothing is taken, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = Rate::default().edge_s)]
    edge: f64,
    /// Annotations: whose face is meant: a signer as in expression@A, or largest; else the tier's name after @ says, or the only
    /// face that is seen
    #[arg(long, value_name = "NAME|largest")]
    signer: Option<SignerChoice>,
}

/// Entries that are named; all of them stand in the list.
const NAMED: usize = 10;

impl AnnotationsArguments {
    fn settings(&self, model: &Path) -> Result<ImportSettings, Failure> {
        let tiers = Pattern::new(&self.tier).map_err(|e| Failure::Usage(format!("--tier {}: {e}", self.tier)))?;
        if !(self.every > 0.0 && self.every.is_finite() && self.edge >= 0.0 && self.edge.is_finite()) {
            return Err(Failure::Usage("--every is a time above 0, --edge one of 0 or more".into()));
        }
        let vocabulary = self.vocabulary.as_deref().map(Vocabulary::read).transpose()?.unwrap_or_default();
        let rule = registry::open(model, &Device::Cpu)?.config().crop;
        let rate = Rate { every_s: self.every, most: self.most as usize, edge_s: self.edge };
        Ok(ImportSettings { tiers, vocabulary, media: self.media.clone(), rate, signer: self.signer.clone(), rule })
    }
}

/// Takes the annotations of `kinds` in `sources` and cuts pictures of them into `folder`.
pub(super) fn import(
    arguments: &AnnotationsArguments,
    sources: &[PathBuf],
    kinds: &[SourceKind],
    model: &Path,
    folder: &Path,
) -> Result<Import, Failure> {
    let settings = arguments.settings(model)?;
    let signals = Signals::listen()?;
    let mut annotator = Annotator::with_model(registry::open(model, &Device::Cpu)?);
    // Of what faces do, only the lean of the head is wanted, with which crops turn.
    annotator.settings.measures = vec![MeasureGroup::Head];
    annotator.execution.interrupt = Arc::clone(&signals.interrupt);
    let mut bar = ImportBar::new();
    let import = adapt::import(sources, kinds, &settings, &annotator, folder, &mut bar);
    bar.bar.finish_and_clear();
    import.map_err(|error| Failure::from(error).by(signals.received()))
}

/// Says what was left out, and lists it at `list`.
pub(super) fn print_left_out(import: &Import, list: &Path) -> Result<(), Failure> {
    if import.left_out.is_empty() {
        // A list of an earlier run would no longer be true.
        let _ = std::fs::remove_file(list);
        return Ok(());
    }
    left_out::write(list, &import.left_out, exit::advice_on_left_out)?;
    for (count, why) in left_out::counts(&import.left_out) {
        talk!("left out: {count} {why}");
    }
    let words = left_out::words(&import.left_out);
    if !words.is_empty() {
        let named: Vec<String> = words.iter().take(NAMED).map(|(count, word)| format!("'{word}' ({count})")).collect();
        talk!("words that stand for no class: {} (--vocabulary maps them)", named.join(", "));
    }
    let named = import.left_out.iter().filter(|entry| entry.reason != adapt::Reason::Word);
    named.take(NAMED).for_each(|entry| talk!("  {}", advised(entry)));
    talk!("all of it is listed in {}", list.display());
    Ok(())
}

/// Why there is no picture at all.
pub(super) fn nothing(import: &Import) -> Failure {
    let first = import.left_out.iter().find(|entry| entry.reason.is_partial()).or(import.left_out.first());
    Failure::Input(first.map_or_else(|| "the annotations are empty".to_owned(), advised))
}

/// What was left out and why, and what a person can do about it.
fn advised(entry: &LeftOut) -> String {
    format!("{entry}{}", exit::advice_on_left_out(&entry.reason))
}

/// Whether files that were asked for could not be looked at.
pub(super) fn partial(import: &Import, list: &Path) -> Result<(), Failure> {
    let files: Vec<&LeftOut> = import.left_out.iter().filter(|entry| entry.reason.is_partial()).collect();
    match files.first() {
        None => Ok(()),
        Some(first) => {
            let count = files.len();
            Err(Failure::Partial(format!("{first}; {count} file(s) in all gave nothing ({})", list.display())))
        }
    }
}

/// How far the videos are.
struct ImportBar {
    bar: ProgressBar,
    is_terminal: bool,
    name: String,
}

impl ImportBar {
    fn new() -> Self {
        let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} frames {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let is_terminal = std::io::stderr().is_terminal();
        let bar = if is_terminal { ProgressBar::no_length().with_style(style) } else { ProgressBar::hidden() };
        Self { bar, is_terminal, name: String::new() }
    }
}

impl ImportProgress for ImportBar {
    fn video(&mut self, path: &Path, number: usize, of: usize) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.name = format!("{number}/{of} {name}");
    }

    fn opened(&mut self, frames: Option<u64>) {
        if !self.is_terminal {
            talk!("{}: looking for faces", self.name);
        }
        self.bar.reset();
        self.bar.set_prefix(self.name.chars().filter(|c| !c.is_control()).collect::<String>());
        if let Some(frames) = frames {
            self.bar.set_length(frames);
        }
    }

    fn frame(&mut self) {
        self.bar.inc(1);
    }
}
