//! The plan of a corpus: one JSON object a line. The first says with which model and settings; then comes a line for
//! every unit of work, each of which is a pure function of its line and the first one, and one for every file that is
//! refused.

use std::collections::HashMap;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use super::inputs::{Inputs, Item};
use super::journal::FileStamp;
use super::path::{is_below, printable};
use super::{CorpusError, DecodeAdvice, Outcome, Verdict, workers};
use crate::files::{file_sha256, visible};
use crate::pipeline::decode::{DecodeError, Decoder, Entry, Packets, Source};
use crate::pipeline::span;
use crate::pipeline::{Excerpt, Execution, Settings, decode_options};
use crate::time::{LEAD_S, SPAN_S};
use crate::timeline::{ModelIdentity, Tool};

/// The version of the plan's form.
pub const SCHEMA: &str = "annotate/plan/2";

/// A plan of a million units is half of this.
const LARGEST: u64 = 1 << 30;

/// The first line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanTerms {
    /// [`SCHEMA`].
    pub schema: String,
    /// The program that planned; no other version works on the plan.
    pub tool: Tool,
    /// What `--model` named.
    #[serde(with = "super::path")]
    pub model_name: PathBuf,
    /// The model.
    pub model: ModelIdentity,
    /// SHA-256 of all that its answers depend on ([`effective_sha256`](crate::model::ModelConfig::effective_sha256)).
    pub model_config_sha256: String,
    /// What `--detector-model` named, where the detector has a model.
    #[serde(with = "super::path::optional", default, skip_serializing_if = "Option::is_none")]
    pub detector_model: Option<PathBuf>,
    /// The effective settings.
    pub settings: Settings,
}

impl PlanTerms {
    /// SHA-256 of the settings, those of the model included, and of the grid that videos are cut by, hexadecimal.
    pub fn settings_sha256(&self) -> String {
        let settings =
            serde_json::to_string(&(&self.settings, &self.model_config_sha256, SPAN_S, LEAD_S)).unwrap_or_default();
        crate::files::sha256(settings.as_bytes())
    }
}

/// A piece of a video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unit {
    /// Hash of the file's content, the range, the model, the settings and the version.
    pub unit: String,
    /// The video.
    #[serde(with = "super::path")]
    pub path: PathBuf,
    /// Where its results go, without their extension, relative to the output folder.
    #[serde(with = "super::path")]
    pub output: PathBuf,
    /// SHA-256 of the video.
    pub sha256: String,
    /// The video when it was planned.
    stamp: FileStamp,
    /// First span; the first unit of a video has none.
    from: Option<i64>,
    /// First span no longer wanted; the last unit of a video has none.
    to: Option<i64>,
    /// Where decoding may start.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    entry: Option<Entry>,
}

impl Unit {
    fn new(item: &Item, sha256: &str, stamp: &FileStamp, excerpt: Excerpt, terms: &PlanTerms) -> Self {
        let Range { start, end } = excerpt.spans;
        let from = (start != span::ALL.start).then_some(start);
        let to = (end != span::ALL.end).then_some(end);
        let of = (sha256, from, to, &terms.model.sha256, terms.settings_sha256(), &terms.tool.version);
        let id = crate::files::sha256(serde_json::to_string(&of).unwrap_or_default().as_bytes());
        Self {
            unit: id[..32].into(),
            path: item.path.clone(),
            output: item.output.clone(),
            sha256: sha256.into(),
            stamp: stamp.clone(),
            from,
            to,
            entry: excerpt.entry,
        }
    }

    pub(crate) fn excerpt(&self) -> Excerpt {
        let spans = self.from.unwrap_or(span::ALL.start)..self.to.unwrap_or(span::ALL.end);
        Excerpt { spans, entry: self.entry.clone() }
    }

    /// What part of the video it is, for people.
    pub fn range(&self) -> String {
        let seconds = |span: Option<i64>| span.map(|span| format!("{} s", span.saturating_mul(SPAN_S)));
        match (seconds(self.from), seconds(self.to)) {
            (None, None) => "all of it".into(),
            (from, to) => {
                format!("{} to {}", from.unwrap_or("the start".into()), to.unwrap_or("the end".into()))
            }
        }
    }

