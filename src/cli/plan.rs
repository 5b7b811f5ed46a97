//! `annotate plan`: a corpus as units of work.

use std::path::PathBuf;

use candle_core::Device;
use clap::Args;

use super::Failure;
use super::exit::advice_on_decoding;
use super::limits::limit_memory;
use super::progress::CorpusProgress;
use super::shared::{self, AnnotationArguments, ExecutionArguments, ReplaceArguments};
use super::signals::StopSignals;
use crate::corpus::inputs;
use crate::corpus::plan::{CorpusPlan, PlanLine, PlanTerms, SCHEMA};
use crate::files;
use crate::platform::cores;
use crate::timeline::Tool;

/// Refused files whose reason is said; all of them stand in the plan.
const REFUSED_SAID: usize = 10;

/// Arguments of `annotate plan`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Folders (with all below them), patterns, lists of names (.txt, .lst, .list; '-' for standard input) and videos
    #[arg(required = true, value_name = "CORPUS")]
    inputs: Vec<PathBuf>,
    /// Length of the ranges that long videos are cut into: 5min, 90s, 1h; rounded to whole spans of the tracker
    #[arg(long, value_name = "TIME", default_value = "5min", value_parser = duration)]
    segment: f64,
    /// File to write; standard output if not given
    #[arg(short, long, value_name = "FILE", default_value = "-", hide_default_value = true)]
    output: PathBuf,
    /// Videos looked at at a time; one a core if not given
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    #[command(flatten)]
    replace: ReplaceArguments,
    #[command(flatten)]
    annotation: AnnotationArguments,
    #[command(flatten)]
    execution: ExecutionArguments,
}

/// Seconds, or a number with ms, s, min or h behind it.
fn duration(text: &str) -> Result<f64, String> {
    let fault = || format!("'{text}' is no length of time such as 5min, 90s or 1h");
    let unit = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let seconds = match unit {
        "" | "s" => 1.0,
        "ms" => 1e-3,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(fault()),
    };
    let number: f64 = number.trim().parse().map_err(|_| fault())?;
    if number > 0.0 && number.is_finite() { Ok(number * seconds) } else { Err(fault()) }
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    arguments.execution.init_logging();
    let mut options = shared::options(Some(&arguments.annotation), Some(&arguments.execution), Default::default())?;
    if options.annotation.start_s.is_some() || options.annotation.end_s.is_some() {
        return Err(Failure::Usage("a plan is for whole videos; leave out start_s and end_s".into()));
    }
    let model = shared::open_model(&mut options, &Device::Cpu)?;
    shared::open_detectors(&mut options)?;
    let terms = PlanTerms {
        schema: SCHEMA.into(),
        tool: Tool::default(),
        model_name: options.model.clone(),
        model: model.identity(),
        model_config_sha256: model.config().effective_sha256(),
        detector_model: options.detector_model.clone(),
        settings: options.annotation.clone(),
    };
    let read = options.detector_model.iter().chain(&arguments.inputs);
    files::refuse_inputs(&arguments.output, read.map(PathBuf::as_path))?;
    let jobs = arguments.jobs.map_or_else(cores, usize::from);
    limit_memory(options.max_memory, jobs)?;
    let signals = StopSignals::listen()?;
    let found = inputs::find(&arguments.inputs, &arguments.output)?;
    super::batch::check(&found, &[])?;
    files::refuse_inputs(&arguments.output, found.items.iter().map(|item| item.path.as_path()))?;
    let output = arguments.replace.existing().create(&arguments.output)?;
    let progress = CorpusProgress::new(arguments.execution.progress(&options), found.items.len(), 0);
    let plan =
        CorpusPlan::of_videos(&found, terms, arguments.segment, jobs, &signals.interrupt, advice_on_decoding, &|| {
            progress.begin(0).end(true);
        });
    progress.finish();
    if let Some(signal) = signals.received() {
        return Err(Failure::Interrupted { signal, hint: "interrupted; no plan is written".into() });
    }
    let plan = plan?;
    output.fill(|out| plan.write(out))?;
    if !arguments.execution.quiet {
        let refused = plan.lines.iter().filter(|line| matches!(line, PlanLine::Refused { .. })).count();
        let units = plan.lines.len() - refused;
        let reasons = plan.lines.iter().filter_map(|line| match line {
            PlanLine::Refused { outcome, .. } => Some(&outcome.reason),
            _ => None,
        });
        super::batch::print_left_out(&found);
        reasons.take(REFUSED_SAID).for_each(|reason| talk!("annotate: {reason}"));
        talk!("{units} units of {} videos, {refused} files refused", plan.videos().len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_units() {
        assert_eq!(duration("5min"), Ok(300.0));
        assert_eq!(duration("90"), Ok(90.0));
        assert_eq!(duration("1.5 h"), Ok(5400.0));
        assert_eq!(duration("2s"), Ok(2.0));
        for wrong in ["", "min", "-1s", "0", "5 weeks", "inf", "nan"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
