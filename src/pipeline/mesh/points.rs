//! The points on a face in a single picture, for whoever draws them.

use super::square::Square;
use super::{Meshes, is_same};
use crate::nn::face_mesh::FaceMesh;
use crate::picture::{BoundingBox, Planes};

/// The 478 points of the face in `face`, a tracker's box, in pixels of `picture`: across, down, away. None where the network sees
/// no face there, or another one.
pub(crate) fn points_on(network: &FaceMesh, picture: &dyn Planes, face: &BoundingBox) -> Option<Vec<[f32; 3]>> {
    let meshes = Meshes::new(network, None, 1.0);
    let first = meshes.once(picture, &Square::about_box(face, 0.0))?;
    // Once more about what was found, so that the eyes lie level and the square fits.
    let found = meshes.once(picture, &first.square)?;
    is_same(&found.points, face).then_some(found.points)
}
