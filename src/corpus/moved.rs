//! Which labels moved when a corpus was annotated again with another model: `moved.html` and `moved.csv`.
//!
//! Boxes do not depend on the model, so that a signer of the old annotation is found in the new one by where the face is.
//! Only frames that have a label of both models are compared.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use super::path::printable;
use super::report::{ReportFiles, link};
use crate::files::{OutputOptions, WriteError, spreadsheet_cell};
use crate::page;
use crate::palette;
use crate::timeline::{Expression, ModelIdentity, Timeline, Track};

/// The page for people.
pub const PAGE: &str = "moved.html";
/// The table for programs.
pub const TABLE: &str = "moved.csv";
/// Overlap (intersection over union) from which on two boxes of a frame are one face.
const SAME_FACE: f32 = 0.3;
/// Stretches that the page names; the table has all of them.
const SHOWN: usize = 1000;

/// A stretch of one signer to which another model gave another label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MovedStretch {
    /// What the new annotation calls the signer.
    pub signer: String,
    /// First frame.
    pub first_frame: usize,
    /// Last frame, inclusive.
    pub last_frame: usize,
    /// From when to when, seconds as a player shows them.
    pub span_s: [f64; 2],
    /// The label of the model before.
    pub before: Expression,
    /// The label of the model now.
    pub after: Expression,
}

impl MovedStretch {
    fn duration_s(&self) -> f64 {
        self.span_s[1] - self.span_s[0]
    }
}

/// What became of a video's labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Moves {
    /// The model before.
    pub model: ModelIdentity,
    /// Whether the settings or the program were others as well, so that not every move is the model's.
    pub has_other_settings: bool,
    /// Faces in frames that have a label of both models.
    pub compared: usize,
    /// Those whose labels differ.
    pub differing: usize,
    /// The stretches that they make, by signer and time.
    pub stretches: Vec<MovedStretch>,
}

impl Moves {
    /// From an annotation to one of the same video by another model.
    pub fn between(before: &Timeline, after: &Timeline) -> Self {
        let has_other_settings = before.settings != after.settings || before.tool != after.tool;
        let model = before.model.clone();
        let mut moves = Self { model, has_other_settings, compared: 0, differing: 0, stretches: Vec::new() };
        for track in &after.tracks {
            if let Some(own) = same_face(before, track) {
                moves.add(own, track, after);
            }
        }
        moves
    }

    fn add(&mut self, before: &Track, after: &Track, timeline: &Timeline) {
        let mut open: Option<MovedStretch> = None;
        for record in &after.frames {
            let of_before = record.frame.checked_sub(before.first_frame).and_then(|index| before.frames.get(index));
            let labels = of_before.and_then(|own| own.label).zip(record.label);
            self.compared += usize::from(labels.is_some());
            let Some((from, to)) = labels.filter(|(from, to)| from != to) else {
                self.stretches.extend(open.take());
                continue;
            };
            self.differing += 1;
            let [start, end] = timeline.frame_in_player_time(record.frame).map(|time| time.0);
            match &mut open {
                Some(stretch) if (stretch.before, stretch.after) == (from, to) => {
                    (stretch.last_frame, stretch.span_s[1]) = (record.frame, end);
                }
                _ => {
                    let (first_frame, last_frame, span_s) = (record.frame, record.frame, [start, end]);
                    let signer = after.signer();
                    let stretch = MovedStretch { signer, first_frame, last_frame, span_s, before: from, after: to };
                    self.stretches.extend(open.replace(stretch));
                }
            }
        }
        self.stretches.extend(open);
    }
}

/// The track of `before` whose face lies on that of `track` in most frames.
fn same_face<'a>(before: &'a Timeline, track: &Track) -> Option<&'a Track> {
    let shared = |own: &Track| {
        let is_same = |frame: usize| {
            let face = |track: &Track| track.frames.get(frame.checked_sub(track.first_frame)?)?.face;
            face(own).zip(face(track)).is_some_and(|(a, b)| a.iou(&b) >= SAME_FACE)
        };
        (track.first_frame..=track.last_frame).filter(|frame| is_same(*frame)).count()
    };
    let counted = before.tracks.iter().map(|own| (shared(own), own)).filter(|(count, _)| *count > 0);
    counted.max_by_key(|(count, _)| *count).map(|(_, own)| own)
}

