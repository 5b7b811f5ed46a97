//! MediaPipe's networks for hands (Zhang et al. 2020, "MediaPipe Hands: On-device Real-time Hand Tracking"): one finds palms in a
//! picture, the other the 21 points of the hand that a palm belongs to, and whether a hand is there.
//!
//! A palm is found rather than a hand since it is nearly square and does not bend; its points say how the hand is turned.

mod landmarks;
mod palm;

pub use landmarks::{HAND_BLOCKS, HAND_POINTS, HAND_SIDE, Hand, HandBlock, HandLandmarks, hand_tensors};
pub use palm::{ANCHORS, PALM_PARTS, PALM_POINTS, PALM_SIDE, Palm, PalmDetector, PalmPart, palm_tensors};

use super::weights::WeightsFault;
use crate::infer::PlanError;

/// Why a file is not the one of a network for hands.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum HandsError {
    #[error(transparent)]
    Weights(#[from] WeightsFault),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("palms are found in pictures of a side that is a multiple of 32, which {0} is not")]
    Side(usize),
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Value;

    use super::*;

    /// LiteRT's numbers have five decimals; its sums are in another order than ours.
    const TOLERANCE_PIXELS: f32 = 0.01;
    const TOLERANCE_LOGIT: f32 = 0.002;

    fn picture(name: &str, side: usize) -> Vec<f32> {
        let picture = image::open(Path::new("tests/faces").join(name)).unwrap().to_rgb8();
        assert_eq!(picture.dimensions(), (side as u32, side as u32));
        picture.as_raw().iter().map(|value| f32::from(*value) / 255.0).collect()
    }

    fn expected() -> Value {
        serde_json::from_slice(&std::fs::read("tests/faces/hands.json").unwrap()).unwrap()
    }

    fn numbers(value: &Value) -> Vec<f32> {
        value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
    }

    #[test]
    fn every_anchor_is_told_what_litert_tells_it() {
        let detector = PalmDetector::built_in(PALM_SIDE).unwrap();
        let maps = detector.maps(&picture("palm.png", PALM_SIDE));
        let expected = expected();
        let anchors = expected["palm_anchors"].as_array().unwrap();
        assert!(anchors.len() > 20);
        for told in anchors {
            let anchor = told["anchor"].as_u64().unwrap() as usize;
            // The finer map's anchors come first.
            let finer = (PALM_SIDE / ANCHORS[0].1).pow(2) * ANCHORS[0].2;
            let (map, (_, _, each), place) =
                if anchor < finer { (0, ANCHORS[0], anchor) } else { (1, ANCHORS[1], anchor - finer) };
            let pixel = maps[map].chunks_exact(each * 19).nth(place / each).unwrap();
            let (scores, boxes) = pixel.split_at(each);
            let score = scores[place % each] - told["score"].as_f64().unwrap() as f32;
            assert!(score.abs() < TOLERANCE_LOGIT, "anchor {anchor}: {score}");
            let found = boxes.chunks_exact(18).nth(place % each).unwrap();
            for (found, expected) in found.iter().zip(numbers(&told["box"])) {
                assert!((found - expected).abs() < TOLERANCE_PIXELS, "anchor {anchor}: {found} {expected}");
            }
        }
    }

    #[test]
    fn a_drawn_palm_is_found_where_it_is_drawn_also_in_a_smaller_picture() {
        // Three eighths of the size in which `hands.py` draws, 48 pixels from the edge: the palm's middle is at (97, 112).
        let large = picture("palm.png", PALM_SIDE);
        let palms = PalmDetector::built_in(PALM_SIDE).unwrap().run(&large, 0.3);
        let [palm] = &palms[..] else { panic!("{palms:?}") };
        let (x, y) = palm.area.centre();
        assert!((x - 97.0).hypot(y - 112.0) < 12.0, "{palm:?}");
        let [wrist, _, middle, ..] = palm.points;
        assert!((wrist[0] - 97.0).hypot(wrist[1] - 129.0) < 16.0 && middle[1] < wrist[1] - 25.0, "{palm:?}");
        // Every second pixel of every second row.
        let small: Vec<f32> = (0..96)
            .flat_map(|row| (0..96).map(move |column| (2 * row * PALM_SIDE + 2 * column) * 3))
            .flat_map(|place| large[place..place + 3].to_vec())
            .collect();
        let palms = PalmDetector::built_in(96).unwrap().run(&small, 0.2);
        let [small, ..] = &palms[..] else { panic!("none is found") };
        let (u, v) = small.area.centre();
        assert!((2.0 * u - x).hypot(2.0 * v - y) < 12.0, "{small:?} {palm:?}");
    }

    #[test]
    fn a_hands_points_are_those_that_litert_finds() {
        let network = HandLandmarks::built_in().unwrap();
        let picture = picture("hand.png", HAND_SIDE);
        let hand = network.run(&picture);
        let expected = expected();
        for (found, expected) in hand.points.as_flattened().iter().zip(numbers(&expected["points"])) {
            assert!((found - expected).abs() < TOLERANCE_PIXELS, "{found} {expected}");
        }
        assert!((hand.presence - expected["presence"].as_f64().unwrap() as f32).abs() < 1e-4, "{}", hand.presence);
        let grey = network.run(&vec![0.5; picture.len()]);
        assert!(grey.presence < 0.5 && grey.points.as_flattened().iter().all(|value| value.is_finite()));
        assert_eq!(network.run(&picture), hand, "a result depends on its picture alone");
    }

    #[test]
    fn nothing_is_found_where_there_is_nothing() {
        let detector = PalmDetector::built_in(96).unwrap();
        for grey in [0.0, 0.5, 1.0] {
            assert_eq!(detector.run(&[grey; 96 * 96 * 3], 0.3), []);
        }
    }

    #[test]
    fn other_weights_and_sides_are_refused() {
        let palms = include_bytes!("../../../assets/models/hands/palms/model.safetensors");
        let hands = include_bytes!("../../../assets/models/hands/landmarks/model.safetensors");
        let refused = |result: Result<(), HandsError>| result.unwrap_err().to_string();
        assert!(refused(HandLandmarks::new(palms).map(drop)).contains("belongs to another network"));
        assert!(refused(PalmDetector::new(hands, 96).map(drop)).contains("belongs to another network"));
        assert!(refused(PalmDetector::new(&palms[..1000], 96).map(drop)).starts_with("not a safetensors file"));
        for side in [0, 100] {
            assert!(matches!(PalmDetector::new(palms, side), Err(HandsError::Side(found)) if found == side));
        }
    }
}
