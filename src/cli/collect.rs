//! `annotate collect`: parts put together.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;

use super::Failure;
use super::batch::{plain_settings, print_touched};
use super::shared::{ReplaceArguments, TierArguments};
use crate::corpus::inputs::Item;
use crate::corpus::journal::{FileStamp, Journal, JournalEntry, Terms, WrittenFile, now};
use crate::corpus::path::printable;
use crate::corpus::plan::{CorpusPlan, PlannedFile, Unit};
use crate::corpus::report::Report;
use crate::corpus::{Outcome, Verdict, batch, collect, report, results};
use crate::eaf::BundleOptions;
use crate::files::{self, Lock};
use crate::sink::{FanOut, Written};
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
    replace: ReplaceArguments,
    #[command(flatten)]
    tiers: TierArguments,
    /// Say nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let plan = CorpusPlan::read(&arguments.plan)?;
    if !arguments.parts.is_dir() {
        return Err(Failure::Input(format!("{}: there is no such folder of parts", arguments.parts.display())));
    }
    let existing = arguments.replace.existing().confined();
    let bundle = BundleOptions { existing, ..arguments.tiers.bundle()? };
    let folder = &arguments.output_dir;
    let _lock = Lock::take(folder)?;
    results::remove_leftovers(folder);
    let terms = Terms {
        tool: plan.terms.tool.clone(),
        model: plan.terms.model.clone(),
        model_config_sha256: plan.terms.model_config_sha256.clone(),
        settings: plain_settings(&plan.terms.settings, &arguments.tiers, &arguments.formats)?,
        formats: arguments.formats.iter().map(|format| format.name().into()).collect(),
    };
    let planned = plan.files();
    let journal = Journal::open(folder, &terms, planned.len(), false)?;
    let mut touched = Vec::new();
    let mut outcomes: Vec<Outcome> = Vec::new();
    let mut corpus_paths: Vec<PathBuf> = Vec::new();
    for file in planned {
        let units = match file {
            PlannedFile::Video(units) => units,
            PlannedFile::Refused(outcome) => {
                corpus_paths.push(files::public_path(&outcome.path).to_path_buf());
                outcomes.push(outcome.clone());
                continue;
            }
        };
        let started = Instant::now();
        let item = Item { path: units[0].path.clone(), output: units[0].output.clone() };
        corpus_paths.push(item.output.clone());
        let wanted = results::names(&item, &arguments.formats);
        // Where somebody has changed a result, the others are as they were collected.
        let done = journal.done(&item.output, &item.path, &wanted, false);
        if let Some(done) = done.filter(|done| !(done.touched.is_empty() || arguments.replace.overwrite)) {
            touched.extend(done.touched);
            outcomes.push(done.outcome);
            continue;
        }
        let outcome = video(arguments, &plan, &units, &item, &bundle)?;
        journal.item(&item.output, FileStamp::of(&item.path).ok(), &outcome, started.elapsed().as_secs_f64())?;
        outcomes.push(outcome);
    }
    let report =
        Report { terms: &terms, outcomes: &outcomes, corpus_paths: &corpus_paths, touched: &touched, left_out: &[] };
    let kept = report::write(folder, &report, existing)?;
    let failed = outcomes.iter().filter(|outcome| !outcome.verdict.is_complete()).count();
    let complete = outcomes.len() - failed;
    let result = match (failed, kept.into_iter().next()) {
        (0, None) => Ok(()),
        (0, Some(error)) => Err(error.into()),
        _ => Err(Failure::SomeFailed(format!(
            "{failed} of {} videos are not complete; {}/failures.json says why",
            outcomes.len(),
            folder.display()
        ))),
    };
    journal.note(&JournalEntry::End { time: now(), code: batch::ending(failed, None), complete, failed })?;
    if !arguments.quiet {
        print_touched(&touched);
        talk!("{complete} of {} videos complete -> {}/index.html", outcomes.len(), folder.display());
    }
    result
}

fn video(
    arguments: &Arguments,
    plan: &CorpusPlan,
    units: &[&Unit],
    item: &Item,
    bundle: &BundleOptions,
) -> Result<Outcome, Failure> {
    let timeline = match collect::video(plan, units, &arguments.parts)? {
        Ok(timeline) => timeline,
        Err(outcome) => return Ok(outcome),
    };
    let folder = &arguments.output_dir;
    let targets = match results::mirrored(folder, item, &arguments.formats) {
        Ok(targets) => targets,
        Err(reason) => return Ok(Outcome::failed(&item.path, Verdict::Refused, &reason)),
    };
    let Written { paths, kept } = FanOut::open_free(&targets, bundle)?.end(&timeline)?;
    let written: Result<Vec<_>, _> = paths.iter().map(|path| WrittenFile::of(folder, path)).collect();
    let written = written.map_err(|e| Failure::Output(format!("{}: {e}", printable(&item.output))))?;
    Ok(Outcome::of(&item.path, &timeline, written, &kept, folder))
}
