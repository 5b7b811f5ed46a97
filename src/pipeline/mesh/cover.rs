//! What hands cover of a face: the shares of its regions that lie under the shape of a hand.
//!
//! A hand is drawn as its palm, the area between six of its points, and as its bones, each as thick as a finger. A face is cut into
//! small squares, and those under a hand are counted.

use crate::nn::face_mesh::{Geometry, MESH_POINTS};
use crate::nn::hands::HAND_POINTS;
use crate::timeline::Regions;

/// Points on a hand, in pixels of the picture.
pub(super) type HandPoints = [[f32; 2]; HAND_POINTS];

/// Small squares along a face's height and width.
const SQUARES: usize = 24;
/// Half the thickness of a finger, in lengths of the palm: 12 of 90 mm, the flesh and a little of what a finger hides at its side.
const FINGER: f32 = 0.13;
/// Lengths of the palm in its width, so that a hand seen from its edge or its tips has a size too.
const LENGTH_OVER_WIDTH: f32 = 1.2;
/// The palm's outline, and all bones.
const PALM: [usize; 7] = [0, 1, 2, 5, 9, 13, 17];
const BONES: [[usize; 2]; 21] = [
    [0, 1],
    [1, 2],
    [2, 3],
    [3, 4],
    [0, 5],
    [5, 6],
    [6, 7],
    [7, 8],
    [5, 9],
    [9, 10],
    [10, 11],
    [11, 12],
    [9, 13],
    [13, 14],
    [14, 15],
    [15, 16],
    [13, 17],
    [0, 17],
    [17, 18],
    [18, 19],
    [19, 20],
];

/// Points about the nose, and on the chin. Those of lips, eyes and brows stand in the description of the mesh.
const NOSE: [usize; 23] =
    [6, 197, 195, 5, 4, 1, 19, 2, 94, 97, 326, 98, 327, 48, 278, 64, 294, 129, 358, 115, 344, 122, 351];
const CHIN: [usize; 10] = [152, 148, 377, 176, 400, 149, 378, 199, 200, 18];
/// From the forehead to the chin: what lies to either side of it is a half of the face.
const MIDDLE: [usize; 2] = [10, 152];

/// What hands cover of a face, shares from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Cover {
    /// Of the whole face.
    pub(super) face: f32,
    /// Of its regions.
    pub(super) regions: Regions,
    /// Of either eye with its brow: right, left.
    pub(super) eyes: [f32; 2],
}

impl Cover {
    /// What `hands` cover of the face with these points.
    pub(super) fn of(points: &[[f32; 3]], hands: &[HandPoints], geometry: &Geometry) -> Self {
        let Some(points) = points.get(..MESH_POINTS).filter(|_| !hands.is_empty()) else { return Self::default() };
        let at = |place: &usize| [points[*place][0], points[*place][1]];
        let about = |places: &[usize]| Outline::about(places.iter().map(at).collect());
        let face = Outline::about(points.iter().map(|[x, y, _]| [*x, *y]).collect());
        let eyes = geometry.eyes.each_ref().map(|eye| about(eye));
        let nose = about(&NOSE);
        let mouth = about(&geometry.lips.iter().chain(&CHIN).copied().collect::<Vec<_>>());
        let [top, chin] = MIDDLE.map(|place| at(&place));
        let hands: Vec<HandShape> = hands.iter().map(HandShape::of).collect();
        let mut counts = [Count::default(); 7];
        for place in face.squares() {
            let [x, y] = place;
            let [right_eye, left_eye] = eyes.each_ref().map(|eye| eye.holds(place));
            // With the chin below the forehead, the signer's left lies to the right in the picture.
            let is_left = (chin[0] - top[0]) * (y - top[1]) < (chin[1] - top[1]) * (x - top[0]);
            let is_in =
                [true, right_eye || left_eye, nose.holds(place), mouth.holds(place), is_left, !is_left, right_eye];
            let is_hidden = hands.iter().any(|hand| hand.hides(place));
            for (count, is_in) in counts.iter_mut().zip(is_in) {
                count.add(is_in, is_hidden);
            }
        }
        let [all, eyes_count, nose, mouth, left, right, right_eye] = counts;
        let left_eye = Count { all: eyes_count.all - right_eye.all, hidden: eyes_count.hidden - right_eye.hidden };
        let [face, eyes, nose, mouth, left, right] = [all, eyes_count, nose, mouth, left, right].map(Count::share);
        let regions = Regions { eyes, nose, mouth, left, right };
        Self { face, regions, eyes: [right_eye.share(), left_eye.share()] }
    }
}

