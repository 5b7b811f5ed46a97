//! `annotate models`: what models there are, what one is, whether its files are sound, and where others come from.

use std::path::{Path, PathBuf};

use candle_core::Device;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use super::choice::choice;
use super::shared::ReplaceArguments;
use super::{Failure, print, print_text};
use crate::choice::Choice as _;
use crate::files::{self, OutputOptions, WriteError};
use crate::model::catalogue::{self, PublishedModel};
use crate::model::class_order::ClassOrder;
use crate::model::export;
use crate::model::import::{self, CONTEMPT_FILE, Contempt, Description, KnownNetwork, LandmarkNetwork};
use crate::model::pull::{self, Wanted};
use crate::model::registry::{self, EMBEDDED};
use crate::model::{CARD_FILE, CONFIG_FILE, ModelConfig, ModelError, WEIGHTS_FILE};
use crate::nn::{Architecture, Parameters, Purpose};
use crate::picture::CropRule;

/// Arguments of `annotate models`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: ModelsCommand,
}

#[derive(Debug, Subcommand)]
enum ModelsCommand {
    /// Models that are built in, and published ones that can be fetched
    List,
    /// A model's card, or its config where it has none
    Show {
        /// A model directory, or the name of a built-in or published model
        #[arg(default_value = registry::DEFAULT)]
        model: PathBuf,
    },
    /// Check that a model's files belong together and hold what they should
    Verify {
        /// A model directory or the name of a built-in model
        #[arg(default_value = registry::DEFAULT)]
        model: PathBuf,
    },
    /// Make a model directory from a published checkpoint; nothing in it is executed
    Import(ImportArguments),
    /// Write a model as a file that other programs run
    Export(ExportArguments),
    /// Fetch a published checkpoint; the only command that uses the network unasked by an input's address
    Pull(PullArguments),
}

#[derive(Debug, Args)]
struct ImportArguments {
    /// Safetensors, ONNX, a PyTorch state dict, or Keras's .h5, told apart by what is in it; TensorFlow Lite for face_mesh,
    /// palms and hands
    source: PathBuf,
    /// The network: mobilenet_v1, tf_efficientnet_b0, tf_efficientnet_b2, face_mesh (MediaPipe's, with attention), palms and
    /// hands (MediaPipe's, lite), or a JSON file with an `architecture` and an `input` as in config.json
    #[arg(long, value_name = "NAME|FILE.json")]
    arch: String,
    /// The model directory to make
    #[arg(long, short, visible_alias = "out", value_name = "DIR")]
    output: PathBuf,
    /// The order of its outputs; seed where it has 7, emotieff8 where it has 8, emotieff8-va where it has 10
    #[arg(long, value_parser = choice::<ClassOrder>(), value_name = "ORDER")]
    classes: Option<ClassOrder>,
    /// What becomes of an output for contempt
    #[arg(long, value_parser = choice::<Contempt>(), default_value = "drop")]
    contempt: Contempt,
    /// The model's name; that of the directory if not given
    #[arg(long)]
    name: Option<String>,
    /// What the file's SHA-256 must be
    #[arg(long, value_name = "HASH", value_parser = hash)]
    sha256: Option<String>,
    /// Licence of the weights, as their publisher states it
    #[arg(long, value_name = "TEXT")]
    licence: Option<String>,
    /// Where the file is from
    #[arg(long, value_name = "URL")]
    origin: Option<String>,
    /// Side of the square that is cut out, in sides of the face's box
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    crop_scale: f32,
}

#[derive(Debug, Args)]
struct ExportArguments {
    /// A model directory or the name of a built-in model
    #[arg(default_value = registry::DEFAULT)]
    model: PathBuf,
    /// The ONNX file to write: pictures with values 0 to 255 in, logits and calibrated probabilities out
    #[arg(long, value_name = "FILE.onnx")]
    onnx: PathBuf,
    #[command(flatten)]
    replace: ReplaceArguments,
}

#[derive(Debug, Args)]
struct PullArguments {
    /// A name from `annotate models list`, or an address
    source: String,
    /// What the file's SHA-256 must be
    #[arg(long, value_name = "HASH", value_parser = hash)]
    sha256: Option<String>,
    /// Take a file whose SHA-256 is not known; it is printed
    #[arg(long, conflicts_with = "sha256")]
    unverified: bool,
    /// Where the file goes; here, under its own name, if not given
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn hash(text: &str) -> Result<String, String> {
    match text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err("not 64 hexadecimal digits".into()),
    }
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        ModelsCommand::List => list(),
        ModelsCommand::Show { model } => show(&model),
        ModelsCommand::Verify { model } => verify(&model),
        ModelsCommand::Import(arguments) => import(&arguments),
        ModelsCommand::Export(arguments) => export(&arguments),
        ModelsCommand::Pull(arguments) => pull(&arguments),
    }
}

