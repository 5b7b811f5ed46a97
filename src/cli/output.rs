//! Which files an input's timeline goes to, and writing them: all places are opened before the work begins, and appear
//! after it, each whole.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::Failure;
use crate::corpus::inputs::Item;
use crate::corpus::path::{printable, with_suffix};
use crate::eaf::{Bundle, BundleError, BundleOptions};
use crate::files::{self, Output, WriteError};
use crate::pipeline::{Row, Settings};
use crate::timeline::{FrameRecord, Media, ModelIdentity, Timeline, Tool};
use crate::write::jsonl::{Header, LiveLines};
use crate::write::{Format, Writer, write};

/// A place and the format it gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    path: PathBuf,
    format: Format,
}

impl Target {
    /// The format it gets.
    pub(super) fn format(&self) -> Format {
        self.format
    }
}

/// What each input is written to.
///
/// # Errors
/// If a format is unknown, a place is meant twice, or an input would be overwritten.
pub(super) fn plan(
    inputs: &[PathBuf],
    outputs: &[PathBuf],
    formats: &[Format],
    folder: Option<&Path>,
) -> Result<Vec<Vec<Target>>, Failure> {
    if inputs.len() > 1 && !outputs.is_empty() {
        return Err(Failure::Usage("-o names one input's outputs; for several inputs use -f and --output-dir".into()));
    }
    // Without any wish, what everybody can use.
    let default = [Format::Json];
    let formats = if outputs.is_empty() && formats.is_empty() { &default } else { formats };
    if let Some(folder) = folder
        && !formats.is_empty()
    {
        std::fs::create_dir_all(folder).map_err(|e| Failure::Output(format!("{}: {e}", folder.display())))?;
    }
    let mut planned = Vec::new();
    let mut places = HashSet::new();
    for input in inputs {
        let mut targets: Vec<Target> = outputs.iter().map(|path| named(path)).collect::<Result<_, _>>()?;
        for format in formats {
            let mut name = match input.file_name() {
                Some(name) if input != Path::new("-") => PathBuf::from(name).with_extension("").into_os_string(),
                _ => OsString::from("stdin"),
            };
            name.push(".");
            name.push(format.extension());
            targets.push(Target { path: folder.unwrap_or(Path::new("")).join(name), format: *format });
        }
        for Target { path, .. } in &targets {
            let shown = path.display();
            if path != Path::new("-") && !places.insert(path.clone()) {
                return Err(Failure::Usage(format!("{shown}: two outputs would have this name")));
            }
            let is_input =
                |input: &PathBuf| matches!((input.canonicalize(), path.canonicalize()), (Ok(a), Ok(b)) if a == b);
            if inputs.iter().any(is_input) {
                return Err(Failure::Usage(format!("{shown}: the output would overwrite an input")));
            }
        }
        planned.push(targets);
    }
    Ok(planned)
}

/// Longest name of a file on the file systems in use, bytes.
const LONGEST_NAME: usize = 255;

/// Where the results of one video of a corpus go, below `folder`; the folders on the way are made.
///
/// # Errors
/// With the reason, where there is no place for them.
pub(super) fn mirrored(folder: &Path, item: &Item, formats: &[Format]) -> Result<Vec<Target>, String> {
    let name = printable(&item.path);
    let target = |format: &Format| Target {
        path: with_suffix(&folder.join(&item.output), &format!(".{}", format.extension())),
        format: *format,
    };
    let targets: Vec<Target> = formats.iter().map(target).collect();
    let length = |target: &Target| target.path.file_name().map_or(0, |name| name.len());
    if targets.iter().any(|target| length(target) > LONGEST_NAME) {
        return Err(format!("{name}: with an extension its name is longer than {LONGEST_NAME} bytes; rename it"));
    }
    let parent = targets.first().and_then(|target| target.path.parent()).unwrap_or(folder);
    std::fs::create_dir_all(parent).map_err(|e| format!("{name}: {}: {e}", printable(parent)))?;
    match (parent.canonicalize(), folder.canonicalize()) {
        (Ok(parent), Ok(folder)) if parent.starts_with(&folder) => Ok(targets),
        _ => Err(format!("{name}: {} is a link that leads out of the output folder", printable(parent))),
    }
}

/// Removes what a run that was killed has left half written below `folder`.
pub(super) fn remove_leftovers(folder: &Path) {
    for entry in WalkDir::new(folder).into_iter().filter_map(Result::ok).filter(|entry| entry.file_type().is_dir()) {
        files::remove_leftovers(entry.path());
    }
}

/// The place and format `-o` names; `-` and `-.jsonl` are standard output.
fn named(path: &Path) -> Result<Target, Failure> {
    if path == Path::new("-") {
        return Ok(Target { path: path.into(), format: Format::Json });
    }
    let format = Format::from_path(path).map_err(|e| Failure::Usage(e.to_string()))?;
    let is_stdout = path.file_stem() == Some("-".as_ref()) && path.parent() == Some(Path::new(""));
    Ok(Target { path: if is_stdout { "-".into() } else { path.into() }, format })
}

