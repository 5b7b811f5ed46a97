//! Which labels moved when a corpus was annotated again with another model: `moved.html` and `moved.csv`.
//!
//! Boxes do not depend on the model, so that a signer of the old annotation is found in the new one by where the face is.
//! Only frames that both models read are compared.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use quick_xml::escape::escape;
use serde::{Deserialize, Serialize};

use super::path::printable;
use super::report::link;
use crate::files::{OutputOptions, WriteError, spreadsheet_cell};
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
pub struct Moved {
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

/// What became of a video's labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Moves {
    /// The model before.
    pub model: ModelIdentity,
    /// Faces in frames that have a label of both models.
    pub compared: usize,
    /// Those whose labels differ.
    pub differing: usize,
    /// The stretches that they make, by signer and time.
    pub moved: Vec<Moved>,
}

impl Moves {
    /// From an annotation to one of the same video by another model.
    pub fn between(before: &Timeline, after: &Timeline) -> Self {
        let mut moves = Self { model: before.model.clone(), compared: 0, differing: 0, moved: Vec::new() };
        for track in &after.tracks {
            if let Some(own) = same_face(before, track) {
                moves.add(own, track, after);
            }
        }
        moves
    }

    fn add(&mut self, before: &Track, after: &Track, timeline: &Timeline) {
        let mut open: Option<Moved> = None;
        for record in &after.frames {
            let of_before = record.frame.checked_sub(before.first_frame).and_then(|place| before.frames.get(place));
            let labels = of_before.and_then(|own| own.label).zip(record.label);
            self.compared += usize::from(labels.is_some());
            let Some((from, to)) = labels.filter(|(from, to)| from != to) else {
                self.moved.extend(open.take());
                continue;
            };
            self.differing += 1;
            let [start, end] = timeline.frame_in_player_time(record.frame).map(|time| time.0);
            match &mut open {
                Some(moved) if (moved.before, moved.after) == (from, to) => {
                    (moved.last_frame, moved.span_s[1]) = (record.frame, end);
                }
                _ => {
                    let (first_frame, last_frame, span_s) = (record.frame, record.frame, [start, end]);
                    let signer = after.signer();
                    let moved = Moved { signer, first_frame, last_frame, span_s, before: from, after: to };
                    self.moved.extend(open.replace(moved));
                }
            }
        }
        self.moved.extend(open);
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
pub struct OfVideo {
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
    videos: &[OfVideo],
    existing: OutputOptions,
) -> Result<Vec<WriteError>, WriteError> {
    let mut kept = Vec::new();
    let mut put = |name: &str, content: &dyn Fn(&mut dyn Write) -> io::Result<()>| match existing
        .confined()
        .put(&folder.join(name), content)
    {
        Err(error) if error.is_taken() => {
            kept.push(error);
            Ok(())
        }
        written => written,
    };
    put(PAGE, &|out| page(model, videos, out))?;
    put(TABLE, &|out| table(videos, out))?;
    Ok(kept)
}

fn table(videos: &[OfVideo], out: &mut dyn Write) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(["video", "signer", "first_frame", "last_frame", "start_s", "end_s", "before", "after"])?;
    for OfVideo { output, moves, .. } in videos {
        let video = output.display().to_string();
        for moved in &moves.moved {
            csv.write_record([
                &*spreadsheet_cell(&video),
                &*spreadsheet_cell(&moved.signer),
                &moved.first_frame.to_string(),
                &moved.last_frame.to_string(),
                &format!("{:.3}", moved.span_s[0]),
                &format!("{:.3}", moved.span_s[1]),
                moved.before.name(),
                moved.after.name(),
            ])?;
        }
    }
    csv.flush()
}

const STYLE: &str = "body{font:16px/1.5 sans-serif;max-width:64em;margin:2em auto;padding:0 1em;color:#222;background:#fff}\
table{border-collapse:collapse;margin:1em 0}td,th{padding:.25em .7em;border-bottom:1px solid #ccc;text-align:left}\
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}i{display:inline-block;width:.8em;height:.8em;margin-right:.4em}";

fn page(model: &ModelIdentity, videos: &[OfVideo], out: &mut dyn Write) -> io::Result<()> {
    let compared: usize = videos.iter().map(|video| video.moves.compared).sum();
    let differing: usize = videos.iter().map(|video| video.moves.differing).sum();
    let mut models: Vec<&ModelIdentity> = videos.iter().map(|video| &video.moves.model).collect();
    models.sort_by(|a, b| a.sha256.cmp(&b.sha256));
    models.dedup();
    let before: Vec<String> = models.into_iter().map(named).collect();
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>Labels that moved</title>\n<style>{STYLE}</style></head><body>\n<h1>Labels that moved</h1>\n\
         <p>From {} to {}. {differing} of {compared} faces in frames that both read have another label ({:.1} %), in {} {}.</p>\n",
        before.join(", "),
        named(model),
        100.0 * differing as f64 / compared.max(1) as f64,
        videos.len(),
        if videos.len() == 1 { "video" } else { "videos" },
    )?;
    kinds(videos, out)?;
    let mut stretches: Vec<(&OfVideo, &Moved)> =
        videos.iter().flat_map(|video| video.moves.moved.iter().map(move |moved| (video, moved))).collect();
    let length = |moved: &Moved| moved.span_s[1] - moved.span_s[0];
    stretches.sort_by(|a, b| length(b.1).total_cmp(&length(a.1)));
    if stretches.is_empty() {
        return out.write_all(b"</body></html>\n");
    }
    out.write_all(
        b"<h2>Stretches, the longest first</h2>\n<table><thead><tr><th>Video</th><th>Signer</th><th class=\"n\">From, s</th>\
          <th class=\"n\">To, s</th><th>Before</th><th>After</th></tr></thead><tbody>\n",
    )?;
    for (video, moved) in stretches.iter().take(SHOWN) {
        let name = escape(printable(&video.output)).into_owned();
        let name = match &video.page {
            Some(page) => format!("<a href=\"{}#frame={}\">{name}</a>", link(page), moved.first_frame),
            None => name,
        };
        writeln!(
            out,
            "<tr><td>{name}</td><td>{}</td><td class=\"n\">{:.2}</td><td class=\"n\">{:.2}</td><td>{}</td><td>{}</td></tr>",
            escape(&moved.signer),
            moved.span_s[0],
            moved.span_s[1],
            labelled(moved.before),
            labelled(moved.after)
        )?;
    }
    out.write_all(b"</tbody></table>\n")?;
    if stretches.len() > SHOWN {
        writeln!(out, "<p>And {} shorter ones, which stand in {TABLE}.</p>", stretches.len() - SHOWN)?;
    }
    out.write_all(b"</body></html>\n")
}