fn published(name: &str) -> Result<Option<PublishedModel>, Failure> {
    catalogue::find(name).map_err(|e| Failure::Unforeseen(e.into()))
}

fn list() -> Result<(), Failure> {
    let mut text = String::from("built in\n");
    for embedded in EMBEDDED {
        let model = registry::open(Path::new(embedded.name), &Device::Cpu)?;
        text += &format!("  {:<22} {}\n", embedded.name, facts(model.config())?);
    }
    text += "published by others (annotate models pull NAME, then annotate models import)\n";
    for PublishedModel { name, arch, licence, .. } in catalogue::all().map_err(|e| Failure::Unforeseen(e.into()))? {
        text += &format!("  {name:<22} {arch}; {licence}\n");
    }
    print_text(&text)
}

fn show(model: &Path) -> Result<(), Failure> {
    if let Some(published) = published(&model.to_string_lossy())?.filter(|_| !model.exists()) {
        let sha256 = published.sha256.as_deref().unwrap_or("not stated by its publisher");
        let PublishedModel { name, arch, url, licence, .. } = &published;
        let text = format!(
            "# {name}\n\nPublished by others; not part of this program.\n\n- Network: {arch}\n- Address: {url}\n\
             - SHA-256: {sha256}\n- Licence: {licence}\n\n{}\n",
            next_step(&published, Path::new(&file_name(url)))
        );
        return print_text(&text);
    }
    match registry::card(model) {
        Ok(card) => print_text(&card),
        Err(ModelError::Unreadable { .. }) => {
            let loaded = registry::open(model, &Device::Cpu)?;
            let config = serde_json::to_string_pretty(loaded.config()).map_err(|e| Failure::Unforeseen(e.into()))?;
            print(format!("{config}\n").as_bytes())
        }
        Err(error) => Err(error.into()),
    }
}

fn verify(model: &Path) -> Result<(), Failure> {
    let loaded = registry::open(model, &Device::Cpu)?;
    let config = loaded.config();
    print_text(&format!("{}: sound ({}; SHA-256 {})\n", config.name, facts(config)?, config.sha256))
}

/// The network and its input in a few words.
fn facts(config: &ModelConfig) -> Result<String, Failure> {
    let parameters = Parameters::new(Purpose::Inference, &Device::Cpu);
    crate::nn::Network::new(&parameters, &config.architecture, config.input.colours)
        .map_err(|e| Failure::Unforeseen(e.into()))?;
    let count: usize = parameters.variables().values().map(|var| var.elem_count()).sum();
    let family = match config.architecture {
        Architecture::MobilenetV1(_) => "MobileNetV1",
        Architecture::Efficientnet(_) => "EfficientNet",
    };
    let colours = match config.input.colours {
        crate::picture::Colours::Luma => "luma",
        crate::picture::Colours::Rgb => "RGB",
    };
    Ok(format!("{family}, {count} parameters, {side}x{side} {colours}", side = config.input.side))
}

/// An architecture file: what `--arch` names where it is not a known network.
#[derive(serde::Deserialize)]
struct NetworkShape {
    architecture: Architecture,
    input: crate::model::Input,
}

/// A description that a person writes.
const LARGEST_SHAPE: u64 = 1 << 20;

