//! `annotate adapt SOURCE... --out MODEL`: a model fitted to a corpus's own annotations, with proof of what that gained.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::Failure;
use super::annotations::{self, AnnotationsArguments};
use super::choice::choice;
use super::device::DeviceChoice;
use super::signals::Signals;
use super::training::use_threads;
use crate::adapt::adapting::{AdaptProgress, AdaptSettings, Adapted, Sources, adapt};
use crate::adapt::nested::Aim;
use crate::adapt::source::SourceKind;
use crate::adapt::{Import, left_out, report};
use crate::model::registry;
use crate::train::fold::Grouping;
use crate::train::manifest::{self, Row};

/// Arguments of `annotate adapt`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What people annotated: manifests (.csv with a column 'path'), ELAN documents, corrected labels.json, TextGrids, tables of
    /// stretches, and folders of these
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<PathBuf>,
    /// Folder for the model, its card and the report; an interrupted run goes on there
    #[arg(long, value_name = "MODEL")]
    out: PathBuf,
    /// The model to start from
    #[arg(long, value_name = "NAME|DIR", default_value = registry::DEFAULT)]
    start: PathBuf,
    /// What the model is chosen for and judged by
    #[arg(long, value_parser = choice::<Aim>(), default_value = "balanced")]
    aim: Aim,
    /// What stays on one side when it is judged; signers if there are three or more, else videos
    #[arg(long, value_parser = choice::<Grouping>())]
    group: Option<Grouping>,
    /// Folds, at most
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = clap::value_parser!(u32).range(3..=20))]
    folds: u32,
    /// Time that learning may take on two cores, as in 10m, 2h or 90s; what does not fit is not tried, and named
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = time)]
    budget: f64,
    /// A manifest of pictures of the start's kind: all layers may learn from some of them as well, so that less is forgotten
    #[arg(long, value_name = "MANIFEST")]
    with: Vec<PathBuf>,
    /// Write the best way that was found although no gain is shown
    #[arg(long)]
    unproven: bool,
    /// The new model's name; that of its folder if not given
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Seed of the folds and of all that is drawn
    #[arg(long, value_name = "N", default_value_t = 2022)]
    seed: u64,
    #[command(flatten)]
    annotations: AnnotationsArguments,
    /// Where networks learn: auto, cpu or cuda[:N]
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: DeviceChoice,
    /// Worker threads; all cores if not given
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// Seconds of `10m`, `2h`, `90s`.
fn time(text: &str) -> Result<f64, String> {
    let (number, factor) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) if text.ends_with('s') => (number, 1.0),
        Some(number) if text.ends_with('m') => (number, 60.0),
        Some(number) => (number, 3600.0),
        None => (text, 60.0),
    };
    let seconds = number.trim().parse::<f64>().ok().map(|number| number * factor);
    seconds.filter(|s| *s > 0.0 && s.is_finite()).ok_or_else(|| format!("'{text}' is not like 10m, 2h or 90s"))
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    use_threads(arguments.threads)?;
    let device = arguments.device.open()?;
    registry::open(&arguments.start, &device)?;
    let (manifests, others): (Vec<&PathBuf>, Vec<&PathBuf>) =
        arguments.sources.iter().partition(|path| is_manifest(path));
    let mut rows: Vec<Row> = Vec::new();
    for path in &manifests {
        rows.extend(manifest::read(path)?);
    }
    let mut of_start: Vec<Row> = Vec::new();
    for path in &arguments.with {
        of_start.extend(manifest::read(path)?);
    }
    let mut sources = Sources {
        named: arguments.sources.iter().map(|path| path.display().to_string()).collect(),
        ..Sources::default()
    };
    let others: Vec<PathBuf> = others.into_iter().cloned().collect();
    let import = imported(arguments, &others)?;
    if let Some(import) = &import {
        rows.extend(import.rows.iter().cloned());
        sources.annotated_s = manifests.is_empty().then_some(import.annotated_s);
        let counts = left_out::counts(&import.left_out).into_iter();
        sources.left_out = counts.map(|(count, why)| (count, why.to_owned())).collect();
    }
    let rows = without_repeats(rows);
    let stem = std::path::absolute(&arguments.out).unwrap_or_else(|_| arguments.out.clone());
    let stem = stem.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let settings = AdaptSettings {
        start: arguments.start.clone(),
        aim: arguments.aim,
        grouping: arguments.group,
        folds: arguments.folds as usize,
        budget_s: arguments.budget,
        seed: arguments.seed,
        unproven: arguments.unproven,
        name: arguments.name.clone().unwrap_or(stem),
    };
    let signals = Signals::listen()?;
    let mut progress = AdaptBar::new(&signals.interrupt);
    let adapted = adapt(&rows, &of_start, sources, &settings, &arguments.out, &device, &mut progress);
    progress.bar.finish_and_clear();
    let adapted = adapted.map_err(|error| Failure::from(error).by(signals.received()))?;
    print_result(&adapted, &arguments.out);
    match &import {
        Some(import) => annotations::partial(import, &list(&arguments.out)),
        None => Ok(()),
    }
}

