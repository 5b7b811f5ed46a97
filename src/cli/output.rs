//! Which files an input's timeline goes to, and writing them: all places are opened before the work begins, and appear
//! after it, each whole.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::Failure;
use crate::corpus::inputs::Item;
use crate::corpus::path::{printable, shortened, with_suffix};
use crate::eaf::{Bundle, BundleError, BundleOptions};
use crate::files::{self, Output, WriteError};
use crate::pipeline::{Row, Settings};
use crate::timeline::{FrameRecord, Media, ModelIdentity, Timeline, Tool};
use crate::write::jsonl::{Header, LiveLines};
use crate::write::{Format, Writer, table_of_corpus, write};

/// A place and the format it gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    path: PathBuf,
    format: Format,
    /// Where the video lies in its corpus; none outside of one.
    place: Option<PathBuf>,
}

impl Target {
    /// The format it gets.
    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// The files that are written here and now: the place, and what lies beside it.
    fn files(&self) -> Vec<PathBuf> {
        let beside = self.format.companion().filter(|_| self.path != Path::new("-"));
        let beside = beside.map(|(extension, _)| self.path.with_extension(extension));
        std::iter::once(self.path.clone()).chain(beside).collect()
    }
}

/// What each of the `videos` is written to; no output may replace one of the `inputs`.
///
/// # Errors
/// If a format is unknown, a place is meant twice, or an input would be overwritten.
pub(super) fn plan(
    videos: &[PathBuf],
    inputs: &[PathBuf],
    outputs: &[PathBuf],
    formats: &[Format],
    folder: Option<&Path>,
) -> Result<Vec<Vec<Target>>, Failure> {
    if videos.len() > 1 && !outputs.is_empty() {
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
    for input in videos {
        let mut targets: Vec<Target> = outputs.iter().map(|path| named(path)).collect::<Result<_, _>>()?;
        for format in formats {
            let mut name = match input.file_name() {
                Some(name) if input != Path::new("-") => {
                    shortened(&Path::new(name).with_extension("")).into_os_string()
                }
                _ => OsString::from("stdin"),
            };
            name.push(format.ending());
            targets.push(Target { path: folder.unwrap_or(Path::new("")).join(name), format: *format, place: None });
        }
        for path in &targets.iter().flat_map(Target::files).collect::<Vec<_>>() {
            let shown = path.display();
            if path != Path::new("-") && !places.insert(path.clone()) {
                return Err(Failure::Usage(format!("{shown}: two outputs would have this name")));
            }
            files::refuse_inputs(path, inputs.iter().map(PathBuf::as_path))?;
        }
        planned.push(targets);
    }
    Ok(planned)
}

/// The folder of a corpus's tables. Nothing else lies in it, so that programs take it for one table as it stands.
pub(super) const TABLES: &str = "parquet";

/// What the results of one video of a corpus are called, relative to the output folder.
pub(super) fn names(item: &Item, formats: &[Format]) -> Vec<PathBuf> {
    let name = |format: &Format| {
        let name = with_suffix(&item.output, &format.ending());
        if *format == Format::Parquet { Path::new(TABLES).join(name) } else { name }
    };
    formats.iter().map(name).collect()
}

/// Where the results of one video of a corpus go, below `folder`; the folders on the way are made.
///
/// # Errors
/// With the reason, where there is no place for them.
pub(super) fn mirrored(folder: &Path, item: &Item, formats: &[Format]) -> Result<Vec<Target>, String> {
    let name = printable(&item.path);
    let names = names(item, formats).into_iter().zip(formats);
    let place = Some(item.output.clone());
    let targets: Vec<Target> =
        names.map(|(path, format)| Target { path: folder.join(path), format: *format, place: place.clone() }).collect();
    let parents: BTreeSet<&Path> = targets.iter().filter_map(|target| target.path.parent()).collect();
    for parent in parents {
        make_below(folder, parent).map_err(|reason| format!("{name}: {}: {reason}", printable(parent)))?;
    }
    Ok(targets)
}

/// Makes the folders on the way from `folder` down to `parent`, none of them behind a link that leads elsewhere.
fn make_below(folder: &Path, parent: &Path) -> Result<(), String> {
    let root = folder.canonicalize().map_err(|e| e.to_string())?;
    let mut way = folder.to_path_buf();
    for part in parent.strip_prefix(folder).unwrap_or(Path::new("")) {
        way.push(part);
        if let Err(error) = std::fs::create_dir(&way)
            && !way.is_dir()
        {
            return Err(error.to_string());
        }
        if !way.canonicalize().is_ok_and(|way| way.starts_with(&root)) {
            return Err("it is a link that leads out of the output folder".into());
        }
    }
    Ok(())
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
        return Ok(Target { path: path.into(), format: Format::Json, place: None });
    }
    let format = Format::from_path(path).map_err(|e| Failure::Usage(e.to_string()))?;
    let is_stdout = path.file_stem() == Some("-".as_ref()) && path.parent() == Some(Path::new(""));
    Ok(Target { path: if is_stdout { "-".into() } else { path.into() }, format, place: None })
}

