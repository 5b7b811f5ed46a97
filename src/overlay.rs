//! The video once more, with boxes, names and strips drawn into it: same frames at the same times, sound untouched.
//!
//! All of it is drawn by ourselves on the planes, so that every FFmpeg with an encoder will do.

mod canvas;
mod film;
mod marks;
mod sketch;
mod sound;
mod text;

use std::path::{Path, PathBuf};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::{codec, encoder};

use crate::files::{OutputOptions, WriteError};
use crate::nn::face_mesh::FaceMeshError;
use crate::pipeline::decode::{DecodeError, DecodeOptions, Decoder, Source};
use crate::pipeline::frame::Frame;
use crate::timeline::Timeline;
use canvas::Canvas;
use film::Film;
use marks::Marks;
use sketch::Sketch;
use sound::Sound;

/// Why the video could not be drawn on.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum OverlayError {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    FaceMesh(#[from] FaceMeshError),
    #[error(transparent)]
    Output(#[from] WriteError),
    #[error("{path}: a video is written as .mp4, .mov or .mkv")]
    Container { path: PathBuf },
    #[error("{path}: a name that is not UTF-8 cannot be given to the encoder")]
    Name { path: PathBuf },
    #[error(
        "{path}: this FFmpeg has no encoder for H.264, which .mov needs; write .mp4 or .mkv, which take VP9 as well"
    )]
    NoH264 { path: PathBuf },
    #[error(
        "{path}: this FFmpeg has no encoder for H.264 or VP9; write .ass instead and open it together with the video"
    )]
    NoEncoder { path: PathBuf },
    #[error("{path}: the video cannot be written: {reason}")]
    Encode { path: PathBuf, reason: String },
}

/// Writes `source` to `path` with `timeline` drawn into it. The timeline's frames are those that `options` decode; `existing`
/// says what becomes of a file that is there.
///
/// # Errors
/// If the source cannot be decoded again, FFmpeg lacks an encoder, or the file cannot be written.
pub fn overlay(
    source: &Source,
    timeline: &Timeline,
    options: DecodeOptions,
    path: &Path,
    existing: OutputOptions,
) -> Result<(), OverlayError> {
    let container = Container::of(path)?;
    container.check_encoders(path, has_encoder)?;
    write(source, timeline, options, &container, path, existing)
}

/// Whether a video can be written to `path`, as far as that can be known without one.
///
/// # Errors
/// If its name asks for something else, or FFmpeg lacks an encoder.
pub fn check(path: &Path) -> Result<(), OverlayError> {
    Container::of(path)?.check_encoders(path, has_encoder)
}

fn write(
    source: &Source,
    timeline: &Timeline,
    options: DecodeOptions,
    container: &Container,
    path: &Path,
    existing: OutputOptions,
) -> Result<(), OverlayError> {
    let output = existing.create(path)?;
    let name =
        output.temporary_path().unwrap_or(path).to_str().ok_or_else(|| OverlayError::Name { path: path.into() })?;
    let failed = |error: ffmpeg::Error| OverlayError::Encode { path: path.into(), reason: error.to_string() };
    let mut decoder = Decoder::open(source, options.clone())?;
    let mut drawing = Drawing::of(timeline)?;
    let mut sound = Some(Sound::open(source, &options)?);
    let mut film: Option<Film> = None;
    while let Some(frame) = decoder.next_frame()? {
        let film = match &mut film {
            Some(film) => film,
            None => {
                let sound = sound.take().unwrap_or_default();
                let Container { name: form, codecs } = *container;
                film.insert(Film::begin(name, form, codecs, timeline, &frame, sound).map_err(failed)?)
            }
        };
        film.push(&frame, |canvas| drawing.draw(timeline, &frame, canvas)).map_err(failed)?;
    }
    if let Some(film) = film {
        film.end().map_err(failed)?;
    }
    Ok(output.commit()?)
}

/// What is drawn on every frame.
struct Drawing {
    sketch: Option<Sketch>,
    marks: Marks,
}

impl Drawing {
    fn of(timeline: &Timeline) -> Result<Self, FaceMeshError> {
        Ok(Self { sketch: Sketch::of(timeline)?, marks: Marks::new(timeline) })
    }

