//! `annotate train`: one recipe, one manifest, one model; or a folder of recipes, side by side.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::choice::choice;
use super::signals::Signals;
use super::training::{Bar, Common, FoldLines, use_threads};
use super::{Failure, print_text};
use crate::train::crossval::CrossValidation;
use crate::train::fold::Grouping;
use crate::train::manifest::Split;
use crate::train::recipe::Recipe;
use crate::train::run::{self, Data, Parts};
use crate::train::start::Prepared;
use crate::train::{dataset, folds, grid};

/// Arguments of `annotate train`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The images (see `annotate data import`)
    #[arg(long, value_name = "MANIFEST")]
    data: PathBuf,
    /// What to do with them
    #[arg(long, value_name = "R.toml", required_unless_present = "grid")]
    recipe: Option<PathBuf>,
    /// A folder of recipes: cross-validates each and prints them side by side, with published.csv from that folder
    #[arg(long, value_name = "DIR", conflicts_with = "recipe")]
    grid: Option<PathBuf>,
    /// Folder for the model, its card, the report, the measures of each step and the checkpoint; an interrupted run goes on
    /// there
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
    /// What reports take for one independent piece of data, and what --grid keeps on one side
    #[arg(long, value_parser = choice::<Grouping>(), default_value = "subject")]
    group: Grouping,
    /// With --grid: number of folds; not needed where the manifest has a column 'fold'
    #[arg(long, value_name = "K", conflicts_with = "recipe")]
    folds: Option<usize>,
    /// With --grid: folds at a time; as many as there are cores if not given
    #[arg(long, value_name = "J", conflicts_with = "recipe")]
    jobs: Option<usize>,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let common = &arguments.common;
    use_threads(common.threads)?;
    if let Some(folder) = &arguments.grid {
        return run_grid(arguments, folder);
    }
    let path = arguments.recipe.as_ref().ok_or_else(|| Failure::Usage("give --recipe or --grid".into()))?;
    let recipe = Recipe::read(path, &common.set)?;
    let device = common.device.open()?;
    let data = Data::read(&arguments.data)?;
    let prepared = Prepared::new(recipe, &common.models, &device)?;
    let load = |split| dataset::load(&data.rows, split, prepared.colours());
    let parts = Parts { training: load(Split::Train)?, validation: load(Split::Validation)?, test: load(Split::Test)? };
    let name = &prepared.recipe.name;
    talk!("{name}: {} training and {} validation images", parts.training.len(), parts.validation.len());
    run::notes(&parts.training).iter().for_each(|note| talk!("{name}: {note}"));
    let signals = Signals::listen()?;
    let mut progress = Bar::new(Arc::clone(&signals.interrupt));
    let run = run::run(&prepared, &data, &parts, arguments.group, &arguments.out, &device, &mut progress);
    progress.bar.finish_and_clear();
    let (report, _) = run.map_err(|error| Failure::from(error).by(signals.received()))?;
    talk!("{}", report.evaluation.line());
    talk!("{}: model of epoch {}; see report.html", arguments.out.join("model").display(), report.epoch);
    Ok(())
}

fn run_grid(arguments: &Arguments, folder: &std::path::Path) -> Result<(), Failure> {
    let (paths, published) = grid::read(folder)?;
    // All are read first: a misspelt setting in the last one shows now and not tomorrow.
    let recipes: Vec<Recipe> =
        paths.iter().map(|path| Recipe::read(path, &arguments.common.set)).collect::<Result<_, _>>()?;
    let device = arguments.common.device.open()?;
    let data = Data::read(&arguments.data)?;
    for recipe in &recipes {
        Prepared::new(recipe.clone(), &arguments.common.models, &device)?;
    }
    let signals = Signals::listen()?;
    let mut entries = Vec::new();
    for (path, recipe) in paths.iter().zip(recipes) {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let of = CrossValidation {
            manifest: arguments.data.clone(),
            splits: None,
            recipe,
            models: arguments.common.models.clone(),
            folds: arguments.folds,
            grouping: arguments.group,
            out: arguments.out.join(&stem),
        };
        let lines = FoldLines { name: &of.recipe.name, interrupt: &signals.interrupt };
        let (pooled, predictions) = folds::run_all(&of, arguments.jobs, &device, &lines)
            .map_err(|error| Failure::from(error).by(signals.received()))?;
        entries.push(grid::GridEntry { recipe: stem, pooled, predictions });
    }
    let gains = grid::gains(&entries, &data.rows, arguments.group);
    let mut tables = vec![grid::table(&entries, &published).plain()];
    if entries.len() > 1 {
        tables.push(gains.table(&entries).plain());
    }
    grid::write(&arguments.out, &entries, &published, gains)?;
    print_text(&tables.join("\n"))
}