/// The open outputs of one input.
pub(super) struct Outputs {
    whole: Vec<(PathBuf, Box<dyn Writer>, Output)>,
    bundles: Vec<Bundle>,
    waiting: Vec<(PathBuf, Output)>,
    live: Vec<(PathBuf, LiveLines)>,
    kept: Vec<WriteError>,
}

impl Outputs {
    /// Opens every place, so that one that cannot be written is known before the work. Lines are written while the work
    /// goes on if `live`, else afterwards. `elan` says how documents are written and what becomes of files that are there.
    pub(super) fn open(targets: Vec<Target>, live: bool, elan: &BundleOptions) -> Result<Self, Failure> {
        let mut outputs = Self::open_free(targets, live, elan)?;
        match outputs.kept.is_empty() {
            true => Ok(outputs),
            false => Err(outputs.kept.swap_remove(0).into()),
        }
    }

    /// The same for a corpus, where a place that is taken is left alone and the others get their results; see
    /// [`kept`](Self::kept).
    pub(super) fn open_free(targets: Vec<Target>, live: bool, elan: &BundleOptions) -> Result<Self, Failure> {
        let mut outputs =
            Self { whole: Vec::new(), bundles: Vec::new(), waiting: Vec::new(), live: Vec::new(), kept: Vec::new() };
        let taken: Vec<PathBuf> = targets.iter().flat_map(Target::files).collect();
        for target in targets {
            match outputs.add(target, live, &BundleOptions { taken: taken.clone(), ..elan.clone() }) {
                Err(BundleError::Write(error)) if error.is_taken() => outputs.kept.push(error),
                opened => opened?,
            }
        }
        Ok(outputs)
    }

    fn add(&mut self, target: Target, live: bool, elan: &BundleOptions) -> Result<(), BundleError> {
        let beside = target.files().into_iter().skip(1);
        let Target { path, format, place } = target;
        let Some(writer) = format.writer() else {
            self.bundles.push(Bundle::create(&path, elan)?);
            return Ok(());
        };
        let output = elan.existing.create(&path)?;
        for ((_, writer), beside) in format.companion().into_iter().zip(beside) {
            let output = elan.existing.create(&beside)?;
            self.whole.push((beside, Box::new(writer), output));
        }
        match (format, place) {
            (Format::Jsonl, _) if live => self.waiting.push((path, output)),
            (Format::Parquet, Some(place)) => self.whole.push((path, Box::new(table_of_corpus(&place)), output)),
            _ => self.whole.push((path, Box::new(writer), output)),
        }
        Ok(())
    }

    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.bundles.is_empty() && self.waiting.is_empty() && self.live.is_empty()
    }

    /// Why which places were left alone.
    pub(super) fn kept(&self) -> &[WriteError] {
        &self.kept
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

    /// Writes the rest and puts every file in its place; gives the files' paths, and why which places were left alone.
    pub(super) fn finish(mut self, timeline: &Timeline) -> Result<(Vec<PathBuf>, Vec<WriteError>), WriteError> {
        let mut written = Vec::new();
        let mut put = |paths: Result<Vec<PathBuf>, WriteError>| match paths {
            Ok(paths) => {
                written.extend(paths);
                Ok(())
            }
            Err(error) if error.is_taken() => {
                self.kept.push(error);
                Ok(())
            }
            Err(error) => Err(error),
        };
        for (path, live) in self.live {
            put(live.end(timeline).map(|()| vec![path]))?;
        }
        for (path, writer, output) in self.whole {
            put(write(timeline, &*writer, output).map(|()| vec![path]))?;
        }
        for bundle in self.bundles {
            put(bundle.write(timeline))?;
        }
        written.retain(|path| path != Path::new("-"));
        Ok((written, self.kept))
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
        let planned = plan(&["v.mp4".into()], &[], &outputs, &[], None).unwrap();
        let expected = [("a.json", Format::Json), ("b/c.vtt", Format::Vtt), ("-", Format::Json), ("-", Format::Jsonl)];
        assert_eq!(paths(&planned[0]), expected);
    }

    #[test]
    fn formats_are_named_after_the_input() {
        let planned = plan(&["x/v.mp4".into(), "-".into()], &[], &[], &[Format::Csv], None).unwrap();
        assert_eq!(paths(&planned[0]), [("v.csv", Format::Csv)]);
        assert_eq!(paths(&planned[1]), [("stdin.csv", Format::Csv)]);
    }

    #[test]
    fn two_inputs_never_share_an_output() {
        let message = plan(&["a.mp4".into(), "a.mov".into()], &[], &[], &[Format::Csv], None).unwrap_err().to_string();
        assert!(message.contains("a.csv") && message.contains("two outputs"), "{message}");
        assert!(plan(&["a.mp4".into(), "b.mp4".into()], &[], &["c.json".into()], &[], None).is_err());
    }

    #[test]
    fn an_output_never_overwrites_the_input() {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("labels.json");
        std::fs::write(&input, "").unwrap();
        let inputs = [input];
        let message = plan(&inputs, &inputs, &inputs, &[], None).unwrap_err().to_string();
        assert!(message.contains("replace the input"), "{message}");
    }
}
