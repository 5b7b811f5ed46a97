//! What decoding a video came to.

use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "train"))]
use super::clock::is_variable;
#[cfg(any(test, feature = "train"))]
use super::notes::reasons;
use crate::timeline::{Damage, Media};

/// What is known once everything is decoded.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Decoded {
    /// The input, with the final counts.
    pub media: Media,
    /// How long the last frame is shown, seconds.
    pub last_frame_duration_s: f64,
    /// Damage, in order of frames.
    pub damage: Vec<Damage>,
    /// Why the frames are not all there; empty where they are.
    pub incomplete_because: Vec<String>,
    /// Shortest and longest distance between frames, in time-base units.
    pub(super) distances: Option<(i64, i64)>,
    /// Whether this is what decoding from the beginning gives; else it is void.
    pub(crate) is_proven: bool,
}

impl Decoded {
    /// Of all that was decoded, only the frames of an excerpt, from index `first` on; damage at its end belongs to what
    /// follows, unless nothing does.
    pub(in crate::pipeline) fn cut(&mut self, first: usize, count: usize, is_last: bool) {
        self.damage.retain(|damage| damage.frame >= first && (is_last || damage.frame < first + count));
        self.damage.iter_mut().for_each(|damage| damage.frame -= first);
        self.media.frames = count;
    }

    /// The excerpts of one video, in order, as one. The first frame starts at `first_s`, the last one at `last_s`.
    #[cfg(any(test, feature = "train"))]
    pub(crate) fn join(excerpts: Vec<Self>, first_s: f64, last_s: f64) -> Option<Self> {
        let mut excerpts = excerpts.into_iter();
        let mut joined = excerpts.next()?;
        for next in excerpts {
            let frames = joined.media.frames;
            joined.damage.extend(next.damage.into_iter().map(|d| Damage { frame: d.frame + frames, ..d }));
            joined.media.frames += next.media.frames;
            joined.media.interlaced |= next.media.interlaced;
            joined.distances = match (joined.distances, next.distances) {
                (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
                (one, other) => one.or(other),
            };
            joined.last_frame_duration_s = next.last_frame_duration_s;
            joined.is_proven &= next.is_proven;
        }
        joined.media.variable_frame_rate = is_variable(joined.distances);
        joined.media.duration_s = last_s - first_s + joined.last_frame_duration_s;
        joined.incomplete_because = reasons(&joined.damage);
        Some(joined)
    }
}
