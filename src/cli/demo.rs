//! `annotate demo`: the clip that comes with the program, annotated as any other video is, beside its truth.

use std::path::{Path, PathBuf};

use clap::{Args, Parser as _};
use serde::Deserialize;

use super::shared::ReplaceArguments;
use super::{Cli, Failure, strip};
use crate::timeline::{BoundingBox, Expression, FrameRecord, Segment, Status, Timeline, Track};

/// 24 seconds that show no real person: averages of many faces, made by `examples/demo_clip`.
const CLIP: &[u8] = include_bytes!("../../assets/demo/demo.mp4");
/// What the clip was made to show.
const TRUTH: &str = include_str!("../../assets/demo/truth.json");

/// Overlap (intersection over union) from which a box is that of the clip's face.
const SAME_FACE: f32 = 0.3;

/// Arguments of `annotate demo`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Keep the clip and its results here (demo.mp4, .json, .csv, .srt, .eaf); without it, nothing is kept
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
    #[command(flatten)]
    replace: ReplaceArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let truth: Truth = serde_json::from_str(TRUTH).map_err(anyhow::Error::from)?;
    let (_temporary, folder) = match &arguments.output_dir {
        Some(folder) => (None, folder.clone()),
        None => {
            let temporary = tempfile::tempdir().map_err(|e| Failure::Output(format!("a temporary folder: {e}")))?;
            let folder = temporary.path().to_owned();
            (Some(temporary), folder)
        }
    };
    std::fs::create_dir_all(&folder).map_err(|e| Failure::Output(format!("{}: {e}", folder.display())))?;
    let clip = folder.join("demo.mp4");
    arguments.replace.existing().put(&clip, |out| out.write_all(CLIP))?;
    annotated(&clip, &folder, arguments)?;
    let timeline = Timeline::read(&folder.join("demo.json"))?;
    if timeline.media.frames != truth.frames {
        let found = timeline.media.frames;
        return Err(Failure::Unforeseen(anyhow::anyhow!("{found} frames of {} were decoded", truth.frames)));
    }
    let counts = counts(&timeline, &truth);
    strip::show(&beside_truth(timeline, &truth));
    super::print_text(&counts)?;
    match &arguments.output_dir {
        Some(folder) => talk!("\nThe clip and its results are in {}; open demo.eaf in ELAN.", folder.display()),
        None => {
            talk!("\nWith --output-dir DIR, clip and results are kept. Your own video: annotate VIDEO -o labels.json")
        }
    }
    Ok(())
}

/// The main job on `clip`, with the options that a person would type, and the person's own settings.
fn annotated(clip: &Path, folder: &Path, arguments: &Arguments) -> Result<(), Failure> {
    let formats = if arguments.output_dir.is_some() { "json,csv,srt,eaf" } else { "json" };
    let mut line = vec!["annotate".into(), clip.into(), "-q".into(), "-f".into(), formats.into()];
    line.extend(["--output-dir".into(), folder.as_os_str().to_owned()]);
    if arguments.replace.overwrite {
        line.push("--overwrite".into());
    }
    let line = Cli::try_parse_from(line).map_err(anyhow::Error::from)?;
    super::annotate::run(line.annotate)
}

#[derive(Deserialize)]
struct Truth {
    frames: usize,
    spans: Vec<TruthSpan>,
    faces: Vec<Option<BoundingBox>>,
}

/// A stretch of the clip in which one thing is to be seen; frames are inclusive.
#[derive(Deserialize)]
struct TruthSpan {
    kind: TruthKind,
    label: Option<Expression>,
    from: Option<Expression>,
    to: Option<Expression>,
    first_frame: usize,
    last_frame: usize,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
enum TruthKind {
    /// One expression.
    Held,
    /// One expression becomes another.
    Fade,
    /// The picture's edge cuts the face.
    Cut,
    /// Nobody is there.
    Absent,
}

impl TruthSpan {
    /// The expressions of the span, each with its frames; a fade changes in its middle.
    fn shown(&self) -> Vec<(Expression, usize, usize)> {
        let (first, last) = (self.first_frame, self.last_frame);
        let middle = first + (last - first).div_ceil(2);
        match (self.kind, self.label, self.from, self.to) {
            (TruthKind::Held, Some(label), ..) => vec![(label, first, last)],
            (TruthKind::Fade, _, Some(from), Some(to)) => vec![(from, first, middle - 1), (to, middle, last)],
            _ => Vec::new(),
        }
    }

