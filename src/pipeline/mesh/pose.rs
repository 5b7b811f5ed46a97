//! How the head is turned, and the face's points with the turn removed.
//!
//! A head of middling shape is turned, scaled and moved so that those of its points that an expression does not move fit
//! those in the picture best (weighted orthogonal Procrustes; the points and weights are MediaPipe's). The picture is taken for
//! a parallel projection, as the camera is not known.

use crate::nn::face_mesh::Geometry;

/// A point or direction: towards the signer's left, up, to the camera.
pub(super) type Vector = [f64; 3];

/// A head smaller than this does not count as one, pixels a centimetre: a face would have a seventh of a pixel.
const SMALLEST_SCALE: f64 = 0.01;

/// Where a head is and how it is turned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pose {
    /// Pixels of the picture a centimetre of the middling head.
    pub(super) scale: f64,
    /// From the head's own directions to the picture's, by rows.
    pub(super) rotation: [Vector; 3],
    /// Where the head's origin lies, pixels: across, up, to the camera.
    pub(super) origin: Vector,
}

/// The turn of a head, degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Angles {
    /// To the signer's left.
    pub(super) yaw: f64,
    /// Up.
    pub(super) pitch: f64,
    /// The top towards the signer's left.
    pub(super) roll: f64,
}

/// Points in the picture, `(across, down, away)`, as [`Vector`]s.
pub(super) fn upright(points: &[[f32; 3]]) -> Vec<Vector> {
    points.iter().map(|[x, y, z]| [f64::from(*x), -f64::from(*y), -f64::from(*z)]).collect()
}

impl Pose {
    /// The pose of the head whose points these are; none where they fit no head (all at one position, not finite).
    pub(super) fn of(points: &[Vector], geometry: &Geometry) -> Option<Self> {
        let pairs: Vec<(Vector, Vector, f64)> = geometry
            .pose
            .iter()
            .map(|(index, weight)| Some((geometry.canonical_cm[*index], *points.get(*index)?, *weight)))
            .collect::<Option<_>>()?;
        let total: f64 = pairs.iter().map(|(_, _, weight)| weight).sum();
        let mean = |of: &dyn Fn(&(Vector, Vector, f64)) -> Vector| {
            let add = |sum: Vector, pair| {
                let value = of(pair);
                [0, 1, 2].map(|axis| sum[axis] + pair.2 / total * value[axis])
            };
            pairs.iter().fold([0.0; 3], add)
        };
        let (head_mean, picture_mean) = (mean(&|pair| pair.0), mean(&|pair| pair.1));
        // covariance[i][j]: of the picture's axis i and the head's axis j.
        let mut covariance = [[0.0; 3]; 3];
        let mut spread = 0.0;
        for (head, picture, weight) in &pairs {
            let head = minus(*head, head_mean);
            let picture = minus(*picture, picture_mean);
            for (i, row) in covariance.iter_mut().enumerate() {
                for (j, sum) in row.iter_mut().enumerate() {
                    *sum += weight * picture[i] * head[j];
                }
            }
            spread += weight * dot(head, head);
        }
        let rotation = nearest_rotation(&covariance)?;
        let aligned: f64 = (0..3).map(|i| dot(rotation[i], covariance[i])).sum();
        let scale = aligned / spread;
        if !(scale.is_finite() && scale >= SMALLEST_SCALE) {
            return None;
        }
        let turned = apply(&rotation, head_mean);
        let origin = [0, 1, 2].map(|axis| picture_mean[axis] - scale * turned[axis]);
        Some(Self { scale, rotation, origin })
    }

    /// A point in the picture as it lies on the head, centimetres.
    pub(super) fn on_head(&self, point: Vector) -> Vector {
        let from = minus(point, self.origin);
        [0, 1, 2].map(|axis| (0..3).map(|row| self.rotation[row][axis] * from[row]).sum::<f64>() / self.scale)
    }

