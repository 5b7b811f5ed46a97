//! Measures of agreement, used by training's reports and by the comparison of annotations.

pub mod kappa;
