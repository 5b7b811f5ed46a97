//! The evidence that suffices to take one face for another or one signer for another. The tracker applies it within a
//! span and the stitcher from span to span.

use super::descriptor::Descriptor;
use crate::timeline::BoundingBox;

/// Overlap from which two boxes in one frame belong to one face.
pub(crate) const SAME_FACE: f32 = 0.3;
/// Number of absent signers who are remembered; beyond it, the one absent for longest is forgotten.
pub(crate) const REMEMBERED: usize = 8;

/// Similarity from which two descriptors count as one person's; see [`Descriptor::similarity`].
pub(super) const SAME_PERSON: f32 = 0.45;
/// The same if only one signer is possible.
const LIKELY_PERSON: f32 = 0.25;
/// The same if the face appears near the position where a signer was lost a moment ago.
const PERSON_NEARBY: f32 = 0.0;
/// Longest time since the loss that counts as a moment, seconds.
const MOMENT_S: f64 = 1.0;
/// Largest distance that counts as near: the sum of the distance in face sides and the absolute logarithm of the ratio
/// of sizes.
const NEARBY: f32 = 1.5;

/// A signer who is out of view.
pub(crate) struct Missing<'a> {
    /// The face when it was last seen.
    pub face: BoundingBox,
    /// Its appearance.
    pub appearance: &'a Descriptor,
    /// The time since which it has not been seen, seconds.
    pub seen_s: f64,
    /// Whether a cut between shots lies in between, so that positions mean nothing.
    pub is_cut: bool,
}

impl Missing<'_> {
    /// By how much the similarity of a face that appears at `now` exceeds what is needed to take it for this signer's;
    /// `None` if it does not. `is_only_one`: no other signer is possible.
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