    /// How far the points that make the pose lie from those of the middling head, weighted root mean square, centimetres.
    pub(super) fn misfit_cm(&self, points: &[Vector], geometry: &Geometry) -> f64 {
        let (mut sum, mut total) = (0.0, 0.0);
        for (index, weight) in &geometry.pose {
            let off = minus(self.on_head(points[*index]), geometry.canonical_cm[*index]);
            sum += weight * dot(off, off);
            total += weight;
        }
        (sum / total).sqrt()
    }

    /// Yaw and pitch are those of the nose's direction; roll is the rest, about it.
    pub(super) fn angles(&self) -> Angles {
        let r = &self.rotation;
        let nose = [r[0][2], r[1][2], r[2][2]];
        let (yaw, pitch) = (nose[0].atan2(nose[2]), nose[1].clamp(-1.0, 1.0).asin());
        // The head's own x axis, seen with yaw and pitch undone.
        let x = [r[0][0], r[1][0], r[2][0]];
        let (sin, cos) = yaw.sin_cos();
        let x = [cos * x[0] - sin * x[2], x[1], sin * x[0] + cos * x[2]];
        let (sin, cos) = pitch.sin_cos();
        let x = [x[0], cos * x[1] - sin * x[2]];
        Angles { yaw: yaw.to_degrees(), pitch: pitch.to_degrees(), roll: -x[1].atan2(x[0]).to_degrees() }
    }
}

fn minus(a: Vector, b: Vector) -> Vector {
    [0, 1, 2].map(|axis| a[axis] - b[axis])
}

fn dot(a: Vector, b: Vector) -> f64 {
    a.iter().zip(&b).map(|(a, b)| a * b).sum()
}

fn apply(rotation: &[Vector; 3], v: Vector) -> Vector {
    [0, 1, 2].map(|row| dot(rotation[row], v))
}

/// The rotation `R` for which the sum of `R * covariance` over all elements is largest: the unit quaternion that belongs to the
/// largest eigenvalue of a symmetric matrix (Horn 1987, "Closed-form solution of absolute orientation using unit quaternions").
fn nearest_rotation(covariance: &[Vector; 3]) -> Option<[Vector; 3]> {
    // m[a][b]: of the head's axis a and the picture's axis b, in Horn's notation.
    let m = |a: usize, b: usize| covariance[b][a];
    let matrix = [
        [m(0, 0) + m(1, 1) + m(2, 2), m(1, 2) - m(2, 1), m(2, 0) - m(0, 2), m(0, 1) - m(1, 0)],
        [m(1, 2) - m(2, 1), m(0, 0) - m(1, 1) - m(2, 2), m(0, 1) + m(1, 0), m(2, 0) + m(0, 2)],
        [m(2, 0) - m(0, 2), m(0, 1) + m(1, 0), m(1, 1) - m(0, 0) - m(2, 2), m(1, 2) + m(2, 1)],
        [m(0, 1) - m(1, 0), m(2, 0) + m(0, 2), m(1, 2) + m(2, 1), m(2, 2) - m(0, 0) - m(1, 1)],
    ];
    if !matrix.iter().flatten().all(|value: &f64| value.is_finite()) {
        return None;
    }
    let [w, x, y, z] = largest_eigenvector(matrix);
    Some([
        [w * w + x * x - y * y - z * z, 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)],
        [2.0 * (x * y + w * z), w * w - x * x + y * y - z * z, 2.0 * (y * z - w * x)],
        [2.0 * (x * z - w * y), 2.0 * (y * z + w * x), w * w - x * x - y * y + z * z],
    ])
}

/// Sweeps of Jacobi's method; a 4 x 4 matrix is diagonal to the last bit after five or six.
const SWEEPS: usize = 12;

