//! Training pictures from reviewed segments: the face as annotation crops it, labelled by the person.

use std::path::{Path, PathBuf};

use super::apply::decided;
use crate::picture::CropRule;
use crate::pipeline::decode::{DecodeError, DecodeOptions};
use crate::timeline::{Expression, SegmentState, Timeline};
use crate::train;
use crate::train::crop::{KnownFace, cut_known, note_rule};
use crate::train::manifest::{Row, Split};

/// Side of the pictures, pixels: enough for every network here, and a face in most videos has no more.
const SIDE: usize = 112;
/// Time between pictures of one segment, seconds; nearer ones show the same.
const EVERY_S: f64 = 0.5;

/// Why pictures could not be cut out.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum CropsError {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("{path}: cannot be written: {reason}")]
    Write { path: PathBuf, reason: String },
    #[error("{video}: it has no frame {frame}; is it another video than the one annotated?")]
    OtherVideo { video: PathBuf, frame: usize },
}

/// Where pictures go and what they are called by.
pub struct Crops<'a> {
    /// The annotated video.
    pub video: &'a Path,
    /// Folder for the pictures; it is made.
    pub folder: &'a Path,
    /// How the network's square lies about a box.
    pub rule: CropRule,
}

impl Crops<'_> {
    /// Cuts out pictures of the frames on which a person's label stands, and gives a manifest row for each.
    ///
    /// # Errors
    /// If the video cannot be decoded or a picture cannot be written.
    pub fn cut(&self, timeline: &Timeline, options: DecodeOptions) -> Result<Vec<Row>, CropsError> {
        let wanted = wanted(timeline);
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        std::fs::create_dir_all(self.folder).map_err(|e| write_error(self.folder, &e))?;
        let stem = self.video.file_stem().unwrap_or_default().to_string_lossy();
        let (mut faces, mut rows) = (Vec::new(), Vec::new());
        for WantedCrop { frame, track, label } in wanted {
            let record = timeline.tracks.iter().find(|t| t.id == track);
            let record = record.and_then(|t| t.frames.get(frame.checked_sub(t.first_frame)?));
            let path = self.folder.join(format!("{stem}-{track}-{frame:06}.png"));
            let Some(face) = record.and_then(KnownFace::of) else { continue };
            faces.push((face, path.clone()));
            rows.push((path, track, label, frame));
        }
        let missing = cut_known(self.video, &faces, &self.rule, SIDE, &options).map_err(|error| match error {
            train::crop::CropError::Decode(error) => CropsError::Decode(error),
            error => write_error(self.folder, &error),
        })?;
        if let Some(frame) = missing {
            return Err(CropsError::OtherVideo { video: self.video.into(), frame });
        }
        note_rule(self.folder, &self.rule).map_err(|e| write_error(self.folder, &e))?;
        Ok(rows.into_iter().map(|(path, track, label, frame)| self.row(path, timeline, track, label, frame)).collect())
    }

    fn row(&self, path: PathBuf, timeline: &Timeline, track: u32, label: Expression, frame: usize) -> Row {
        let sequence = timeline.media.sha256.clone().unwrap_or_else(|| timeline.media.path.clone());
        let signer = crate::timeline::signer(track);
        Row {
            label: Some(label),
            // Nobody knows whether two videos show one person: a split by video keeps frames of one together.
            subject: Some(format!("{sequence}@{signer}")),
            sequence: Some(sequence),
            frame: Some(frame as u64),
            ..Row::new(path.canonicalize().unwrap_or(path), Split::Train)
        }
    }
}

fn write_error(path: &Path, error: &dyn std::fmt::Display) -> CropsError {
    CropsError::Write { path: path.into(), reason: error.to_string() }
}

/// A picture to be cut out.
struct WantedCrop {
    frame: usize,
    track: u32,
    label: Expression,
}

/// The frames to be cut out, in order: of each stretch of a person's label the middle one, and others at least [`EVERY_S`] away.
fn wanted(timeline: &Timeline) -> Vec<WantedCrop> {
    let times = &timeline.frames;
    let mut wanted = Vec::new();
    for stretch in decided(timeline) {
        let SegmentState { track, first_frame, last_frame, .. } = stretch;
        let Some(label) = stretch.label else { continue };
        let middle_s = f64::midpoint(times.time_s[first_frame], times.time_s[last_frame]);
        let steps = ((times.time_s[last_frame] - times.time_s[first_frame]) / 2.0 / EVERY_S) as i64;
        for step in -steps..=steps {
            let time_s = middle_s + step as f64 * EVERY_S;
            let frame = times.time_s.partition_point(|start_s| *start_s <= time_s).saturating_sub(1);
            wanted.push(WantedCrop { frame: frame.clamp(first_frame, last_frame), track, label });
        }
    }
    wanted.sort_by_key(|wanted| (wanted.frame, wanted.track));
    wanted.dedup_by_key(|wanted| (wanted.frame, wanted.track));
    wanted
}

/// Decoding as annotation decoded, from what stands in the timeline.
pub fn decode_options(timeline: &Timeline) -> DecodeOptions {
    let settings: crate::pipeline::Settings = serde_json::from_value(known_settings(timeline)).unwrap_or_default();
    settings.decode_options()
}

/// Settings without what calibration and review have added.
fn known_settings(timeline: &Timeline) -> serde_json::Value {
    let mut settings = timeline.settings.clone();
    if let Some(settings) = settings.as_object_mut() {
        settings.remove("calibration");
        settings.remove("corrections");
    }
    settings
}
