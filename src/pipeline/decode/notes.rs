//! What befell a video on its way through the decoder, and what of it means that something is missing.
//!
//! Loss is judged by what arrives: packets that are flagged as damaged or refused, pictures that are flagged, holes where
//! pictures should be. FFmpeg's log is noted, but its lines are no evidence by themselves: it calls a broken EXIF header of a whole
//! picture an error as it does a missing sector.

use std::ops::Range;

use ffmpeg_next::codec::Id;

use super::clock::{Doubt, Stamp};
use super::reports::LoggedErrors;
use crate::timeline::{Damage, DamageKind};

/// Who logged a message.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reporter {
    /// The demuxer, also while it was opened. It flags nothing where it skips damaged bytes: `is_listed` tells whether an index
    /// gives its omissions away.
    Demuxer { is_listed: bool },
    /// The decoder.
    Decoder(Id),
}

/// How many frames after a demuxer's message a hole may be its consequence: decoders hold frames back.
const HOLE_WITHIN: usize = 32;

/// What a demuxer reported: a hole ahead of one of these frames is its consequence.
struct Suspicion {
    frames: Range<usize>,
    report: LoggedErrors,
}

/// Notes in the order of decoding.
#[derive(Default)]
pub(super) struct Notes {
    damage: Vec<Damage>,
    /// Frames decoded, in or out of the range.
    decoded: usize,
    /// Frames whose times are settled.
    settled: usize,
    /// Frames that lie before the range.
    before: usize,
    suspicion: Option<Suspicion>,
    last: Option<Stamp>,
}

impl Notes {
    /// Frames of the range, and those that are not settled yet.
    pub(super) fn frames(&self) -> usize {
        self.decoded - self.before
    }

    /// Notes that something befell the frame that is decoded next.
    pub(super) fn note(&mut self, kind: DamageKind, message: String) {
        self.note_at(self.decoded, kind, 1, message);
    }

    /// Whether no picture has come yet.
    pub(super) fn is_before_the_first(&self) -> bool {
        self.decoded == 0
    }

    /// Notes that so many packets ahead of the first picture came to nothing; those that were refused are known already.
    pub(super) fn note_lost_ahead(&mut self, count: usize, message: String) {
        let known = self.damage.iter().filter(|damage| damage.kind == DamageKind::Lost).map(|damage| damage.count);
        let unknown = count.saturating_sub(known.sum());
        if unknown > 0 {
            self.note_at(0, DamageKind::Lost, unknown, message);
        }
    }

    /// Notes a message of FFmpeg's. Returns whether the message alone means damage.
    pub(super) fn note_report(&mut self, report: LoggedErrors, reporter: Reporter) -> bool {
        let is_damage = match reporter {
            Reporter::Demuxer { is_listed: true } => false,
            Reporter::Demuxer { is_listed: false } => {
                let report = report.clone();
                let frames = self.decoded..self.decoded + HOLE_WITHIN;
                self.suspicion.get_or_insert(Suspicion { frames, report });
                false
            }
            Reporter::Decoder(codec) => !flags_its_damage(codec) && concerns_the_picture(&report.message),
        };
        let kind = if is_damage { DamageKind::Corrupt } else { DamageKind::Reported };
        self.note_at(self.decoded, kind, report.count, report.message);
        is_damage
    }

    /// Takes note that the next packet was read long before it is decoded, so that what the demuxer reported then may be about it.
    pub(super) fn was_read_ahead(&mut self) {
        if let Some(suspicion) = &mut self.suspicion {
            suspicion.frames.end = suspicion.frames.end.max(self.decoded + HOLE_WITHIN);
        }
    }

    /// Counts a picture that the decoder gave.
    pub(super) fn decode(&mut self) {
        self.decoded += 1;
    }

    /// Takes note of the next frame's time; `usual_s` is the usual distance of frames.
    pub(super) fn settle(&mut self, stamp: Stamp, is_before: bool, usual_s: f64) {
        let frame = self.settled;
        match stamp.doubt {
            Some(Doubt::Jumped) => {
                self.note_at(frame, DamageKind::TimeReset, 1, format!("time stamp {} follows a later one", stamp.pts));
            }
            Some(Doubt::Misplaced) => {
                let message = format!("time stamp {} fits none of its neighbours'", stamp.pts);
                self.note_at(frame, DamageKind::TimeRepaired, 1, message);
            }
            None => {}
        }
        if let Some(Suspicion { frames, report }) = self.suspicion.take_if(|suspicion| frame >= suspicion.frames.start)
        {
            let distance_s = self.last.map_or(0.0, |last| stamp.time.seconds() - last.time.seconds());
            if distance_s > 1.5 * usual_s {
                let missing = (distance_s / usual_s).round() as usize - 1;
                self.note_at(frame, DamageKind::Lost, missing.max(1), report.message);
            } else if frames.contains(&frame) {
                self.suspicion = Some(Suspicion { frames, report });
            }
        }
        self.last = Some(stamp);
        self.settled += 1;
        self.before += usize::from(is_before);
    }

    /// Notes that the displayed pictures have another size from the next settled frame on.
    pub(super) fn resize(&mut self, message: String) {
        self.note_at(self.settled, DamageKind::SizeChanged, 1, message);
    }