/// A table whose header has the columns of a manifest.
fn is_manifest(path: &Path) -> bool {
    let is_csv = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
    let header = || {
        let text = std::fs::read(path).ok()?;
        let line = text.split(|byte| *byte == b'\n').next()?.to_vec();
        String::from_utf8(line).ok()
    };
    let has = |header: &str, name: &str| {
        header.split([',', ';', '\t']).any(|cell| cell.trim_matches(['\u{feff}', '"', ' ', '\r']) == name)
    };
    is_csv && header().is_some_and(|header| has(&header, "path") && has(&header, "split"))
}

fn list(out: &Path) -> PathBuf {
    out.join("adapt/manifest.left-out.csv")
}

/// The annotations among the sources as pictures.
fn imported(arguments: &Arguments, sources: &[PathBuf]) -> Result<Option<Import>, Failure> {
    if sources.is_empty() {
        return Ok(None);
    }
    let folder = arguments.out.join("adapt/manifest.pictures");
    let import = annotations::import(&arguments.annotations, sources, &SourceKind::ALL, &arguments.start, &folder)?;
    annotations::print_left_out(&import, &list(&arguments.out))?;
    if import.rows.is_empty() {
        return Err(annotations::nothing(&import));
    }
    manifest::put(&arguments.out.join("adapt/manifest.csv"), &import.rows, crate::files::OutputOptions::state())?;
    talk!("{} pictures of {:.1} annotated minutes", import.rows.len(), import.annotated_s / 60.0);
    Ok(Some(import))
}

/// Of one picture that stands in several sources, the first row.
fn without_repeats(rows: Vec<Row>) -> Vec<Row> {
    let mut seen = std::collections::HashSet::new();
    rows.into_iter().filter(|row| seen.insert(row.image())).collect()
}

fn print_result(adapted: &Adapted, out: &Path) {
    talk!("{}", report::sentence(adapted));
    if let Some(forecast) = report::forecast(adapted) {
        talk!("{forecast}");
    }
    talk!("{}: the model; see report.html", out.display());
}

/// How far the work is.
struct AdaptBar<'a> {
    bar: ProgressBar,
    interrupt: &'a AtomicBool,
    is_terminal: bool,
    began: Instant,
    told: Instant,
    done_s: f64,
    all_s: f64,
}

/// Time between lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(20);
/// Places of the bar a second of work.
const PLACES: f64 = 100.0;

impl<'a> AdaptBar<'a> {
    fn new(interrupt: &'a AtomicBool) -> Self {
        let style = ProgressStyle::with_template("adapting {wide_bar} {percent} %  {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let is_terminal = std::io::stderr().is_terminal();
        let bar = if is_terminal { ProgressBar::no_length().with_style(style) } else { ProgressBar::hidden() };
        let now = Instant::now();
        Self { bar, interrupt, is_terminal, began: now, told: now, done_s: 0.0, all_s: 0.0 }
    }
}

impl AdaptProgress for AdaptBar<'_> {
    fn begin(&mut self, seconds: f64) {
        (self.began, self.all_s) = (Instant::now(), seconds);
        self.bar.set_length((PLACES * seconds) as u64);
        self.say(&format!("learning takes up to about {} of two cores", report::duration(seconds)));
    }

    fn advance(&mut self, seconds: f64) {
        self.done_s += seconds;
        self.bar.set_position((PLACES * self.done_s.min(self.all_s)) as u64);
        if !self.is_terminal && self.told.elapsed() >= LINE_EVERY {
            self.told = Instant::now();
            let share = (self.done_s / self.all_s).clamp(1e-6, 1.0);
            let left_s = self.began.elapsed().as_secs_f64() * (1.0 / share - 1.0);
            talk!("{:.0} % done, at most {left_s:.0} s left", 100.0 * share);
        }
    }

    fn say(&mut self, text: &str) {
        self.bar.suspend(|| talk!("{text}"));
    }

    fn is_interrupted(&self) -> bool {
        self.interrupt.load(Ordering::Relaxed)
    }
}
