//! The SeetaFace detector (Wu et al. 2016, funnel-structured cascade) of the `rustface` crate, with its model compiled
//! in.

use rustface::{Detector, ImageData};

use super::{Detection, FaceDetector, SearchWindow};
use crate::picture::Plane;
use crate::picture::resample;
use crate::timeline::BoundingBox;

/// BSD-2-Clause; from the `rustface` 0.1.7 package.
const MODEL: &[u8] = include_bytes!("../../../assets/models/seeta/seeta_fd_frontal_v1.0.bin");

/// Side of the smallest face that SeetaFace finds, in pixels of its input picture (its own setting has no effect in
/// rustface 0.1.7).
const SMALLEST: f32 = 40.0;

/// Pixels of the largest input picture; limits the time of one search to about 50 ms.
const LARGEST_PICTURE: f32 = 640.0 * 480.0;

/// Detections with a lower score are dropped; callers that expect no face demand more.
const LEAST_SCORE: f64 = 0.8;

/// SeetaFace.
pub struct Seeta(Box<dyn Detector>);

impl Seeta {
    /// Reads the built-in model.
    ///
    /// # Errors
    ///
    /// If the built-in model cannot be read; a test excludes this.
    pub fn new() -> std::io::Result<Self> {
        let mut detector = rustface::create_detector_with_model(rustface::read_model(MODEL)?);
        detector.set_score_thresh(LEAST_SCORE);
        detector.set_pyramid_scale_factor(0.8);
        detector.set_slide_window_step(4, 4);
        Ok(Self(detector))
    }
}

impl FaceDetector for Seeta {
    fn detect(&mut self, luma: &Plane, window: &SearchWindow) -> Vec<Detection> {
        let region = &window.region;
        let most = (LARGEST_PICTURE / (region.width * region.height)).sqrt();
        let scale = (SMALLEST / window.smallest.max(1.0)).min(most);
        let (width, height) = ((region.width * scale).round() as u32, (region.height * scale).round() as u32);
        if (width.min(height) as f32) < SMALLEST {
            return Vec::new();
        }
        let samples: Vec<u8> = resample(luma, region, width as usize, height as usize)
            .into_iter()
            .map(|value| (value + 0.5) as u8)
            .collect();
        self.0.set_max_face_size(((window.largest * scale) as u32).clamp(SMALLEST as u32, width.min(height)));
        let (sin, cos) = region.angle_degrees.to_radians().sin_cos();
        let mut detections: Vec<Detection> = self
            .0
            .detect(&ImageData::new(&samples, width, height))
            .into_iter()
            .map(|found| {
                let inside = found.bbox();
                let side = inside.width().max(inside.height()) as f32 / scale;
                let u = (inside.x() as f32 + inside.width() as f32 / 2.0) / scale - region.width / 2.0;
                let v = (inside.y() as f32 + inside.height() as f32 / 2.0) / scale - region.height / 2.0;
                let (x, y) = (region.x + u * cos - v * sin, region.y + u * sin + v * cos);
                Detection {
                    face: BoundingBox { x: x - side / 2.0, y: y - side / 2.0, w: side, h: side },
                    score: found.score() as f32,
                    roll_degrees: region.angle_degrees,
                }
            })
            .collect();
        detections.sort_by(|a, b| b.score.total_cmp(&a.score));
        detections
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_model_reads_and_finds_nothing_in_grey() {
        let mut seeta = Seeta::new().unwrap();
        for (width, height) in [(320, 240), (41, 41), (8, 400), (1, 1)] {
            let samples = vec![128; width * height];
            let luma = Plane { samples: &samples, stride: width, width, height };
            assert!(seeta.detect(&luma, &SearchWindow::whole(&luma, 30.0)).is_empty());
        }
    }
}
