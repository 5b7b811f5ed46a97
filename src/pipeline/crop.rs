//! Makes the network's inputs: cuts every sighted face out of its frame.

use super::frame::Sighting;
use crate::picture::{Colours, CropRule, Planes, crop, face_square};
use crate::timeline::Status;

/// The face that was sighted in `picture` as a network's input, as [`crop`] gives it; `None` where there is nothing to
/// classify. Annotation and the making of training crops both pass here.
pub fn face(
    picture: &dyn Planes,
    sighting: &Sighting,
    rule: &CropRule,
    side: usize,
    colours: Colours,
) -> Option<Vec<f32>> {
    let is_seen = matches!(sighting.status, Status::Ok | Status::Occluded | Status::TurnedAway);
    let face = sighting.face.filter(|_| is_seen)?;
    Some(crop(picture, &face_square(&face, sighting.roll_degrees, rule), side, colours))
}
