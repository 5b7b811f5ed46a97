//! Where decoding may start in the middle of a file, and the proof that it comes to what decoding from the beginning would.
//!
//! A container's word on times and key frames is not enough: open groups of pictures, edit lists, missing indices and
//! damage all make a seek end somewhere else, or start decoders on half a reference list. So a file is first read
//! through without decoding ([`Packets::read`]). Only where every packet's time is certain does it get entries;
//! each is a key packet with another key packet behind it before anything is wanted, so that a whole group of pictures
//! has gone by and no reference reaches back past the entry. Whoever decodes from there compares each packet with what
//! was read then, and each picture with its packet; whatever differs, and any damage, makes the result void, and the
//! file is decoded from its beginning instead. A person's wish to start in the middle is met in the same way.
#![expect(unsafe_code, reason = "The binding has no seek to a packet's byte")]

use std::collections::HashSet;
#[cfg(any(test, feature = "train"))]
use std::ops::Range;
use std::sync::atomic::Ordering;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::packet::Ref as _;
use ffmpeg_next::{Packet, ffi};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::open::video_stream;
use super::{DecodeError, DecodeOptions, Source, open};
use crate::files::hexadecimal;
#[cfg(any(test, feature = "train"))]
use crate::pipeline::Excerpt;
#[cfg(any(test, feature = "train"))]
use crate::pipeline::span;
#[cfg(any(test, feature = "train"))]
use crate::time::Cell;
use crate::time::Timestamp;

/// Pictures are only wanted so long after the entry's second key packet, seconds: filters look at neighbours.
const MARGIN_S: f64 = 0.5;

/// Videos of more packets are not taken apart: ten hours of 100 frames a second, whose marks take 300 MB.
const MOST_PACKETS: usize = 3_600_000;

/// A packet at which decoding may start, and what must follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The key packet.
    first: PacketMark,
    /// First and last time stamp of the pictures wanted.
    wanted: (i64, i64),
    /// Packets from the first to the last whose picture is wanted, in order of decoding.
    packets: u64,
    /// Pictures wanted.
    pictures: u64,
    /// Over the marks of these packets, hexadecimal.
    digest: String,
}

/// What tells a packet from the others of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct PacketMark {
    pts: i64,
    /// Bytes.
    size: usize,
    /// Duration, in units of the time base.
    duration: i64,
    /// Offset in the file, or -1.
    position: i64,
    is_key: bool,
}

impl PacketMark {
    fn of(packet: &Packet) -> Option<Self> {
        Some(Self {
            pts: packet.pts()?,
            size: packet.size(),
            duration: packet.duration(),
            position: packet.position() as i64,
            is_key: packet.is_key(),
        })
    }

    fn add_to(&self, digest: &mut Sha256) {
        digest.update(self.pts.to_le_bytes());
        digest.update(self.size.to_le_bytes());
        digest.update(self.duration.to_le_bytes());
        digest.update([u8::from(self.is_key)]);
    }
}

/// A packet and whether its picture is shown.
struct SeenPacket {
    mark: PacketMark,
    /// Not so for packets that an edit list only wants decoded.
    is_shown: bool,
}

/// The packets of a file's video, in order of decoding.
pub(crate) struct Packets {
    time_base: [i32; 2],
    /// None where some packet's time is not certain.
    seen: Option<Vec<SeenPacket>>,
}

impl Packets {
    /// Reads `source` through without decoding.
    ///
    /// # Errors
    /// If it cannot be opened, or on interruption.
    #[cfg(any(test, feature = "train"))]
    pub(crate) fn read(source: &Source, options: &DecodeOptions) -> Result<Self, DecodeError> {
        Self::read_until(source, None, options)
    }