/// How often which label became which.
fn kinds(videos: &[OfVideo], out: &mut dyn Write) -> io::Result<()> {
    let mut kinds: BTreeMap<(usize, usize), (usize, f64)> = BTreeMap::new();
    for moved in videos.iter().flat_map(|video| &video.moves.moved) {
        let (count, seconds) = kinds.entry((moved.before.index(), moved.after.index())).or_default();
        *count += 1;
        *seconds += moved.span_s[1] - moved.span_s[0];
    }
    let mut kinds: Vec<((usize, usize), (usize, f64))> = kinds.into_iter().collect();
    kinds.sort_by(|a, b| b.1.1.total_cmp(&a.1.1));
    if kinds.is_empty() {
        return Ok(());
    }
    out.write_all(
        b"<table><thead><tr><th>Before</th><th>After</th><th class=\"n\">Stretches</th><th class=\"n\">Seconds</th></tr></thead><tbody>\n",
    )?;
    for ((before, after), (count, seconds)) in kinds {
        let [before, after] = [before, after].map(|class| labelled(Expression::ALL[class]));
        writeln!(
            out,
            "<tr><td>{before}</td><td>{after}</td><td class=\"n\">{count}</td><td class=\"n\">{seconds:.1}</td></tr>"
        )?;
    }
    out.write_all(b"</tbody></table>\n")
}

fn labelled(class: Expression) -> String {
    format!("<i style=\"background:{}\"></i>{}", palette::colour_of(class).hex(), class.name())
}

fn named(model: &ModelIdentity) -> String {
    format!("{} <code>{}</code>", escape(&model.name), escape(model.sha256.get(..12).unwrap_or_default()))
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
        let moved = Moved {
            signer: "A".into(),
            first_frame: 1,
            last_frame: 1,
            span_s: after.frame_in_player_time(1).map(|time| time.0),
            before: Expression::Happiness,
            after: Expression::Fear,
        };
        assert_eq!((moves.differing, moves.moved.as_slice()), (1, [moved].as_slice()));
        // Four frames of the first signer and one of the second have labels.
        assert_eq!(moves.compared, 5);
        assert!(Moves::between(&before, &before).moved.is_empty());
    }

    #[test]
    fn signers_are_compared_by_where_they_are_and_not_by_their_letters() {
        let [before, mut after] = two();
        (after.tracks[0].id, after.tracks[1].id) = (2, 1);
        let moves = Moves::between(&before, &after);
        assert_eq!((moves.compared, moves.moved.len()), (5, 1));
        assert_eq!(moves.moved[0].signer, "B");
    }

    #[test]
    fn the_page_says_what_became_what_and_names_cannot_become_markup() {
        let [before, after] = two();
        let moves = Moves::between(&before, &after);
        let video = OfVideo { output: "a&b.mp4".into(), page: Some("a&b.mp4.html".into()), moves };
        let mut bytes = Vec::new();
        page(&after.model, std::slice::from_ref(&video), &mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains("&lt;other&gt;") && !text.contains("<other"), "{text}");
        assert!(text.contains("1 of 5 faces") && text.contains("./a%26b.mp4.html#frame=1"), "{text}");
        let mut bytes = Vec::new();
        table(&[video], &mut bytes).unwrap();
        assert!(String::from_utf8(bytes).unwrap().contains("a&b.mp4,A,1,1,0.040,0.080,happiness,fear"));
    }
}
