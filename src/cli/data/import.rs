//! `annotate data import FORMAT SOURCE -o MANIFEST`.

use std::path::PathBuf;

use super::{ReplaceArguments, pictures_of, save};
use crate::adapt::Import;
use crate::adapt::source::SourceKind;
use crate::cli::Failure;
use crate::cli::annotations::{self, AnnotationsArguments};
use crate::cli::apply::{self, Reviewed};
use crate::cli::choice::choice;
use crate::model::class_order::ClassOrder;
use crate::model::registry;
use crate::train::import::feph::{MultiLabel, NoneLabel};
use crate::train::import::fer2013::Labelling;
use crate::train::import::{Broken, ImportedData, affectnet, class_folders, feph, fer2013, fer2013_csv};

/// Files that are no pictures and are named; the rest is counted.
const NAMED: usize = 20;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The data set's format
    #[arg(value_enum)]
    format: DataSet,
    /// The folder that holds it; for corrections, the file that the review page saved; for annotations, files and folders
    #[arg(required = true)]
    sources: Vec<PathBuf>,
    /// The manifest to write
    #[arg(long, short, visible_alias = "output", value_name = "MANIFEST.csv")]
    out: PathBuf,
    #[command(flatten)]
    replace: ReplaceArguments,
    /// FER2013: whose labels to take
    #[arg(long, value_parser = choice::<Labelling>(), default_value = "votes")]
    labels: Labelling,
    /// FePh: frames with several expressions
    #[arg(long, value_parser = choice::<MultiLabel>(), default_value = "drop")]
    multi_label: MultiLabel,
    /// FePh: frames labelled 'none'
    #[arg(long, value_parser = choice::<NoneLabel>(), default_value = "drop")]
    none_label: NoneLabel,
    /// Class folders: what numbers as names of folders mean
    #[arg(long, value_parser = choice::<ClassOrder>(), value_name = "ORDER")]
    classes: Option<ClassOrder>,
    /// What is done with a file that has a picture's name and is not a picture
    #[arg(long, value_parser = choice::<Broken>(), default_value = "stop")]
    broken: Broken,
    /// Corrections: the annotation that was reviewed
    #[arg(long, value_name = "LABELS.json", required_if_eq("format", "corrections"))]
    annotation: Option<PathBuf>,
    /// Corrections: the video, where it is not where it was annotated
    #[arg(long, value_name = "FILE")]
    video: Option<PathBuf>,
    /// Corrections and annotations: the model whose crop rule the pictures follow
    #[arg(long, value_name = "NAME|DIR", default_value = registry::DEFAULT)]
    model: PathBuf,
    #[command(flatten)]
    annotations: AnnotationsArguments,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum DataSet {
    /// Folders named after classes, alone or in train, validation and test
    ClassFolders,
    /// FER2013 pictures in strips, with FER2013's labels and FER+ votes
    Fer2013,
    /// FER2013 as published, fer2013.csv, with fer2013new.csv of FER+
    Fer2013Csv,
    /// FePh: FePh_labels.csv and its images
    Feph,
    /// AffectNet: train_set and val_set with images and annotations
    Affectnet,
    /// What people corrected on the review page
    Corrections,
    /// ELAN's documents, with their videos
    Eaf,
    /// Corrected labels.json, with their videos
    Labels,
    /// Praat's TextGrids, with their videos
    Textgrid,
    /// Tables of stretches (segments.tsv, csv), with their videos
    Table,
}

impl DataSet {
    /// The kind of annotations, where it is one.
    fn annotations(self) -> Option<SourceKind> {
        match self {
            Self::Eaf => Some(SourceKind::Eaf),
            Self::Labels => Some(SourceKind::Labels),
            Self::Textgrid => Some(SourceKind::TextGrid),
            Self::Table => Some(SourceKind::Table),
            _ => None,
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { sources, out, broken, .. } = arguments;
    if let Some(kind) = arguments.format.annotations() {
        return annotations(arguments, kind);
    }
    let broken = *broken;
    let [source] = &sources[..] else {
        return Err(Failure::Usage("this format is imported from one folder or file at a time".into()));
    };
    let source = source.canonicalize().map_err(|e| Failure::Input(format!("{}: {e}", source.display())))?;
    let imported = match arguments.format {
        DataSet::ClassFolders => class_folders::import(&source, arguments.classes, broken),
        DataSet::Fer2013 => fer2013::import(&source, arguments.labels),
        DataSet::Fer2013Csv => fer2013_csv::import(&source, &absolute(&pictures_of(out))?, arguments.labels),
        DataSet::Feph => feph::import(&source, arguments.multi_label, arguments.none_label, broken),
        DataSet::Affectnet => affectnet::import(&source, broken),
        DataSet::Corrections => Ok(ImportedData { rows: corrections(arguments, &source)?, ..ImportedData::default() }),
        DataSet::Eaf | DataSet::Labels | DataSet::Textgrid | DataSet::Table => Ok(ImportedData::default()),
    };
    let imported = imported?;
    save(out, &imported.rows, arguments.replace)?;
    talk!("{}: {} images", out.display(), imported.rows.len());
    for (count, why) in &imported.left_out {
        talk!("left out: {count} {why}");
    }
    for reason in imported.broken.iter().take(NAMED) {
        talk!("left out: {}", reason.escape_debug());
    }
    if imported.broken.len() > NAMED {
        talk!("left out: {} more files that are no pictures", imported.broken.len() - NAMED);
    }
    Ok(())
}

fn absolute(path: &std::path::Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|e| Failure::Output(format!("{}: {e}", path.display())))
}

/// Pictures of what people annotated.
fn annotations(arguments: &Arguments, kind: SourceKind) -> Result<(), Failure> {
    let Arguments { sources, out, model, annotations, .. } = arguments;
    let import = annotations::import(annotations, sources, &[kind], model, &pictures_of(out))?;
    annotations::print_left_out(&import, &out.with_extension("left-out.csv"))?;
    if import.rows.is_empty() {
        return Err(annotations::nothing(&import));
    }
    save(out, &import.rows, arguments.replace)?;
    let Import { rows, annotated_s, disputed, partly, .. } = &import;
    talk!("{}: {} pictures of {:.1} annotated minutes", out.display(), rows.len(), annotated_s / 60.0);
    if *disputed > 0 {
        talk!("annotators disagree about {disputed} of them: these have soft labels");
    }
    if *partly > 0 {
        talk!("{partly} of them were not annotated by all annotators of their signer");
    }
    annotations::partial(&import, &out.with_extension("left-out.csv"))
}

fn corrections(arguments: &Arguments, source: &PathBuf) -> Result<Vec<crate::train::manifest::Row>, Failure> {
    let Arguments { out, annotation, video, model, .. } = arguments;
    let annotation = annotation.as_ref().ok_or_else(|| Failure::Usage("--annotation is missing".into()))?;
    let reviewed = Reviewed::read(std::slice::from_ref(source), annotation)?;
    apply::pictures(&reviewed.corrected, annotation, video.as_deref(), model, &pictures_of(out))
}