    /// Everything noted of the range, placed by its frames. What comes ahead of it is not the person's concern.
    pub(super) fn into_damage(self) -> Vec<Damage> {
        let Self { mut damage, before, .. } = self;
        let concerns = |damage: &Damage| match damage.kind {
            DamageKind::Lost | DamageKind::Reported => damage.frame > before || before == 0,
            _ => damage.frame >= before,
        };
        damage.retain(concerns);
        damage.iter_mut().for_each(|damage| damage.frame -= before);
        damage.sort_by_key(|damage| damage.frame);
        damage
    }

    /// The first note, as the reason why nothing was decoded.
    pub(super) fn first_message(&self) -> Option<String> {
        let is_loss = |damage: &&Damage| damage.kind != DamageKind::Reported;
        let first = self.damage.iter().find(is_loss).or(self.damage.first());
        first.map(|damage| damage.message.clone())
    }

    /// Repeated damage of one kind at one frame is counted, and so are frames in a row whose times were repaired, and a
    /// message that comes again.
    fn note_at(&mut self, frame: usize, kind: DamageKind, count: usize, message: String) {
        let is_run = |last: &Damage| match kind {
            DamageKind::TimeRepaired => last.frame + last.count == frame,
            DamageKind::Reported => last.message == message,
            _ => false,
        };
        let same = self.damage.iter_mut().rev().take(4).find(|last| last.kind == kind);
        match same {
            Some(last) if last.frame == frame || is_run(last) => last.count += count,
            _ => self.damage.push(Damage { frame, kind, count, message }),
        }
    }
}

/// Whether the decoder flags the pictures that it could not decode whole, or refuses their packets.
fn flags_its_damage(codec: Id) -> bool {
    matches!(
        codec,
        Id::H261
            | Id::H263
            | Id::H263P
            | Id::H264
            | Id::MPEG1VIDEO
            | Id::MPEG2VIDEO
            | Id::MPEG4
            | Id::MSMPEG4V1
            | Id::MSMPEG4V2
            | Id::MSMPEG4V3
            | Id::FLV1
            | Id::WMV1
            | Id::WMV2
            | Id::WMV3
            | Id::VC1
            | Id::VP8
            | Id::VP9
            | Id::AV1
    )
}

/// What lies beside the picture in its packet: a message about it says nothing about the picture.
const BESIDE_THE_PICTURE: [&str; 12] =
    ["exif", "tiff", "icc", "iccp", "sei", "comment", "metadata", "interlace", "aspect", "timecode", "vui", "chrm"];

/// Whether a message of a decoder that flags nothing is about the picture.
fn concerns_the_picture(message: &str) -> bool {
    let lower = message.to_ascii_lowercase();
    let mut words = lower.split(|c: char| !c.is_ascii_alphanumeric());
    !words.any(|word| BESIDE_THE_PICTURE.iter().any(|beside| word.starts_with(beside)))
}

/// What damage means for the whole, in words; empty where every picture is there and sound.
pub(super) fn reasons(damage: &[Damage]) -> Vec<String> {
    let count = |kind: DamageKind| damage.iter().filter(|d| d.kind == kind).map(|d| d.count).sum::<usize>();
    let counted = [
        (DamageKind::Corrupt, "frame(s) were decoded from damaged data"),
        (DamageKind::Lost, "packet(s) could not be decoded"),
    ];
    let counted = counted.map(|(kind, text)| (count(kind), text)).into_iter().filter(|(count, _)| *count > 0);
    let truncated = damage.iter().filter(|d| d.kind == DamageKind::Truncated).map(|d| d.message.clone());
    counted.map(|(count, text)| format!("{count} {text}")).chain(truncated).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_about_what_lies_beside_a_picture_are_no_damage() {
        for message in ["mjpeg: invalid TIFF header in EXIF data", "iCCP chunk too small", "interlaced frame, ignoring"]
        {
            assert!(!concerns_the_picture(message), "{message}");
        }
        for message in ["error y=10 x=4", "overread 8", "CRC mismatch D2A1F3!", "mjpeg_decode_dc: bad vlc: 0:0"] {
            assert!(concerns_the_picture(message), "{message}");
        }
    }

    #[test]
    fn a_message_alone_is_noted_and_costs_nothing() {
        let report =
            || LoggedErrors { count: 1, message: "Referenced QT chapter track not found".into(), lacks_memory: false };
        let mut notes = Notes::default();
        notes.note_report(report(), Reporter::Demuxer { is_listed: true });
        notes.note_report(report(), Reporter::Decoder(Id::MPEG2VIDEO));
        let damage = notes.into_damage();
        assert_eq!(damage.len(), 1);
        assert_eq!((damage[0].kind, damage[0].count), (DamageKind::Reported, 2));
        assert_eq!(reasons(&damage), Vec::<String>::new());
    }

    #[test]
    fn a_message_that_comes_with_every_frame_is_noted_once() {
        let mut notes = Notes::default();
        for _ in 0..50 {
            let message = "interlaced frame in progressive sequence, ignoring".into();
            let report = LoggedErrors { count: 1, message, lacks_memory: false };
            notes.note_report(report, Reporter::Decoder(Id::MPEG2VIDEO));
            notes.decode();
        }
        let damage = notes.into_damage();
        assert_eq!(damage.iter().map(|damage| (damage.frame, damage.count)).collect::<Vec<_>>(), [(0, 50)]);
    }
}
