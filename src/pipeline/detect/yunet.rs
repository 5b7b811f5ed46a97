//! The YuNet detector, which reads its network from a file of its authors (`pipeline/detect/yunet_network.rs`). In a
//! whole picture it is slower than SeetaFace, but it also sees faces in profile, tilted and half covered.
//!
//! It was trained on colours. Given luma instead of each, OpenCV's YuNet finds the same 257 boxes of the real photos
//! and the same 152 of the real clips, with fewer false ones (4 of 261 instead of 9 of 266 on the photos, score 0.6,
//! longer side 640).

use std::sync::Arc;

use super::{Detection, FaceDetector, SearchWindow};
use crate::picture::Plane;
use crate::picture::resample;
use crate::pipeline::detect::yunet_network::{MULTIPLE, OUTPUTS, STRIDES, YunetNetwork, YunetWeights};
use crate::timeline::BoundingBox;

/// Side of the smallest wanted face in the network's picture, pixels.
const SMALLEST: f32 = 24.0;
/// Smallest longer side of the network's picture, pixels: a picture about an expected face, whose side is then 80. At
/// half that size, the network's points no longer turn with the head.
const LEAST_PICTURE: f32 = 160.0;
/// Pixels of the largest picture of the network; limits the time of one search.
const LARGEST_PICTURE: f32 = 640.0 * 480.0;
/// Faces with a lower score of the network are dropped.
const LEAST_SCORE: f32 = 0.65;
/// Converts the network's scores to those of [`Detection`]: 0.7 becomes likely, 0.8 sure. On luma of the real photos,
/// the highest score of something that is no face was 0.64, and 98 % of the faces had 0.86 or more; a dog at close
/// range has 0.65. Of 2,851 detections about expected faces in the real clips, 37 are below the 0.67 that suffices
/// there; those are left to correlation.
const UNIT: f32 = 30.0;
const OFFSET: f32 = 19.0;
/// Overlap from which two boxes belong to one face (OpenCV's default).
const SAME_FACE: f32 = 0.3;
/// Eyes closer together than this, in sides of the box, belong to a profile and do not show the head's turn.
const PROFILE: f32 = 0.2;
/// Side of a face, pixels of the network's picture, from which its eyes show the head's turn.
const LARGE: f32 = 60.0;
/// Share of the head's turn that the line between the eyes shows. Medians for turns by 10 to 30 degrees of 70 faces of
/// the real photos: 0.46 to 0.58 in pictures of 160 pixels about a face (80 % lie between 0.3 and 0.9), 0.04 to 0.14 in
/// those of 96. Moving the picture by a twentieth of the face changes the line by 1 degree in the median.
const TURN_SHOWN: f32 = 0.55;
/// Number of picture sizes for which a compiled network is kept: the whole picture, the window about a face, and others
/// in passing.
const KEPT: usize = 4;

/// YuNet.
pub struct Yunet {
    weights: Arc<YunetWeights>,
    /// Least recently used first.
    networks: Vec<YunetNetwork>,
}

/// A face as the network reports it, in pixels of its picture.
#[derive(Debug, Clone, Copy)]
struct NetworkFace {
    face: BoundingBox,
    /// The signer's right eye, which is left in the picture, comes first.
    eyes: [(f32, f32); 2],
    score: f32,
}

impl Yunet {
    /// Makes a detector with these weights.
    pub fn new(weights: Arc<YunetWeights>) -> Self {
        Self { weights, networks: Vec::new() }
    }

    fn network(&mut self, size: [usize; 2]) -> &YunetNetwork {
        let network = match self.networks.iter().position(|network| network.size() == size) {
            Some(known) => self.networks.remove(known),
            None => self.weights.network(size[0], size[1]).expect("the layers fitted when they were read"),
        };
        if self.networks.len() == KEPT {
            self.networks.remove(0);
        }
        self.networks.push(network);
        &self.networks[self.networks.len() - 1]
    }

    /// The faces in a picture of `size`, each once, ordered by falling score.
    fn find(&mut self, size: [usize; 2], luma: &[f32]) -> Vec<NetworkFace> {
        let mut all = Vec::new();
        for (outputs, stride) in self.network(size).run(luma).iter().zip(STRIDES) {
            let columns = size[0] / stride;
            let cells = outputs.chunks_exact(OUTPUTS).enumerate();
            all.extend(cells.filter_map(|(cell, row)| found(row, [cell % columns, cell / columns], stride as f32)));
        }
        all.sort_by(|a, b| b.score.total_cmp(&a.score));
        let mut faces: Vec<NetworkFace> = Vec::new();
        for found in all {
            if faces.iter().all(|face| face.face.iou(&found.face) < SAME_FACE) {
                faces.push(found);
            }
        }
        faces
    }
}