    /// Whether the video is still what was planned. It is read where its stamp is another one.
    pub(crate) fn is_unchanged(&self, interrupt: &AtomicBool) -> io::Result<bool> {
        if FileStamp::of(&self.path)? == self.stamp {
            return Ok(true);
        }
        let stop = || interrupt.load(Ordering::Relaxed);
        Ok(file_sha256(&self.path, &stop)?.is_none_or(|sha256| sha256 == self.sha256))
    }
}

/// A line after the first.
// A plan has as many units as it has lines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PlanLine {
    /// A piece of a video.
    Video(Unit),
    /// A file that no worker needs to try.
    Refused {
        /// Where its results would go.
        #[serde(with = "super::path")]
        output: PathBuf,
        /// Why.
        outcome: Outcome,
    },
}

impl PlanLine {
    /// A plan may come from anywhere; what it calls files stays in the folders of parts and results.
    fn check_names(&self) -> Result<(), String> {
        let hexadecimal = |id: &str| id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let Self::Video(Unit { unit, output, .. }) = self else { return Ok(()) };
        if !hexadecimal(unit) {
            return Err(format!("the unit '{}' is no id of 32 hexadecimal digits", visible(unit)));
        }
        match is_below(output) {
            true => Ok(()),
            false => Err(format!("the output '{}' leads out of the folder of results", printable(output))),
        }
    }
}

/// A file of a plan.
pub enum PlannedFile<'a> {
    /// A video, by its units in order.
    Video(Vec<&'a Unit>),
    /// A file that no worker needs to try.
    Refused(&'a Outcome),
}

/// A whole plan.
#[derive(Debug, Clone, PartialEq)]
pub struct CorpusPlan {
    /// The first line.
    pub terms: PlanTerms,
    /// The others.
    pub lines: Vec<PlanLine>,
}

impl CorpusPlan {
    /// Plans the work on videos, cut into ranges of about `segment_s` seconds; `jobs` files are examined at a time. Calls
    /// `tell` after each file. What `advice` says of a file that cannot be opened stands behind the reason.
    ///
    /// # Errors
    /// On interruption. A file that cannot be opened is a line.
    pub fn of_videos(
        inputs: &Inputs,
        terms: PlanTerms,
        segment_s: f64,
        jobs: usize,
        interrupt: &Arc<AtomicBool>,
        advice: DecodeAdvice,
        tell: &(dyn Fn() + Sync),
    ) -> Result<Self, CorpusError> {
        let spans = ((segment_s / SPAN_S as f64).round() as i64).max(1);
        let stop = || interrupt.load(Ordering::Relaxed);
        let planned = workers::share(&inputs.items, jobs, &stop, &|item: &Item| {
            let lines = video(item, &terms, spans, interrupt, advice)?;
            tell();
            Ok::<_, CorpusError>(lines)
        })?;
        let refused = inputs.refused.iter().map(|(path, reason)| PlanLine::Refused {
            output: path.clone(),
            outcome: Outcome::failed(path, Verdict::Refused, reason),
        });
        // In the order in which `batch` reports them.
        let lines = planned.into_iter().flatten().flatten().chain(refused).collect();
        Ok(Self { terms, lines })
    }

    /// Reads and checks a plan.
    ///
    /// # Errors
    /// If it cannot be read, is of another form, or a video's ranges leave gaps or overlap.
    pub fn read(path: &Path) -> Result<Self, CorpusError> {
        let refused = |reason: String| CorpusError::Plan { path: path.into(), reason };
        let text = crate::files::read_text(path, LARGEST).map_err(|e| refused(e.to_string()))?;
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        let terms: PlanTerms =
            serde_json::from_str(first).map_err(|e| refused(format!("line 1 is not that of a plan: {e}")))?;
        if terms.schema != SCHEMA {
            return Err(refused(format!("its form is '{}', but this program reads '{SCHEMA}'", terms.schema)));
        }
        let lines: Result<Vec<PlanLine>, _> = lines
            .enumerate()
            .map(|(index, line)| serde_json::from_str(line).map_err(|e| refused(format!("line {}: {e}", index + 2))))
            .collect();
        let plan = Self { terms, lines: lines? };
        plan.check().map_err(refused)?;
        Ok(plan)
    }

    /// Whether the names in the plan are names, no two videos have one output, and every video's ranges follow one another from
    /// its start to its end.
    fn check(&self) -> Result<(), String> {
        for line in &self.lines {
            line.check_names()?;
        }
        let mut outputs = HashMap::new();
        for units in self.videos() {
            if let Some(other) = outputs.insert(&units[0].output, &units[0].path) {
                let names = [other, &units[0].path, &units[0].output].map(|path| printable(path));
                return Err(format!("{} and {}: both would have the output {}", names[0], names[1], names[2]));
            }
        }
        for units in self.videos() {
            let name = printable(&units[0].path);
            let missing = || Err(format!("{name}: its first or last part is not in the plan; plan again"));
            if units[0].from.is_some() || units.last().is_some_and(|last| last.to.is_some()) {
                return missing();
            }
            for pair in units.windows(2) {
                match (pair[0].to, pair[1].from) {
                    (Some(to), Some(from)) if to == from => {}
                    (Some(to), Some(from)) if to < from => {
                        return Err(format!(
                            "{name}: nothing covers {} s to {} s",
                            to.saturating_mul(SPAN_S),
                            from.saturating_mul(SPAN_S)
                        ));
                    }
                    _ => return Err(format!("{name}: {} is planned twice", pair[1].range())),
                }
                if (&pair[0].sha256, &pair[0].output) != (&pair[1].sha256, &pair[1].output) {
                    return Err(format!("{name}: its parts are not of one file"));
                }
            }
        }
        Ok(())
    }

    /// Videos and files that are refused, in the plan's order.
    pub fn files(&self) -> Vec<PlannedFile<'_>> {
        let mut files: Vec<PlannedFile> = Vec::new();
        for line in &self.lines {
            match (line, files.last_mut()) {
                (PlanLine::Video(unit), Some(PlannedFile::Video(units))) if units[0].path == unit.path => {
                    units.push(unit)
                }
                (PlanLine::Video(unit), _) => files.push(PlannedFile::Video(vec![unit])),
                (PlanLine::Refused { outcome, .. }, _) => files.push(PlannedFile::Refused(outcome)),
            }
        }
        files
    }

    /// The units of each video, in order.
    pub fn videos(&self) -> Vec<Vec<&Unit>> {
        let files = self.files().into_iter();
        files.filter_map(|file| if let PlannedFile::Video(units) = file { Some(units) } else { None }).collect()
    }

    /// Writes the plan.
    ///
    /// # Errors
    /// If `out` does.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, &self.terms)?;
        for line in &self.lines {
            out.write_all(b"\n")?;
            serde_json::to_writer(&mut *out, line)?;
        }
        out.write_all(b"\n")
    }
}