    fn status(&self) -> Status {
        match self.kind {
            TruthKind::Held | TruthKind::Fade => Status::Ok,
            TruthKind::Cut => Status::OutOfFrame,
            TruthKind::Absent => Status::NoFace,
        }
    }
}

/// The truth as the first of the timeline's signers, for one picture of both.
fn beside_truth(mut timeline: Timeline, truth: &Truth) -> Timeline {
    let several = timeline.tracks.len() > 1;
    for track in &mut timeline.tracks {
        track.name = Some(if several { format!("found {}", track.signer()) } else { "found".into() });
    }
    let record = |frame, status| FrameRecord { status, ..FrameRecord::unseen(frame) };
    let end_s = timeline.end_s();
    let segment = |(label, first_frame, last_frame): (Expression, usize, usize)| Segment {
        first_frame,
        last_frame,
        start_s: timeline.frames.time_s[first_frame],
        end_s: timeline.frames.end_s(last_frame, end_s),
        label,
        confidence: None,
        raw_probability: None,
        face: None,
        decision: None,
    };
    let frames = truth.spans.iter().flat_map(|span| {
        let status = span.status();
        (span.first_frame..=span.last_frame).map(move |frame| record(frame, status))
    });
    let track = Track {
        id: 0,
        name: Some("truth".into()),
        first_frame: 0,
        last_frame: truth.frames - 1,
        frames: frames.collect(),
        segments: truth.spans.iter().flat_map(TruthSpan::shown).map(segment).collect(),
        events: Vec::new(),
        neutral: None,
    };
    timeline.tracks.insert(0, track);
    timeline
}

/// How many frames were read as they were made, a line a class. Fades and cut faces do not count.
fn counts(timeline: &Timeline, truth: &Truth) -> String {
    let mut text =
        String::from("\nframes read as they were made (where one expression fades into another, none counts):\n");
    let mut count = |name: &str, wanted: &dyn Fn(&TruthSpan) -> bool| {
        let spans = truth.spans.iter().filter(|span| wanted(span));
        let judged: Vec<bool> = spans
            .flat_map(|span| (span.first_frame..=span.last_frame).map(|frame| (frame, span.label)))
            .map(|(frame, label)| label_at(timeline, truth, frame) == label)
            .collect();
        let (right, all) = (judged.iter().filter(|is_right| **is_right).count(), judged.len());
        let share = 100.0 * right as f64 / all.max(1) as f64;
        text += &format!("{name:<10} {right:>4} of {all:>4}  {share:>5.1} %\n");
    };
    for class in Expression::ALL {
        count(class.name(), &|span| span.kind == TruthKind::Held && span.label == Some(class));
    }
    count("no face", &|span| span.kind == TruthKind::Absent);
    count("all", &|span| matches!(span.kind, TruthKind::Held | TruthKind::Absent));
    text
}

/// The label of the clip's face in `frame`; where the truth has no face, any label of any face.
fn label_at(timeline: &Timeline, truth: &Truth, frame: usize) -> Option<Expression> {
    let is_the_face = |face: BoundingBox| truth.faces[frame].is_none_or(|wanted| face.iou(&wanted) > SAME_FACE);
    let records = timeline.tracks.iter().filter_map(|track| track.frames.get(frame.checked_sub(track.first_frame)?));
    records.filter(|record| record.face.is_some_and(is_the_face)).find_map(|record| record.label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_truth_says_something_about_every_frame_once() {
        let truth: Truth = serde_json::from_str(TRUTH).unwrap();
        let frames: Vec<usize> = truth.spans.iter().flat_map(|span| span.first_frame..=span.last_frame).collect();
        assert_eq!(frames, (0..truth.frames).collect::<Vec<_>>());
        assert_eq!(truth.faces.len(), truth.frames);
        for span in &truth.spans {
            let shown: Vec<usize> = span.shown().into_iter().flat_map(|(_, first, last)| first..=last).collect();
            let seen = matches!(span.kind, TruthKind::Held | TruthKind::Fade);
            assert_eq!(shown, if seen { (span.first_frame..=span.last_frame).collect() } else { Vec::new() });
        }
    }
}