/// The open outputs of one input.
pub(super) struct Outputs {
    whole: Vec<(PathBuf, &'static dyn Writer, Output)>,
    bundles: Vec<Bundle>,
    waiting: Vec<(PathBuf, Output)>,
    live: Vec<(PathBuf, LiveLines)>,
}

impl Outputs {
    /// Opens every place, so that one that cannot be written is known before the work. Lines are written while the work
    /// goes on if `live`, else afterwards.
    pub(super) fn open(targets: Vec<Target>, live: bool, elan: &BundleOptions) -> Result<Self, Failure> {
        let mut outputs = Self { whole: Vec::new(), bundles: Vec::new(), waiting: Vec::new(), live: Vec::new() };
        let taken: Vec<PathBuf> = targets.iter().map(|target| target.path.clone()).collect();
        for Target { path, format } in targets {
            let Some(writer) = format.writer() else {
                let options = BundleOptions { taken: taken.clone(), ..elan.clone() };
                outputs.bundles.push(Bundle::create(&path, &options).map_err(bundle_failure)?);
                continue;
            };
            let output = Output::create(&path).map_err(|e| Failure::Output(e.to_string()))?;
            match format {
                Format::Jsonl if live => outputs.waiting.push((path, output)),
                _ => outputs.whole.push((path, writer, output)),
            }
        }
        Ok(outputs)
    }

    /// Begins what is written while the work goes on.
    pub(super) fn begin(
        &mut self,
        media: &Media,
        model: &ModelIdentity,
        settings: &Settings,
    ) -> Result<(), WriteError> {
        let (tool, settings) = (Tool::default(), serde_json::to_value(settings).unwrap_or_default());
        let header = Header::new(&tool, media, model, &settings);
        for (path, output) in self.waiting.drain(..) {
            self.live.push((path, LiveLines::begin(output, &header)?));
        }
        Ok(())
    }

    /// A frame is finished.
    pub(super) fn row(&mut self, row: &Row) -> Result<(), WriteError> {
        if self.live.is_empty() {
            return Ok(());
        }
        let faces: Vec<(u32, &FrameRecord)> = row.faces.iter().map(|(track, record)| (*track, record)).collect();
        for (_, live) in &mut self.live {
            live.frame((row.frame, row.pts, row.time_s, row.status), &faces)?;
        }
        Ok(())
    }

    /// Writes the rest and puts every file in its place; gives the files' paths.
    pub(super) fn finish(self, timeline: &Timeline) -> Result<Vec<PathBuf>, Failure> {
        let failure = |e: WriteError| Failure::Output(e.to_string());
        let mut written = Vec::new();
        for (path, live) in self.live {
            live.end(timeline.complete, &timeline.media, &timeline.summary).map_err(failure)?;
            written.push(path);
        }
        for (path, writer, output) in self.whole {
            write(timeline, writer, output).map_err(failure)?;
            written.push(path);
        }
        for bundle in self.bundles {
            written.extend(bundle.write(timeline).map_err(failure)?);
        }
        written.retain(|path| path != Path::new("-"));
        Ok(written)
    }
}

fn bundle_failure(error: BundleError) -> Failure {
    let text = error.to_string();
    match error {
        BundleError::Merge(_) => Failure::Input(text),
        BundleError::Write(_) => Failure::Output(text),
        BundleError::Stdout => Failure::Usage(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(targets: &[Target]) -> Vec<(&str, Format)> {
        targets.iter().map(|t| (t.path.to_str().unwrap(), t.format)).collect()
    }

    #[test]
    fn an_extension_names_the_format_and_dash_is_standard_output() {
        let outputs = ["a.json".into(), "b/c.vtt".into(), "-".into(), "-.jsonl".into()];
        let planned = plan(&["v.mp4".into()], &outputs, &[], None).unwrap();
        let expected = [("a.json", Format::Json), ("b/c.vtt", Format::Vtt), ("-", Format::Json), ("-", Format::Jsonl)];
        assert_eq!(paths(&planned[0]), expected);
    }

    #[test]
    fn formats_are_named_after_the_input() {
        let planned = plan(&["x/v.mp4".into(), "-".into()], &[], &[Format::Csv], None).unwrap();
        assert_eq!(paths(&planned[0]), [("v.csv", Format::Csv)]);
        assert_eq!(paths(&planned[1]), [("stdin.csv", Format::Csv)]);
    }

    #[test]
    fn two_inputs_never_share_an_output() {
        let message = plan(&["a.mp4".into(), "a.mov".into()], &[], &[Format::Csv], None).unwrap_err().to_string();
        assert!(message.contains("a.csv") && message.contains("two outputs"), "{message}");
        assert!(plan(&["a.mp4".into(), "b.mp4".into()], &["c.json".into()], &[], None).is_err());
    }

    #[test]
    fn an_output_never_overwrites_the_input() {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("labels.json");
        std::fs::write(&input, "").unwrap();
        let message =
            plan(std::slice::from_ref(&input), std::slice::from_ref(&input), &[], None).unwrap_err().to_string();
        assert!(message.contains("overwrite"), "{message}");
    }
}
