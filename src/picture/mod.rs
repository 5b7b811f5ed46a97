//! Pictures: planes of samples, rectangles in them, resampling, colours, and the rule for cutting out a face.
//!
//! Everything here is plain data and arithmetic and depends on neither videos nor networks.

mod colours;
mod crop;
mod normalise;
mod planes;
mod region;
mod resample;

pub use colours::Colours;
pub use crop::{CropRule, crop, face_square};
pub use normalise::{ColourNormalisation, equalise, standardise};
pub use planes::{ColourSpace, GreyPicture, Matrix, Plane, Planes};
pub use region::{BoundingBox, Region};
pub use resample::resample;