/// The moves of one video of a corpus.
#[derive(Debug, Clone, PartialEq)]
pub struct MovedVideo {
    /// Where the video's results are, relative to the output folder, without their extension.
    pub output: PathBuf,
    /// The review page, relative to the output folder, where there is one.
    pub page: Option<PathBuf>,
    /// What moved.
    pub moves: Moves,
}

/// Writes page and table into `folder`; gives those that were left alone, and why.
///
/// # Errors
/// If one cannot be written.
pub fn write(
    folder: &Path,
    model: &ModelIdentity,
    videos: &[MovedVideo],
    existing: OutputOptions,
) -> Result<Vec<WriteError>, WriteError> {
    let mut files = ReportFiles::new(folder, existing);
    files.put(PAGE, &|out| writeln!(out, "{}", moved_page(model, videos).into_string()))?;
    files.put(TABLE, &|out| table(videos, out))?;
    Ok(files.kept)
}

fn table(videos: &[MovedVideo], out: &mut dyn Write) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(["video", "signer", "first_frame", "last_frame", "start_s", "end_s", "before", "after"])?;
    for MovedVideo { output, moves, .. } in videos {
        let video = output.display().to_string();
        for stretch in &moves.stretches {
            csv.write_record([
                &*spreadsheet_cell(&video),
                &*spreadsheet_cell(&stretch.signer),
                &stretch.first_frame.to_string(),
                &stretch.last_frame.to_string(),
                &format!("{:.3}", stretch.span_s[0]),
                &format!("{:.3}", stretch.span_s[1]),
                stretch.before.name(),
                stretch.after.name(),
            ])?;
        }
    }
    csv.flush()
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:64em;margin:2em auto;padding:0 1em;color:#222;background:#fff}\
table{border-collapse:collapse;margin:1em 0}td,th{padding:.25em .7em;border-bottom:1px solid #ddd;text-align:left}\
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}\
i{display:inline-block;width:.8em;height:.8em;margin-right:.4em;border-radius:2px}code{font-size:90%}";

