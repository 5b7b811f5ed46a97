//! Who is who: what is enough to take one face for another's, or one signer for another. The tracker asks within a span, the
//! stitcher from span to span, and both go by this.

use super::descriptor::Descriptor;
use crate::timeline::BoundingBox;

/// Overlap from which two boxes in one frame are of one face.
pub(crate) const SAME_FACE: f32 = 0.3;
/// Signers out of view who are remembered; with more, the one longest lost is forgotten.
pub(crate) const REMEMBERED: usize = 8;

/// Similarity from which two descriptors count as one person's; see [`Descriptor::similarity`].
pub(super) const SAME_PERSON: f32 = 0.45;
/// The same where there is only one signer whom it can be.
const LIKELY_PERSON: f32 = 0.25;
/// The same where a signer is seen about where he was lost a moment ago.
const PERSON_NEARBY: f32 = 0.0;
/// A moment, seconds.
const MOMENT_S: f64 = 1.0;
/// Nearby: the distance in faces, and the ratio of sizes in powers of e, together.
const NEARBY: f32 = 1.5;

/// A signer out of view.
pub(crate) struct Missing<'a> {
    /// The face when it was last seen.
    pub face: BoundingBox,
    /// What it looked like.
    pub appearance: &'a Descriptor,
    /// Since when it has not been seen, seconds.
    pub seen_s: f64,
    /// Whether a cut between shots lies between, so that places say nothing.
    pub is_cut: bool,
}

impl Missing<'_> {
    /// By how much a face that appears at `now` looks more like this signer than is needed to take it for his; `None` where
    /// it does not. `is_only_one`: there is nobody else whom it can be.
    pub(crate) fn likeness(
        &self,
        face: &BoundingBox,
        appearance: &Descriptor,
        now: f64,
        is_only_one: bool,
    ) -> Option<f32> {
        let enough = match self {
            Self { is_cut: true, .. } => SAME_PERSON,
            _ if now - self.seen_s < MOMENT_S && is_nearby(&self.face, face) => PERSON_NEARBY,
            _ if is_only_one => LIKELY_PERSON,
            _ => SAME_PERSON,
        };
        let surplus = self.appearance.similarity(appearance) - enough;
        (surplus >= 0.0).then_some(surplus)
    }
}

fn is_nearby(a: &BoundingBox, b: &BoundingBox) -> bool {
    let ((x, y), (u, v)) = (a.centre(), b.centre());
    (x - u).hypot(y - v) / a.w.max(b.w) + (a.w / b.w).ln().abs() < NEARBY
}