/// The unit eigenvector of the largest eigenvalue of a symmetric matrix, by Jacobi's method (Golub & Van Loan, Matrix
/// Computations, 8.5).
fn largest_eigenvector(mut a: [[f64; 4]; 4]) -> [f64; 4] {
    let mut vectors = [[0.0; 4]; 4];
    for (index, row) in vectors.iter_mut().enumerate() {
        row[index] = 1.0;
    }
    for _ in 0..SWEEPS {
        for p in 0..3 {
            for q in p + 1..4 {
                if a[p][q] == 0.0 {
                    continue;
                }
                let tau = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let t = 1.0f64.copysign(tau) / (tau.abs() + tau.hypot(1.0));
                let c = 1.0 / t.hypot(1.0);
                let s = t * c;
                for row in &mut a {
                    (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
                }
                let (rows_p, rows_q) = (a[p], a[q]);
                a[p] = std::array::from_fn(|k| c * rows_p[k] - s * rows_q[k]);
                a[q] = std::array::from_fn(|k| s * rows_p[k] + c * rows_q[k]);
                for row in &mut vectors {
                    (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
                }
            }
        }
    }
    let largest = (0..4).max_by(|i, j| a[*i][*i].total_cmp(&a[*j][*j])).unwrap_or(0);
    vectors.map(|row| row[largest])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the axes are turned one after the other: roll about the nose, then pitch, then yaw.
    fn rotation(yaw: f64, pitch: f64, roll: f64) -> [Vector; 3] {
        let turn = |v: Vector| {
            let (sin, cos) = (-roll.to_radians()).sin_cos();
            let v = [cos * v[0] - sin * v[1], sin * v[0] + cos * v[1], v[2]];
            let (sin, cos) = pitch.to_radians().sin_cos();
            let v = [v[0], cos * v[1] + sin * v[2], -sin * v[1] + cos * v[2]];
            let (sin, cos) = yaw.to_radians().sin_cos();
            [cos * v[0] + sin * v[2], v[1], -sin * v[0] + cos * v[2]]
        };
        let columns = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]].map(turn);
        [0, 1, 2].map(|row| [0, 1, 2].map(|column: usize| columns[column][row]))
    }

    proptest! {
        #[test]
        fn a_head_that_was_turned_is_turned_back(
            yaw in -80.0f64..80.0, pitch in -60.0f64..60.0, roll in -80.0f64..80.0, scale in 0.5f64..60.0,
            origin in (-500.0f64..500.0, -500.0f64..500.0, -50.0f64..50.0),
        ) {
            let geometry = Geometry::built_in().unwrap();
            let rotation = rotation(yaw, pitch, roll);
            let origin = [origin.0, origin.1, origin.2];
            let points: Vec<Vector> = geometry
                .canonical_cm
                .iter()
                .map(|point| {
                    let turned = apply(&rotation, *point);
                    [0, 1, 2].map(|axis| origin[axis] + scale * turned[axis])
                })
                .collect();
            let pose = Pose::of(&points, &geometry).unwrap();
            prop_assert!((pose.scale / scale - 1.0).abs() < 1e-9);
            prop_assert!(pose.misfit_cm(&points, &geometry) < 1e-6);
            let angles = pose.angles();
            for (found, expected) in [(angles.yaw, yaw), (angles.pitch, pitch), (angles.roll, roll)] {
                prop_assert!((found - expected).abs() < 1e-6, "{angles:?}: {expected}");
            }
            for (point, expected) in points.iter().zip(&geometry.canonical_cm) {
                let found = pose.on_head(*point);
                prop_assert!((0..3).all(|axis| (found[axis] - expected[axis]).abs() < 1e-6));
            }
        }
    }

    #[test]
    fn points_that_are_no_head_have_no_pose() {
        let geometry = Geometry::built_in().unwrap();
        assert_eq!(Pose::of(&vec![[1.0, 2.0, 3.0]; 468], &geometry), None, "all at one position");
        assert_eq!(Pose::of(&vec![[f64::NAN; 3]; 468], &geometry), None);
        assert_eq!(Pose::of(&[], &geometry), None);
    }
}