/// The face of one cell, decoded as OpenCV's FaceDetectorYN does.
fn found(row: &[f32], cell: [usize; 2], stride: f32) -> Option<NetworkFace> {
    let share = |logit: f32| 1.0 / (1.0 + (-logit).exp());
    let score = (share(row[0]) * share(row[5])).sqrt();
    if score.is_nan() || score < LEAST_SCORE {
        return None;
    }
    let at = |across: f32, down: f32| ((cell[0] as f32 + across) * stride, (cell[1] as f32 + down) * stride);
    let (x, y) = at(row[1], row[2]);
    let (w, h) = (row[3].exp() * stride, row[4].exp() * stride);
    let face = BoundingBox { x: x - w / 2.0, y: y - h / 2.0, w, h };
    Some(NetworkFace { face, eyes: [at(row[6], row[7]), at(row[8], row[9])], score })
}

/// The square, as centre and side, that SeetaFace reports for a face to which YuNet gives the upright rectangle `face`.
/// On 181 faces of the real photos, the ratio of SeetaFace's side to this one is 1.005 in the median (80 % lie between
/// 0.93 and 1.08), on 128 of the real clips 1.000 (0.93 to 1.09), and the centres agree to 0.02 of it
/// (`examples/detector_boxes.rs`).
fn square(face: &BoundingBox) -> ((f32, f32), f32) {
    let (x, y) = face.centre();
    ((x, y), (face.w * face.h).sqrt())
}

/// Clockwise turn of the head in the picture by its eyes, degrees; `None` if they do not show it.
fn roll_degrees(found: &NetworkFace) -> Option<f32> {
    let [(right_x, right_y), (left_x, left_y)] = found.eyes;
    let (across, down) = (left_x - right_x, left_y - right_y);
    let says = across.hypot(down) >= PROFILE * found.face.w && square(&found.face).1 >= LARGE;
    says.then(|| down.atan2(across).to_degrees() / TURN_SHOWN)
}