/// Small squares, and those under a hand.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    all: usize,
    hidden: usize,
}

impl Count {
    fn add(&mut self, is_in: bool, is_hidden: bool) {
        self.all += usize::from(is_in);
        self.hidden += usize::from(is_in && is_hidden);
    }

    fn share(self) -> f32 {
        if self.all == 0 { 0.0 } else { self.hidden as f32 / self.all as f32 }
    }
}

/// Length of a hand's palm, pixels.
pub(super) fn palm_length(hand: &HandPoints) -> f32 {
    let between = |a: usize, b: usize| (hand[a][0] - hand[b][0]).hypot(hand[a][1] - hand[b][1]);
    between(0, 9).max(LENGTH_OVER_WIDTH * between(5, 17))
}

/// What a hand hides.
struct HandShape {
    palm: Outline,
    bones: [[[f32; 2]; 2]; 21],
    reach: f32,
}

impl HandShape {
    fn of(hand: &HandPoints) -> Self {
        let palm = Outline::about(PALM.iter().map(|place| hand[*place]).collect());
        Self { palm, bones: BONES.map(|bone| bone.map(|place| hand[place])), reach: FINGER * palm_length(hand) }
    }

    fn hides(&self, place: [f32; 2]) -> bool {
        self.palm.holds(place) || self.bones.iter().any(|bone| distance(place, bone) < self.reach)
    }
}

/// From a place to the nearest place of a line between two points.
fn distance([x, y]: [f32; 2], [a, b]: &[[f32; 2]; 2]) -> f32 {
    let (across, down) = (b[0] - a[0], b[1] - a[1]);
    let length = (across * across + down * down).max(f32::MIN_POSITIVE);
    let along = (((x - a[0]) * across + (y - a[1]) * down) / length).clamp(0.0, 1.0);
    (x - a[0] - along * across).hypot(y - a[1] - along * down)
}

/// The convex outline about some points, in the order of a clock's hand or against it.
struct Outline(Vec<[f32; 2]>);

impl Outline {
    /// Andrew's monotone chain (1979).
    fn about(mut points: Vec<[f32; 2]>) -> Self {
        points.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
        let mut outline: Vec<[f32; 2]> = Vec::new();
        let mut chain = |points: &mut dyn Iterator<Item = [f32; 2]>| {
            let begin = outline.len();
            for point in points {
                while outline.len() >= begin + 2
                    && cross(outline[outline.len() - 2], outline[outline.len() - 1], point) <= 0.0
                {
                    outline.pop();
                }
                outline.push(point);
            }
            outline.pop();
        };
        chain(&mut points.iter().copied());
        chain(&mut points.iter().rev().copied());
        Self(outline)
    }

    fn holds(&self, place: [f32; 2]) -> bool {
        let next = self.0.iter().cycle().skip(1);
        self.0.len() > 2 && self.0.iter().zip(next).all(|(a, b)| cross(*a, *b, place) >= 0.0)
    }

    /// The middles of the small squares within.
    fn squares(&self) -> impl Iterator<Item = [f32; 2]> {
        let (mut low, mut high) = ([f32::MAX; 2], [f32::MIN; 2]);
        for point in &self.0 {
            for axis in 0..2 {
                low[axis] = low[axis].min(point[axis]);
                high[axis] = high[axis].max(point[axis]);
            }
        }
        let place = move |axis: usize, index: usize| {
            low[axis] + (index as f32 + 0.5) / SQUARES as f32 * (high[axis] - low[axis])
        };
        let all = (0..SQUARES * SQUARES).map(move |index| [place(0, index % SQUARES), place(1, index / SQUARES)]);
        all.filter(move |place| self.holds(*place))
    }
}