    /// Reads `source` until no packet can come any more whose picture is shown at `until` or before.
    fn read_until(source: &Source, until: Option<Timestamp>, options: &DecodeOptions) -> Result<Self, DecodeError> {
        let (name, interrupt) = (source.name(), &options.interrupt);
        let mut input = open(source, options)?.input;
        let stream = video_stream(&input, &name)?;
        let (index, time_base) = (stream.index(), stream.time_base());
        let time_base = [time_base.numerator(), time_base.denominator()];
        let mut seen = Some(Vec::<SeenPacket>::new());
        let (mut times, mut last_dts) = (HashSet::new(), i64::MIN);
        loop {
            if interrupt.load(Ordering::Relaxed) {
                return Err(DecodeError::Interrupted { name });
            }
            let mut packet = Packet::empty();
            match packet.read(&mut input) {
                Ok(()) if packet.stream() != index => continue,
                Ok(()) => {}
                Err(ffmpeg::Error::Eof) => break,
                Err(ffmpeg::Error::Exit) => return Err(DecodeError::Interrupted { name }),
                Err(_) => return Ok(Self { time_base, seen: None }),
            }
            let dts = packet.dts().unwrap_or(last_dts);
            let (mark, is_first) = (PacketMark::of(&packet), last_dts == i64::MIN);
            match (mark, &mut seen) {
                (Some(mark), Some(seen))
                    if (is_first || dts >= last_dts) && !packet.is_corrupt() && times.insert(mark.pts) =>
                {
                    last_dts = dts;
                    if seen.len() >= MOST_PACKETS {
                        return Ok(Self { time_base, seen: None });
                    }
                    // SAFETY: reading a field of a packet we own.
                    let flags = unsafe { (*packet.as_ptr()).flags };
                    seen.push(SeenPacket { mark, is_shown: flags & ffi::AV_PKT_FLAG_DISCARD == 0 });
                    let decodes_at = Timestamp::new(dts, time_base);
                    if dts > i64::MIN && until.is_some_and(|until| decodes_at > until) {
                        break;
                    }
                }
                _ => return Ok(Self { time_base, seen: None }),
            }
        }
        Ok(Self { time_base, seen: seen.filter(|seen| !seen.is_empty()) })
    }

    /// The file in excerpts of `length` spans, which cover it without gaps; in one piece where entries cannot be trusted.
    #[cfg(any(test, feature = "train"))]
    pub(crate) fn excerpts(&self, length: i64) -> Vec<Excerpt> {
        let Some(seen) = &self.seen else { return vec![Excerpt::whole()] };
        let shown = || seen.iter().filter(|seen| seen.is_shown).map(|seen| self.cell(seen).span);
        let (Some(first), Some(last)) = (shown().min(), shown().max()) else { return vec![Excerpt::whole()] };
        let mut starts = vec![span::ALL.start];
        // Spans without a picture make no excerpt of their own.
        let spans: HashSet<i64> = shown().map(|span| (span - first).div_euclid(length)).collect();
        let pieces = (last - first).div_euclid(length);
        starts.extend((1..=pieces).filter(|piece| spans.contains(piece)).map(|piece| first + piece * length));
        let ends: Vec<i64> = starts[1..].iter().copied().chain([span::ALL.end]).collect();
        starts
            .into_iter()
            .zip(ends)
            .map(|(start, end)| Excerpt { spans: start..end, entry: self.entry(seen, start..end) })
            .collect()
    }

    /// The entry for `spans`: the last key packet from which another one, and then the margin, go by before anything is
    /// wanted. None where that is the beginning.
    #[cfg(any(test, feature = "train"))]
    fn entry(&self, seen: &[SeenPacket], spans: Range<i64>) -> Option<Entry> {
        if spans.start == span::ALL.start {
            return None;
        }
        self.entry_to(seen, &|seen| {
            let cell = self.cell(seen);
            seen.is_shown && cell.lead_of >= spans.start && cell.tail_of < spans.end
        })
    }

    #[cfg(any(test, feature = "train"))]
    fn cell(&self, seen: &SeenPacket) -> Cell {
        Timestamp::new(seen.mark.pts, self.time_base).cell()
    }

    /// The entry for the first picture at `start` or after it. None where that is the beginning, or cannot be known.
    fn entry_at(&self, start: Timestamp) -> Option<Entry> {
        let seen = self.seen.as_ref()?;
        let is_in = |seen: &&SeenPacket| seen.is_shown && Timestamp::new(seen.mark.pts, self.time_base) >= start;
        let first = seen.iter().filter(is_in).map(|seen| seen.mark.pts).min()?;
        self.entry_to(seen, &|seen| seen.is_shown && seen.mark.pts == first)
    }

