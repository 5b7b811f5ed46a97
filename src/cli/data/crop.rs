//! `annotate data crop INPUT... -o MANIFEST`.

use std::path::{Path, PathBuf};

use candle_core::Device;
use indicatif::{ProgressBar, ProgressStyle};

use super::{ReplaceArguments, pictures_of, read, save};
use crate::cli::Failure;
use crate::cli::choice::choice;
use crate::cli::shared::{self, DetectorArguments};
use crate::files::OutputOptions;
use crate::model::registry;
use crate::picture::{ColourNormalisation, Colours};
use crate::pipeline::Settings;
use crate::pipeline::decode::{DecodeOptions, Decoder, Source};
use crate::timeline::Expression;
use crate::train::crop::{self, CropSettings};
use crate::train::manifest::{Row, Split};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A manifest of frames (images, or videos with frame numbers), or videos
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    /// The manifest of the crops; they go into a folder beside it
    #[arg(long, short, visible_alias = "output", value_name = "MANIFEST.csv")]
    out: PathBuf,
    #[command(flatten)]
    replace: ReplaceArguments,
    /// The model whose crop rule is followed
    #[arg(long, value_name = "NAME|DIR", default_value = registry::DEFAULT)]
    model: PathBuf,
    #[command(flatten)]
    detector: DetectorArguments,
    /// Side of the square, in sides of the face's box, instead of the model's
    #[arg(long, value_name = "X")]
    scale: Option<f32>,
    /// How far the square's centre lies below the box's, in sides of the box, instead of the model's
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    shift_y: Option<f32>,
    /// Take pictures for faces that are cut out already: fit them to the size and look for nothing
    #[arg(long, conflicts_with_all = ["scale", "shift_y", "no_align", "label"])]
    already_cropped: bool,
    /// Keep squares upright where the head is turned
    #[arg(long)]
    no_align: bool,
    /// Side of the crops, pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 224, value_parser = clap::value_parser!(u32).range(8..=1024))]
    side: u32,
    /// Brightness only
    #[arg(long)]
    luma: bool,
    /// What is done to the colours of the crops
    #[arg(long, value_parser = choice::<ColourNormalisation>(), default_value = "none")]
    normalise: ColourNormalisation,
    /// Videos: what the faces in them show
    #[arg(long, value_name = "CLASS", value_parser = class)]
    label: Option<Expression>,
    /// Videos: time between crops, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 0.5)]
    every: f64,
}

fn class(name: &str) -> Result<Expression, String> {
    let names = || Expression::ALL.map(Expression::name).join(", ");
    Expression::from_name(name).ok_or_else(|| format!("not one of {}", names()))
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let settings = settings(arguments)?;
    let decoding = Settings::default().decode_options();
    let mut rows = Vec::new();
    for input in &arguments.inputs {
        match input.extension().is_some_and(|extension| extension == "csv") {
            true => rows.extend(read(input)?),
            false => rows.extend(rows_of_video(input, arguments, &decoding)?),
        }
    }
    let bar = ProgressBar::new(rows.len() as u64).with_style(
        ProgressStyle::with_template("{wide_bar} {pos}/{len} {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let folder = pictures_of(&arguments.out);
    let tell = |count: usize| bar.inc(count as u64);
    let cropped = crop::crop_rows(&rows, &folder, &settings, &decoding, &tell)?;
    if !arguments.already_cropped {
        crop::note_rule(&folder, &settings.rule)?;
    }
    bar.finish_and_clear();
    report(arguments, &cropped.without_face)?;
    if 10 * cropped.without_face.len() > rows.len() && !arguments.already_cropped {
        talk!(
            "hint: a detector looks for faces in pictures and misses many that fill theirs; if these are faces that are cut out \
             already, use --already-cropped"
        );
    }
    if cropped.rows.is_empty() {
        return Err(Failure::Input("no face was found in any of the pictures".into()));
    }
    save(&arguments.out, &cropped.rows, arguments.replace)?;
    talk!("{}: {} crops of {} pictures", arguments.out.display(), cropped.rows.len(), rows.len());
    Ok(())
}

fn settings(arguments: &Arguments) -> Result<CropSettings, Failure> {
    let model = registry::open(&arguments.model, &Device::Cpu)?;
    let mut rule = model.config().crop;
    rule.scale = arguments.scale.unwrap_or(rule.scale);
    rule.shift_y = arguments.shift_y.unwrap_or(rule.shift_y);
    if !((0.2..=5.0).contains(&rule.scale) && (-1.0..=1.0).contains(&rule.shift_y)) {
        return Err(Failure::Usage("--scale goes from 0.2 to 5 and --shift-y from -1 to 1".into()));
    }
    if !(arguments.every > 0.0 && arguments.every.is_finite()) {
        return Err(Failure::Usage("--every is a time above 0".into()));
    }
    Ok(CropSettings {
        rule,
        align: !arguments.no_align,
        side: arguments.side as usize,
        colours: if arguments.luma { Colours::Luma } else { Colours::Rgb },
        normalisation: arguments.normalise,
        detectors: shared::detectors(
            arguments.detector.detector.unwrap_or_default(),
            arguments.detector.detector_model.as_deref(),
        )?,
        track: Settings::default().track,
        already_cropped: arguments.already_cropped,
    })
}

/// A row for a frame every so often.
fn rows_of_video(path: &Path, arguments: &Arguments, decoding: &DecodeOptions) -> Result<Vec<Row>, Failure> {
    let Some(label) = arguments.label else {
        let reason = "say what the faces in the video show with --label, or annotate and review it and take the \
                      corrections with annotate data import corrections";
        return Err(Failure::Usage(format!("{}: {reason}", path.display())));
    };
    let mut decoder = Decoder::open(&Source::File(path.into()), decoding.clone())?;
    let (mut rows, mut next_s) = (Vec::new(), f64::NEG_INFINITY);
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    while let Some(frame) = decoder.next_frame()? {
        if frame.time_s < next_s {
            continue;
        }
        next_s = frame.time_s + arguments.every;
        rows.push(Row {
            label: Some(label),
            sequence: Some(name.clone()),
            frame: Some(frame.index as u64),
            ..Row::new(path.into(), Split::Train)
        });
    }
    Ok(rows)
}

/// Names without a face that are said; all of them stand in the list.
const NAMED: usize = 5;

fn report(arguments: &Arguments, without_face: &[(usize, PathBuf)]) -> Result<(), Failure> {
    let list = arguments.out.with_extension("without-face.txt");
    if without_face.is_empty() {
        // A list of an earlier run would no longer be true.
        let _ = std::fs::remove_file(&list);
        return Ok(());
    }
    let line = |(row, path): &(usize, PathBuf)| format!("row {row}: {}\n", path.display());
    let text: String = without_face.iter().map(line).collect();
    OutputOptions::state().put(&list, |out| out.write_all(text.as_bytes()))?;
    let some: String = without_face.iter().take(NAMED).map(|entry| format!("  {}", line(entry))).collect();
    talk!("no face in {} pictures, listed in {}:\n{}", without_face.len(), list.display(), some.trim_end());
    Ok(())
}
