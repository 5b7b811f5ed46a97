//! Figures of agreement that training's reports and the agreement of annotations both need.

pub mod kappa;