/// The lines of one video.
fn video(
    item: &Item,
    terms: &PlanTerms,
    spans: i64,
    interrupt: &Arc<AtomicBool>,
    advice: DecodeAdvice,
) -> Result<Vec<PlanLine>, CorpusError> {
    let refused = |outcome: Outcome| Ok(vec![PlanLine::Refused { output: item.output.clone(), outcome }]);
    let source = Source::File(item.path.clone());
    let execution = Execution { threads: 1, batch_size: 1, interrupt: Arc::clone(interrupt), patience: Arc::default() };
    // Decodes the first frame, so that whatever is refused is refused now.
    let options = decode_options(&terms.settings, &execution);
    let opened = Decoder::open(&source, options.clone());
    let packets = opened.and_then(|_| Packets::read(&source, &options));
    let packets = match packets {
        Ok(packets) => packets,
        Err(error @ DecodeError::Interrupted { .. }) => return Err(crate::pipeline::AnnotateError::from(error).into()),
        Err(error) => return refused(Outcome::not_decoded(&item.path, &error, advice)),
    };
    let stop = || interrupt.load(Ordering::Relaxed);
    let content = FileStamp::of(&item.path).and_then(|stamp| Ok((stamp, file_sha256(&item.path, &stop)?)));
    match content {
        Ok((stamp, Some(sha256))) => {
            let excerpts = packets.excerpts(spans).into_iter();
            let units = excerpts.map(|excerpt| Unit::new(item, &sha256, &stamp, excerpt, terms));
            Ok(units.map(PlanLine::Video).collect())
        }
        Ok((_, None)) => {
            Err(crate::pipeline::AnnotateError::from(DecodeError::Interrupted { name: source.name() }).into())
        }
        Err(error) => {
            let reason = format!("{}: {error}", printable(&item.path));
            refused(Outcome::failed(&item.path, Verdict::Refused, &reason))
        }
    }
}