fn moved_page(model: &ModelIdentity, videos: &[MovedVideo]) -> Markup {
    let compared: usize = videos.iter().map(|video| video.moves.compared).sum();
    let differing: usize = videos.iter().map(|video| video.moves.differing).sum();
    let others = videos.iter().filter(|video| video.moves.has_other_settings).count();
    let mut models: Vec<&ModelIdentity> = videos.iter().map(|video| &video.moves.model).collect();
    models.sort_by(|a, b| a.sha256.cmp(&b.sha256));
    models.dedup();
    let share = 100.0 * differing as f64 / compared.max(1) as f64;
    let body = html! {
        h1 { "Labels that moved" }
        p {
            "From "
            @for (number, before) in models.into_iter().enumerate() { @if number > 0 { ", " } (named(before)) }
            " to " (named(model)) ". "
            (differing) " of " (compared) " labels are others now (" (format!("{share:.1} %")) "), in " (counted(videos.len(), "video")) "."
        }
        @if others > 0 {
            p { "In " (counted(others, "video")) " the settings or the program were others as well, so that not every move is the model's." }
        }
        (kinds(videos))
        (longest(videos))
    };
    page::page("Labels that moved", STYLE, &body)
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// How often which label became which.
fn kinds(videos: &[MovedVideo]) -> Markup {
    let mut kinds: BTreeMap<(usize, usize), (usize, f64)> = BTreeMap::new();
    for stretch in videos.iter().flat_map(|video| &video.moves.stretches) {
        let (count, seconds) = kinds.entry((stretch.before.index(), stretch.after.index())).or_default();
        *count += 1;
        *seconds += stretch.duration_s();
    }
    let mut kinds: Vec<((usize, usize), (usize, f64))> = kinds.into_iter().collect();
    kinds.sort_by(|a, b| b.1.1.total_cmp(&a.1.1));
    html! {
        @if !kinds.is_empty() {
            h2 { "What became what" }
            table {
                thead { tr { th { "Before" } th { "After" } th class="n" { "Stretches" } th class="n" { "Seconds" } } }
                tbody {
                    @for ((before, after), (count, seconds)) in kinds {
                        tr {
                            td { (labelled(Expression::ALL[before])) }
                            td { (labelled(Expression::ALL[after])) }
                            td class="n" { (count) }
                            td class="n" { (format!("{seconds:.1}")) }
                        }
                    }
                }
            }
        }
    }
}

/// The stretches, the longest first.
fn longest(videos: &[MovedVideo]) -> Markup {
    let mut all: Vec<(&MovedVideo, &MovedStretch)> = Vec::new();
    for video in videos {
        all.extend(video.moves.stretches.iter().map(|stretch| (video, stretch)));
    }
    all.sort_by(|a, b| b.1.duration_s().total_cmp(&a.1.duration_s()));
    html! {
        @if !all.is_empty() {
            h2 { "Stretches, the longest first" }
            table {
                thead {
                    tr {
                        th { "Video" } th { "Signer" } th class="n" { "From, s" } th class="n" { "To, s" } th { "Before" } th { "After" }
                    }
                }
                tbody { @for (video, stretch) in all.iter().take(SHOWN) { (row(video, stretch)) } }
            }
        }
        @if all.len() > SHOWN { p { "And " (all.len() - SHOWN) " shorter ones, which " (TABLE) " lists." } }
    }
}

fn row(video: &MovedVideo, stretch: &MovedStretch) -> Markup {
    let name = printable(&video.output);
    html! {
        tr {
            td {
                @match &video.page {
                    Some(page) => a href=(format!("{}#frame={}", link(page), stretch.first_frame)) { (name) },
                    None => (name),
                }
            }
            td { (page::printable(&stretch.signer)) }
            td class="n" { (format!("{:.2}", stretch.span_s[0])) }
            td class="n" { (format!("{:.2}", stretch.span_s[1])) }
            td { (labelled(stretch.before)) }
            td { (labelled(stretch.after)) }
        }
    }
}

fn labelled(class: Expression) -> Markup {
    html! { i style=(format!("background:{}", palette::colour_of(class).hex())) {} (class.name()) }
}

fn named(model: &ModelIdentity) -> Markup {
    html! { (page::printable(&model.name)) " " code { (model.sha256.get(..12).unwrap_or_default()) } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    /// The second frame of the first signer's smile is taken for fear.
    fn two() -> [Timeline; 2] {
        let before = sample::two_signers();
        let mut after = before.clone();
        after.model.name = "<other>".into();
        after.tracks[0].frames[1].label = Some(Expression::Fear);
        [before, after]
    }

    #[test]
    fn stretches_with_another_label_are_named_with_their_time() {
        let [before, after] = two();
        let moves = Moves::between(&before, &after);
        let stretch = MovedStretch {
            signer: "A".into(),
            first_frame: 1,
            last_frame: 1,
            span_s: after.frame_in_player_time(1).map(|time| time.0),
            before: Expression::Happiness,
            after: Expression::Fear,
        };
        assert_eq!((moves.differing, moves.stretches.as_slice()), (1, [stretch].as_slice()));
        // Four frames of the first signer and one of the second have labels.
        assert_eq!(moves.compared, 5);
        assert!(Moves::between(&before, &before).stretches.is_empty());
    }

    #[test]
    fn signers_are_compared_by_where_they_are_and_not_by_their_letters() {
        let [before, mut after] = two();
        (after.tracks[0].id, after.tracks[1].id) = (2, 1);
        let moves = Moves::between(&before, &after);
        assert_eq!((moves.compared, moves.stretches.len()), (5, 1));
        assert_eq!(moves.stretches[0].signer, "B");
    }

    #[test]
    fn a_move_that_may_be_of_other_settings_is_not_put_down_to_the_model() {
        let [before, mut after] = two();
        let page = |after: &Timeline| {
            let moves = Moves::between(&before, after);
            moved_page(&after.model, &[MovedVideo { output: "a.mp4".into(), page: None, moves }]).into_string()
        };
        assert!(!page(&after).contains("the settings or the program"));
        after.settings["smoothing"] = "none".into();
        assert!(page(&after).contains("In 1 video the settings or the program were others as well"));
    }

    #[test]
    fn the_page_says_what_became_what_and_names_cannot_become_markup() {
        let [before, after] = two();
        let moves = Moves::between(&before, &after);
        let video = MovedVideo { output: "a&b.mp4".into(), page: Some("a&b.mp4.html".into()), moves };
        let text = moved_page(&after.model, std::slice::from_ref(&video)).into_string();
        assert!(text.contains("&lt;other&gt;") && !text.contains("<other"), "{text}");
        assert!(text.contains("1 of 5 labels") && text.contains("./a%26b.mp4.html#frame=1"), "{text}");
        let mut bytes = Vec::new();
        table(&[video], &mut bytes).unwrap();
        assert!(String::from_utf8(bytes).unwrap().contains("a&b.mp4,A,1,1,0.240,0.280,happiness,fear"));
    }
}