/// Twice the area of a triangle; its sign says which way round its corners lie.
fn cross(a: [f32; 2], b: [f32; 2], c: [f32; 2]) -> f32 {
    (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The middling head from the front, its eyes' outer corners 89 pixels apart about (200, 200).
    fn face(geometry: &Geometry) -> Vec<[f32; 3]> {
        let place = |[x, y, z]: [f64; 3]| [200.0 + 10.0 * x as f32, 200.0 - 10.0 * y as f32, -10.0 * z as f32];
        geometry.canonical_cm.iter().map(|point| place(*point)).collect()
    }

    /// A flat hand, fingers up, its wrist there and its palm so long.
    fn hand(wrist: [f32; 2], palm: f32) -> HandPoints {
        const SHAPE: [[f32; 2]; HAND_POINTS] = [
            [0.0, 0.0],
            [0.35, 0.2],
            [0.55, 0.45],
            [0.7, 0.65],
            [0.8, 0.85],
            [0.3, 0.95],
            [0.33, 1.35],
            [0.34, 1.6],
            [0.35, 1.8],
            [0.0, 1.0],
            [0.0, 1.45],
            [0.0, 1.75],
            [0.0, 1.95],
            [-0.25, 0.95],
            [-0.27, 1.35],
            [-0.28, 1.6],
            [-0.29, 1.8],
            [-0.45, 0.85],
            [-0.5, 1.15],
            [-0.53, 1.35],
            [-0.55, 1.5],
        ];
        SHAPE.map(|[x, y]| [wrist[0] + palm * x, wrist[1] - palm * y])
    }

    fn cover(hands: &[HandPoints]) -> Cover {
        let geometry = Geometry::built_in().unwrap();
        Cover::of(&face(&geometry), hands, &geometry)
    }

    #[test]
    fn no_hand_and_a_hand_beside_the_face_cover_nothing() {
        assert_eq!(cover(&[]), Cover::default());
        assert_eq!(cover(&[hand([400.0, 300.0], 80.0)]), Cover::default());
    }

    #[test]
    fn a_hand_on_the_mouth_covers_the_mouth_and_not_the_eyes() {
        // Its fingers end below the nose.
        let Cover { face, regions, .. } = cover(&[hand([200.0, 348.0], 60.0)]);
        assert!(regions.mouth > 0.4 && regions.eyes == 0.0 && regions.nose < 0.1, "{regions:?}");
        assert!(face > 0.1 && face < regions.mouth, "{face}");
    }

    #[test]
    fn a_hand_from_the_left_covers_the_left_half_and_eye() {
        let Cover { regions, eyes: [right, left], .. } = cover(&[hand([250.0, 290.0], 76.0)]);
        assert!(left > 0.8 && right < 0.1, "{right} {left}");
        assert!(regions.left > 0.5 && regions.right < 0.1, "{regions:?}");
        assert!(regions.eyes > 0.4 && regions.eyes < 0.6, "{regions:?}");
    }

    #[test]
    fn two_hands_cover_what_either_does_and_all_can_be_covered() {
        let (one, other) = (hand([240.0, 290.0], 60.0), hand([160.0, 290.0], 60.0));
        let both = cover(&[one, other]);
        assert!(both.face > cover(&[one]).face && both.face > cover(&[other]).face);
        let whole = cover(&[hand([200.0, 350.0], 240.0)]);
        assert!(whole.face > 0.95 && whole.regions.most() == 1.0, "{whole:?}");
    }

    #[test]
    fn points_that_are_nowhere_cover_nothing_and_are_no_number_of_shares() {
        let geometry = Geometry::built_in().unwrap();
        let nowhere = vec![[f32::NAN; 3]; MESH_POINTS];
        assert_eq!(Cover::of(&nowhere, &[hand([200.0, 300.0], 80.0)], &geometry).face, 0.0);
        assert_eq!(cover(&[[[f32::NAN; 2]; HAND_POINTS]]).face, 0.0);
        assert_eq!(Cover::of(&[], &[hand([200.0, 300.0], 80.0)], &geometry), Cover::default());
    }
}
