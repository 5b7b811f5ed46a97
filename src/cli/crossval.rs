//! `annotate crossval`: how good a recipe is, every image judged by a model that has not seen it.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::Failure;
use super::choice::choice;
use super::signals::Signals;
use super::training::{Bar, Common, FoldLines, use_threads};
use crate::train::crossval::{CrossValidation, CrossvalError, Pooled, pool, run_fold};
use crate::train::fold::Grouping;
use crate::train::folds;
use crate::train::manifest::Split;
use crate::train::recipe::Recipe;

/// Arguments of `annotate crossval`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The images (see `annotate data import`); a column 'fold' is used where there is one
    #[arg(long, value_name = "MANIFEST")]
    data: PathBuf,
    /// What each fold's model is trained by
    #[arg(long, value_name = "R.toml")]
    recipe: PathBuf,
    /// Number of folds
    #[arg(long, value_name = "K")]
    folds: Option<usize>,
    /// Folder for the folds and the report; an interrupted cross-validation goes on there
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
    /// Do this fold alone, from 1; the fold that is the last to finish puts all together
    #[arg(long, value_name = "I", conflicts_with = "pool")]
    fold: Option<usize>,
    /// Only put finished folds together
    #[arg(long)]
    pool: bool,
    /// Folds at a time; as many as there are cores if not given
    #[arg(long, value_name = "J")]
    jobs: Option<usize>,
    /// What stays on one side of a fold
    #[arg(long, value_parser = choice::<Grouping>(), default_value = "subject")]
    group: Grouping,
    /// Only rows of this split take part; may be repeated
    #[arg(long, value_parser = choice::<Split>(), value_name = "SPLIT")]
    split: Vec<Split>,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let common = &arguments.common;
    use_threads(common.threads)?;
    let of = CrossValidation {
        manifest: arguments.data.clone(),
        splits: Some(arguments.split.clone()).filter(|splits| !splits.is_empty()),
        recipe: Recipe::read(&arguments.recipe, &common.set)?,
        models: common.models.clone(),
        folds: arguments.folds,
        grouping: arguments.group,
        out: arguments.out.clone(),
    };
    let device = common.device.open()?;
    let signals = Signals::listen()?;
    let failed = |error| Failure::from(error).by(signals.received());
    if let Some(fold) = arguments.fold {
        let mut progress = Bar::new(Arc::clone(&signals.interrupt));
        let report = run_fold(&of, fold, &device, &mut progress);
        progress.bar.finish_and_clear();
        let report = report.map_err(failed)?;
        talk!("fold {fold} of {}: {}", report.folds, report.run.evaluation.line());
        // Other folds may still be running elsewhere: then there is nothing to put together yet.
        return match pool(&of) {
            Ok((pooled, _)) => print_pooled(&pooled, &arguments.out),
            Err(CrossvalError::Missing { .. }) => Ok(()),
            Err(error) => Err(failed(error)),
        };
    }
    let lines = FoldLines { name: &of.recipe.name, interrupt: &signals.interrupt };
    let pooled = match arguments.pool {
        true => pool(&of),
        false => folds::run_all(&of, arguments.jobs, &device, &lines),
    };
    let (pooled, _) = pooled.map_err(failed)?;
    print_pooled(&pooled, &arguments.out)
}

fn print_pooled(pooled: &Pooled, out: &std::path::Path) -> Result<(), Failure> {
    pooled.notes.iter().for_each(|note| talk!("{note}"));
    talk!("{}", pooled.pooled.line());
    for measure in ["accuracy", "balanced accuracy"] {
        if let Some(m) = pooled.over_folds(measure) {
            let sd = m.sd.map_or(String::new(), |sd| format!(" ± {:.2}", 100.0 * sd));
            talk!("over {} folds: {measure} {:.2}{sd} %", m.values.len(), 100.0 * m.mean);
        }
    }
    talk!("{}: see report.html", out.display());
    Ok(())
}