    fn draw(&mut self, timeline: &Timeline, frame: &Frame, canvas: &mut Canvas<'_>) {
        if let Some(sketch) = &self.sketch {
            sketch.draw(timeline, frame.index, frame.picture.as_ref(), canvas);
        }
        self.marks.draw(timeline, frame.index, frame.time_s, canvas);
    }
}

/// The form of a video file.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Container {
    /// As FFmpeg calls it.
    name: &'static str,
    /// What pictures are encoded as in it, best first.
    codecs: &'static [codec::Id],
}

impl Container {
    /// What the extension of `path` asks for.
    fn of(path: &Path) -> Result<Self, OverlayError> {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let (name, codecs): (_, &[codec::Id]) = match extension.as_str() {
            "mp4" => ("mp4", &[codec::Id::H264, codec::Id::VP9]),
            // QuickTime knows no VP9.
            "mov" => ("mov", &[codec::Id::H264]),
            "mkv" => ("matroska", &[codec::Id::H264, codec::Id::VP9]),
            _ => return Err(OverlayError::Container { path: path.into() }),
        };
        Ok(Self { name, codecs })
    }

    fn check_encoders(&self, path: &Path, has: impl Fn(codec::Id) -> bool) -> Result<(), OverlayError> {
        match self.codecs.iter().any(|codec| has(*codec)) {
            true => Ok(()),
            false if has(codec::Id::VP9) => Err(OverlayError::NoH264 { path: path.into() }),
            false => Err(OverlayError::NoEncoder { path: path.into() }),
        }
    }
}

fn has_encoder(codec: codec::Id) -> bool {
    encoder::find(codec).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn only_containers_for_video_are_taken() {
        assert_eq!(Container::of(Path::new("a.MKV")).unwrap().name, "matroska");
        assert!(matches!(check(Path::new("a.json")), Err(OverlayError::Container { .. })));
    }

    #[test]
    fn without_an_encoder_for_h264_mov_is_refused_and_the_others_take_vp9() {
        let check = |name: &str, encoders: &[codec::Id]| {
            let path = Path::new(name);
            Container::of(path).unwrap().check_encoders(path, |codec| encoders.contains(&codec))
        };
        let both = [codec::Id::H264, codec::Id::VP9];
        assert!(["a.mp4", "a.mov", "a.mkv"].iter().all(|name| check(name, &both).is_ok()));
        assert!(["a.mp4", "a.mkv"].iter().all(|name| check(name, &[codec::Id::VP9]).is_ok()));
        assert!(matches!(check("a.mov", &[codec::Id::VP9]), Err(OverlayError::NoH264 { .. })));
        assert!(matches!(check("a.mp4", &[codec::Id::MPEG4]), Err(OverlayError::NoEncoder { .. })));
    }

    #[test]
    fn vp9_holds_the_same_frames_at_the_same_times() {
        let folder = tempfile::tempdir().unwrap();
        let source = Source::File(Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo/demo.mp4"));
        let mut timeline = sample::two_signers();
        (timeline.media.width, timeline.media.height) = (1280, 720);
        let options = DecodeOptions { start_s: Some(0.2), end_s: Some(0.44), ..DecodeOptions::default() };
        for name in ["drawn.mp4", "drawn.mkv"] {
            let path = folder.path().join(name);
            let container = Container { codecs: &[codec::Id::VP9], ..Container::of(&path).unwrap() };
            let existing = OutputOptions::new();
            write(&source, &timeline, options.clone(), &container, &path, existing).unwrap();
            let codec = ffmpeg::format::input(&path).unwrap().stream(0).unwrap().parameters().id();
            assert_eq!(codec, codec::Id::VP9, "{name}");
            let mut decoder = Decoder::open(&Source::File(path), DecodeOptions::default()).unwrap();
            let mut times_s = Vec::new();
            while let Some(frame) = decoder.next_frame().unwrap() {
                let luma = frame.picture.luma();
                // The cursor's lower end.
                let column = (frame.index as f64 / 6.0 * 1280.0) as usize + 1;
                assert!(luma.row(luma.height - 2)[column] > 200, "{name}: frame {}", frame.index);
                times_s.push(frame.time_s);
            }
            assert_eq!(times_s.len(), 6, "{name}");
            let expected = &timeline.frames.time_s;
            assert!(
                times_s.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-3),
                "{times_s:?}"
            );
        }
    }
}