fn shape(arch: &str) -> Result<NetworkShape, Failure> {
    if let Some(known) = KnownNetwork::from_word(arch) {
        return Ok(NetworkShape { architecture: known.architecture(), input: known.input() });
    }
    let path = Path::new(arch);
    let refused = |reason: String| {
        Failure::Configuration(format!("{arch}: {reason}; --arch takes {} or a JSON file", KnownNetwork::words()))
    };
    let bytes = crate::files::read(path, LARGEST_SHAPE).map_err(|e| refused(e.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|e| refused(e.to_string()))
}

fn import(arguments: &ImportArguments) -> Result<(), Failure> {
    let ImportArguments { source, output, .. } = arguments;
    if output.join(CONFIG_FILE).exists() {
        return Err(Failure::Output(format!("{}: a model is there already; name another directory", output.display())));
    }
    if let Some(network) = LandmarkNetwork::ALL.into_iter().find(|network| network.name() == arguments.arch) {
        return import_landmark_network(arguments, network);
    }
    let NetworkShape { architecture, input } = shape(&arguments.arch)?;
    let own_name = || output.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let description = Description {
        name: arguments.name.clone().unwrap_or_else(own_name),
        architecture,
        input,
        crop: CropRule { scale: arguments.crop_scale, shift_y: 0.0 },
        classes: arguments.classes,
        sha256: arguments.sha256.clone(),
        licence: arguments.licence.clone(),
        origin: arguments.origin.clone(),
        contempt: arguments.contempt,
    };
    let imported = import::import(source, &description)?;
    std::fs::create_dir_all(output).map_err(|source| WriteError::Io { path: output.clone(), source })?;
    let config = serde_json::to_vec_pretty(&imported.config).map_err(|e| Failure::Unforeseen(e.into()))?;
    let contempt = imported.contempt.iter().map(|content| (CONTEMPT_FILE, content.as_slice()));
    // The config comes last: with it, the directory is a model.
    let own = [(WEIGHTS_FILE, &imported.weights[..]), (CARD_FILE, imported.card.as_bytes()), (CONFIG_FILE, &config)];
    for (name, content) in contempt.chain(own) {
        OutputOptions::state().put(&output.join(name), |out| out.write_all(content))?;
    }
    talk!("{}: {}", output.display(), facts(&imported.config)?);
    if imported.left_out > 0 {
        talk!("left out: {} outputs that are not among the seven expressions", imported.left_out);
    }
    if arguments.licence.is_none() {
        talk!("no --licence was given; the card says so");
    }
    Ok(())
}

/// These networks classify nothing: they have no classes, no crop and no card of measurements.
fn import_landmark_network(arguments: &ImportArguments, network: LandmarkNetwork) -> Result<(), Failure> {
    let ImportArguments { source, output, sha256, licence, origin, .. } = arguments;
    let [sha256, licence, origin] = [sha256, licence, origin].map(|given| given.as_deref());
    let files = import::import_landmark_network(network, source, sha256, licence, origin)?;
    std::fs::create_dir_all(output).map_err(|source| WriteError::Io { path: output.clone(), source })?;
    for (name, content) in &files {
        OutputOptions::state().put(&output.join(name), |out| out.write_all(content))?;
    }
    let words = network.name().replace('_', " ");
    talk!("{}: {words}, {} bytes of weights", output.display(), files[0].1.len());
    Ok(())
}

fn export(arguments: &ExportArguments) -> Result<(), Failure> {
    let ExportArguments { model, onnx, replace } = arguments;
    let files = [WEIGHTS_FILE, CONFIG_FILE, CARD_FILE].map(|name| model.join(name));
    files::refuse_inputs(onnx, files.iter().map(PathBuf::as_path))?;
    let content = export::onnx(model)?;
    replace.existing().put(onnx, |out| out.write_all(&content))?;
    talk!("{} -> {}: {} bytes", model.display(), onnx.display(), content.len());
    Ok(())
}

/// The last part of an address.
fn file_name(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned()
}

fn next_step(published: &PublishedModel, file: &Path) -> String {
    let PublishedModel { name, arch, classes, url, licence, .. } = published;
    let classes = classes.word();
    format!(
        "annotate models import {} --arch {arch} --classes {classes} --origin {url} --licence '{licence}' -o {name}",
        file.display()
    )
}

fn pull(arguments: &PullArguments) -> Result<(), Failure> {
    let published = published(&arguments.source)?;
    let url = match &published {
        Some(published) => published.url.clone(),
        None if arguments.source.contains("://") => arguments.source.clone(),
        None => {
            let reason = "neither the name of a published model (annotate models list) nor an address";
            return Err(Failure::Usage(format!("{}: {reason}", arguments.source)));
        }
    };
    let stated = published.as_ref().and_then(|published| published.sha256.clone());
    let sha256 = arguments.sha256.clone().or(stated);
    if sha256.is_none() && !arguments.unverified {
        let reason = "its SHA-256 is not known; state it with --sha256, or take what comes with --unverified";
        return Err(Failure::Usage(format!("{}: {reason}", arguments.source)));
    }
    let destination = match (&arguments.output, file_name(&url)) {
        (Some(path), _) => path.clone(),
        (None, name) if name.is_empty() || name.contains(':') => {
            return Err(Failure::Usage(format!("{url}: ends in no file name; name one with -o")));
        }
        (None, name) => name.into(),
    };
    if destination.exists() {
        return Err(Failure::Output(format!("{}: is there already", destination.display())));
    }
    let bytes = published.as_ref().filter(|_| arguments.sha256.is_none()).and_then(|published| published.bytes);
    let bar = ProgressBar::no_length().with_style(
        ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let mut tell = |there: u64, total: Option<u64>| {
        bar.set_length(total.unwrap_or(there));
        bar.set_position(there);
    };
    let pulled =
        pull::pull(&Wanted { url, sha256: sha256.clone(), bytes, patience: pull::PATIENCE }, &destination, &mut tell);
    bar.finish_and_clear();
    let pulled = pulled?;
    let verified = if sha256.is_some() { "as expected" } else { "not verified" };
    let resumed = if pulled.resumed_from > 0 { ", resumed" } else { "" };
    talk!("{}: {} bytes{resumed}; SHA-256 {}, {verified}", destination.display(), pulled.bytes, pulled.sha256);
    if let Some(published) = &published {
        talk!("next: {}", next_step(published, &destination));
    }
    Ok(())
}