impl FaceDetector for Yunet {
    fn detect(&mut self, luma: &Plane, window: &SearchWindow) -> Vec<Detection> {
        let region = &window.region;
        let most = (LARGEST_PICTURE / (region.width * region.height)).sqrt();
        let least = LEAST_PICTURE / region.width.max(region.height);
        let wanted = (SMALLEST / window.smallest.max(1.0)).max(least).min(most);
        let size =
            [region.width, region.height].map(|side| ((side * wanted) as usize).div_ceil(MULTIPLE).max(1) * MULTIPLE);
        // The picture is filled as far as the region's shape allows, as every pixel costs time.
        let scale = (size[0] as f32 / region.width).min(size[1] as f32 / region.height);
        let [width, height] = [(region.width, size[0]), (region.height, size[1])]
            .map(|(side, most)| ((side * scale).round() as usize).clamp(1, most));
        let mut picture = vec![0.0; size[0] * size[1]];
        let samples = resample(luma, region, width, height);
        for (row, samples) in picture.chunks_exact_mut(size[0]).zip(samples.chunks_exact(width)) {
            row[..width].copy_from_slice(samples);
        }
        let (sin, cos) = region.angle_degrees.to_radians().sin_cos();
        let detection = |found: NetworkFace| {
            let ((x, y), side) = square(&found.face);
            let side = side / scale;
            let (u, v) = (x / scale - region.width / 2.0, y / scale - region.height / 2.0);
            let (x, y) = (region.x + u * cos - v * sin, region.y + u * sin + v * cos);
            (window.smallest..=window.largest).contains(&side).then(|| Detection {
                face: BoundingBox { x: x - side / 2.0, y: y - side / 2.0, w: side, h: side },
                score: UNIT * found.score - OFFSET,
                roll_degrees: region.angle_degrees + roll_degrees(&found).unwrap_or(0.0),
            })
        };
        self.find(size, &picture).into_iter().filter_map(detection).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use super::*;

    fn data() -> PathBuf {
        std::env::var_os("ANNOTATE_DATA").map_or_else(|| "../shared/data".into(), PathBuf::from)
    }

    #[test]
    fn on_the_same_picture_it_finds_what_opencv_finds() {
        #[derive(serde::Deserialize)]
        struct Fixture {
            found: BTreeMap<String, Vec<[f32; 9]>>,
        }
        let fixture: Fixture = serde_json::from_str(include_str!("../../../tests/faces/yunet.json")).unwrap();
        assert!(!fixture.found.is_empty());
        for file in ["yunet_n_640_640.onnx", "yunet_n_dynamic.onnx"] {
            let path = data().join("weights").join(file);
            if !path.is_file() {
                println!("skipped: on_the_same_picture_it_finds_what_opencv_finds (no {})", path.display());
                continue;
            }
            let mut yunet = Yunet::new(Arc::new(YunetWeights::read(&path).unwrap()));
            for (name, theirs) in &fixture.found {
                let picture = image::open(data().join("photos").join(name)).unwrap().into_luma8();
                let size = [picture.width(), picture.height()].map(|side| (side as usize).next_multiple_of(MULTIPLE));
                let mut luma = vec![0.0; size[0] * size[1]];
                for (x, y, pixel) in picture.enumerate_pixels() {
                    luma[y as usize * size[0] + x as usize] = f32::from(pixel.0[0]);
                }
                let ours = yunet.find(size, &luma);
                assert_eq!(ours.len(), theirs.len(), "{name}");
                for ([x, y, w, h, right_x, right_y, left_x, left_y, score], ours) in theirs.iter().zip(&ours) {
                    let theirs = BoundingBox { x: *x, y: *y, w: *w, h: *h };
                    assert!(ours.face.iou(&theirs) > 0.95, "{name}: {ours:?} {theirs:?}");
                    assert!((ours.score - score).abs() < 0.02, "{name}: {ours:?} {score}");
                    let eyes = [(right_x, right_y), (left_x, left_y)];
                    let off = ours.eyes.iter().zip(eyes).map(|(a, b)| (a.0 - b.0).hypot(a.1 - b.1));
                    assert!(off.fold(0.0, f32::max) < 0.03 * w, "{name}: {ours:?} {eyes:?}");
                }
            }
        }
    }

    #[test]
    fn a_turned_head_is_found_where_it_is_and_upright_in_a_window_turned_with_it() {
        let weights = data().join("weights/yunet_n_dynamic.onnx");
        let Ok(photo) = image::open(data().join("photos/faceapi_happy.jpg")) else {
            println!("skipped: a_turned_head_is_found_where_it_is_and_upright_in_a_window_turned_with_it (no data)");
            return;
        };
        let mut yunet = Yunet::new(Arc::new(YunetWeights::read(&weights).unwrap()));
        let photo = photo.into_luma8();
        let (width, height) = (photo.width() as usize, photo.height() as usize);
        let luma = Plane { samples: photo.as_raw(), stride: width, width, height };
        let upright = yunet.detect(&luma, &SearchWindow::whole(&luma, 60.0))[0];
        // The picture turned by 25 degrees about the face.
        let (x, y) = upright.face.centre();
        let side = 2.0 * upright.face.w;
        let turned_by = |angle_degrees: f32| crate::picture::Region { x, y, width: side, height: side, angle_degrees };
        let samples: Vec<u8> = resample(&luma, &turned_by(-25.0), 200, 200).into_iter().map(|v| v as u8).collect();
        let turned = Plane { samples: &samples, stride: 200, width: 200, height: 200 };
        let whole = SearchWindow::whole(&turned, 60.0);
        let found = yunet.detect(&turned, &whole)[0];
        let (x, y) = found.face.centre();
        assert!((x - 100.0).hypot(y - 100.0) < 12.0, "{found:?}");
        assert!((found.roll_degrees - upright.roll_degrees - 25.0).abs() < 10.0, "{upright:?} {found:?}");
        let with_it = SearchWindow { region: crate::picture::Region { angle_degrees: 25.0, ..whole.region }, ..whole };
        let again = yunet.detect(&turned, &with_it)[0];
        assert!(again.face.iou(&found.face) > 0.6, "{again:?} {found:?}");
        assert!((again.roll_degrees - upright.roll_degrees - 25.0).abs() < 10.0, "{again:?} {upright:?}");
    }
}