    /// The entry for the pictures that are `wanted`.
    fn entry_to(&self, seen: &[SeenPacket], wanted: &dyn Fn(&SeenPacket) -> bool) -> Option<Entry> {
        let wanted = |seen: &&SeenPacket| wanted(seen);
        let times = || seen.iter().filter(wanted).map(|seen| seen.mark.pts);
        let (wanted_from, wanted_to) = (times().min()?, times().max()?);
        let margin = (MARGIN_S * f64::from(self.time_base[1]) / f64::from(self.time_base[0])).ceil() as i64;
        let mut keys = seen
            .iter()
            .enumerate()
            .filter(|(_, seen)| {
                seen.mark.is_key && seen.is_shown && seen.mark.pts <= wanted_from.saturating_sub(margin)
            })
            .map(|(index, _)| index)
            .rev();
        let first = keys.nth(1).filter(|index| *index > 0)?;
        let last = seen.iter().rposition(|seen| wanted(&seen))?;
        let mut digest = Sha256::new();
        seen[first..=last].iter().for_each(|seen| seen.mark.add_to(&mut digest));
        Some(Entry {
            first: seen[first].mark,
            wanted: (wanted_from, wanted_to),
            packets: (last - first + 1) as u64,
            pictures: seen[first..].iter().filter(wanted).count() as u64,
            digest: hexadecimal(&digest.finalize()),
        })
    }
}

impl Entry {
    /// Where decoding may start for the pictures from `start` on: [`None`] for the beginning, and for streams.
    ///
    /// # Errors
    /// As [`Packets::read`].
    pub(super) fn at(source: &Source, start: Timestamp, options: &DecodeOptions) -> Result<Option<Self>, DecodeError> {
        if source.is_stream() || start <= Timestamp::new(1, [1, 1]) {
            return Ok(None);
        }
        Ok(Packets::read_until(source, Some(start), options)?.entry_at(start))
    }

    /// Goes to where the key packet may be found ahead.
    pub(super) fn seek(&self, input: &mut ffmpeg::format::context::Input, stream: usize) {
        // These two find times by guessing bytes, and a byte is what is known.
        let by_byte = input.format().name().starts_with("mpeg") && self.first.position >= 0;
        // SAFETY: a plain call on a context that we own; the stream's index is its own.
        let code = unsafe {
            let (context, stream) = (input.as_mut_ptr(), stream as i32);
            match by_byte {
                true => {
                    let byte = self.first.position;
                    ffi::avformat_seek_file(context, -1, i64::MIN, byte, i64::MAX, ffi::AVSEEK_FLAG_BYTE)
                }
                false => ffi::avformat_seek_file(context, stream, i64::MIN, self.first.pts, self.first.pts, 0),
            }
        };
        // Where it cannot, the packets will tell.
        tracing::debug!("seeking to {}: {code}", self.first.pts);
    }
}

/// Watches whether decoding from an entry goes as it should.
pub(super) struct Proof {
    entry: Entry,
    packets: u64,
    pictures: u64,
    digest: Sha256,
    is_void: bool,
}

impl Proof {
    pub(super) fn of(entry: &Entry) -> Self {
        Self { entry: entry.clone(), packets: 0, pictures: 0, digest: Sha256::new(), is_void: false }
    }

    /// Whether `packet` is for the decoder: the entry's first one and all that follow it.
    pub(super) fn takes(&mut self, packet: &Packet) -> bool {
        let mark = PacketMark::of(packet);
        if self.packets == 0 && mark != Some(self.entry.first) {
            // Another key packet beyond it: the one wanted will not come any more.
            self.is_void |= mark.is_none_or(|mark| mark.is_key && mark.pts > self.entry.first.pts);
            return false;
        }
        self.packets += 1;
        if self.packets <= self.entry.packets {
            match mark {
                Some(mark) => mark.add_to(&mut self.digest),
                None => self.is_void = true,
            }
        }
        true
    }

    /// Whether a picture of this time counts: not one that stands before the entry's first, half of whose references
    /// have never been decoded.
    pub(super) fn shows(&mut self, pts: Option<i64>) -> bool {
        let Some(pts) = pts else {
            self.is_void = true;
            return false;
        };
        self.pictures += u64::from((self.entry.wanted.0..=self.entry.wanted.1).contains(&pts));
        pts >= self.entry.first.pts
    }

    /// Whether the pictures of this time are wanted, or come after those.
    pub(super) fn wants(&self, pts: i64) -> bool {
        pts >= self.entry.wanted.0
    }

    /// There is no use in going on.
    pub(super) fn is_void(&self) -> bool {
        self.is_void
    }

    /// Something was damaged.
    pub(super) fn fail(&mut self) {
        self.is_void = true;
    }

    /// Whether everything wanted came, and exactly as it was read before.
    pub(super) fn holds(&self) -> bool {
        let Entry { packets, pictures, digest, .. } = &self.entry;
        let is_same = || hexadecimal(&self.digest.clone().finalize()) == *digest;
        !self.is_void && self.packets >= *packets && self.pictures == *pictures && is_same()
    }
}
