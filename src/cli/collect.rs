//! `annotate collect`: parts put together.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::Failure;
use super::batch::outcome;
use super::output::{self, Outputs};
use super::shared::{TierArguments, corpus_failure};
use crate::corpus::inputs::Item;
use crate::corpus::journal::{Entry, Journal, Stamp, Terms, Written, now};
use crate::corpus::lock::Lock;
use crate::corpus::path::printable;
use crate::corpus::plan::{Line, Plan, Unit};
use crate::corpus::{CorpusError, Outcome, collect, report};
use crate::files::WriteError;
use crate::write::Format;

/// Arguments of `annotate collect`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The plan (see `annotate plan`)
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    /// Folder of the parts (see `annotate work`)
    #[arg(value_name = "PARTS")]
    parts: PathBuf,
    /// Folder for the results, which mirror the corpus: sub/a.mp4 becomes sub/a.mp4.json
    #[arg(long, value_name = "DIR")]
    output_dir: PathBuf,
    /// Formats to write
    #[arg(short, long = "format", value_name = "FORMAT", value_delimiter = ',', default_value = "json")]
    formats: Vec<Format>,
    #[command(flatten)]
    tiers: TierArguments,
    /// Say nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let output = |e: WriteError| Failure::Output(e.to_string());
    let plan = Plan::read(&arguments.plan).map_err(corpus_failure)?;
    if !arguments.parts.is_dir() {
        return Err(Failure::Input(format!("{}: there is no such folder of parts", arguments.parts.display())));
    }
    let bundle = arguments.tiers.bundle()?;
    let folder = &arguments.output_dir;
    let _lock = Lock::take(folder).map_err(corpus_failure)?;
    output::remove_leftovers(folder);
    let has_tiers = arguments.formats.contains(&Format::Eaf);
    let tiers = has_tiers.then(|| json!([arguments.tiers.tiers, arguments.tiers.gap_frames]));
    let terms = Terms {
        tool: plan.terms.tool.clone(),
        model: plan.terms.model.clone(),
        settings: json!({"annotation": plan.terms.settings, "tiers": tiers}),
        formats: arguments.formats.iter().map(|format| format.name().into()).collect(),
    };
    let videos = plan.videos();
    let journal = Journal::open(folder, &terms, videos.len()).map_err(|e| corpus_failure(CorpusError::from(e)))?;
    let mut outcomes: Vec<Outcome> = Vec::new();
    for units in videos {
        let started = Instant::now();
        let outcome = video(arguments, &plan, &units, &bundle)?;
        let stamp = Stamp::of(&units[0].path).ok();
        journal.item(&units[0].output, stamp, &outcome, started.elapsed().as_secs_f64()).map_err(output)?;
        outcomes.push(outcome);
    }
    outcomes.extend(plan.lines.iter().filter_map(|line| match line {
        Line::Refused { outcome, .. } => Some(outcome.clone()),
        _ => None,
    }));
    outcomes.extend(plan.crossvalidations().iter().map(|folds| collect::folds(folds, &arguments.parts, folder)));
    report::write(folder, &terms, &outcomes).map_err(output)?;
    let failed = outcomes.iter().filter(|outcome| outcome.code != 0).count();
    let complete = outcomes.len() - failed;
    let result = match failed {
        0 => Ok(()),
        _ => Err(Failure::SomeFailed(format!(
            "{failed} of {} videos are not complete; {}/failures.json says why",
            outcomes.len(),
            folder.display()
        ))),
    };
    let code = result.as_ref().err().map_or(0, super::exit_code);
    journal.note(&Entry::End { time: now(), code, complete, failed }).map_err(output)?;
    if !arguments.quiet {
        anstream::eprintln!("{complete} of {} videos complete -> {}/index.html", outcomes.len(), folder.display());
    }
    result
}

fn video(
    arguments: &Arguments,
    plan: &Plan,
    units: &[&Unit],
    bundle: &crate::eaf::BundleOptions,
) -> Result<Outcome, Failure> {
    let timeline = match collect::video(plan, units, &arguments.parts).map_err(corpus_failure)? {
        Ok(timeline) => timeline,
        Err(outcome) => return Ok(outcome),
    };
    let path = &units[0].path;
    let item = Item { path: path.clone(), output: units[0].output.clone() };
    let targets = match output::mirrored(&arguments.output_dir, &item, &arguments.formats) {
        Ok(targets) => targets,
        Err(reason) => return Ok(Outcome { path: path.clone(), code: 3, reason, result: None }),
    };
    let written = Outputs::open(targets, false, bundle)?.finish(&timeline)?;
    let written: Result<Vec<Written>, _> =
        written.iter().map(|path| Written::of(&arguments.output_dir, path)).collect();
    let written = written.map_err(|e| Failure::Output(format!("{}: {e}", printable(&item.output))))?;
    Ok(outcome(path, &timeline, written))
}
