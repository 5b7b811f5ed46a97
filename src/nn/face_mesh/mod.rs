//! MediaPipe's face mesh with attention (Grishchenko et al. 2020, "Attention Mesh: High-fidelity Face Mesh Prediction in
//! Real-time"): from a square picture of a face to 478 points on it, and whether a face is there.
//!
//! A trunk of residual blocks gives 468 points. Three branches then look again at the lips and at either eye, in a map of the
//! trunk that is cut out and levelled by those points, and give their points anew and the irises. What MediaPipe calls the
//! left eye lies to the left in the picture; here `left` and `right` are those of the person who is seen.

mod parts;
mod region;

use super::weights::{Weights, WeightsFault};
use crate::infer::{BlazeBlock, ConvolutionLayer, Layer, Linear, Plan, PlanError, Reach, Shape};
use crate::kernels::Activation;
pub use parts::{BLOCK_KERNEL, BlockRow, HEADS, OutputHead, PARTS, REDUCED, STEM, expected_tensors};
use region::RegionMap;
pub use region::{EYES, Geometry, GeometryFault, LIPS, REGION_SCALE, REGION_SIDE};

/// Side of the picture, pixels.
pub const SIDE: usize = 192;
/// Colours of the picture: red, green, blue, each from 0 to 1.
pub const COLOURS: usize = 3;
/// Points of the mesh itself.
pub const MESH_POINTS: usize = 468;
/// All points: those of the mesh, then five of each iris.
pub const POINTS: usize = 478;

/// Blocks of the trunk after which the branches take its map.
pub const FEATURES_AFTER: usize = 3;
/// Side of that map.
const FEATURES_SIDE: usize = 48;
/// Channels of that map.
const FEATURES: usize = 32;

/// The network's answer to a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Mesh {
    /// [`POINTS`] points: across, down, away from the camera, all in pixels of the picture; a point may lie beside it. The
    /// third is relative to the head, about 0 in the middle of it.
    pub points: Vec<[f32; 3]>,
    /// The logit of 'a face is here'. It does not fall where something covers the face.
    pub flag: f32,
}

/// The network, ready to run.
#[derive(Debug)]
pub struct FaceMesh {
    face: Plan,
    lips: Plan,
    /// The right one first.
    eyes: [Eye; 2],
    geometry: Geometry,
}

/// An eye's branch: the plan for its contour gives out the map from which that of the iris goes on.
#[derive(Debug)]
struct Eye {
    contour: Plan,
    iris: Plan,
}

/// Why a file is not the network's.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum FaceMeshError {
    #[error(transparent)]
    Weights(#[from] WeightsFault),
    #[error(transparent)]
    Geometry(#[from] GeometryFault),
    #[error(transparent)]
    Plan(#[from] PlanError),
}

impl FaceMesh {
    /// Reads the weights that come with the program.
    ///
    /// # Errors
    /// If they cannot be read, which a test excludes.
    pub fn built_in() -> Result<Self, FaceMeshError> {
        let weights = include_bytes!("../../../assets/models/face_mesh/model.safetensors");
        Self::new(weights, Geometry::built_in()?)
    }

    /// Reads the contents of a weights file.
    ///
    /// # Errors
    /// If it is not one, or a tensor is missing, unknown, of the wrong shape or type, or not finite.
    pub fn new(weights: &[u8], geometry: Geometry) -> Result<Self, FaceMeshError> {
        let weights = Weights::read(weights, expected_tensors())?;
        let shape = Shape { height: SIDE, width: SIDE, channels: COLOURS };
        let [slopes, stem] = [weights.values("face.stem.slopes"), weights.values("face.stem.weight")];
        let mut face = vec![
            Layer::Convolution(ConvolutionLayer {
                reach: Reach::Dense { kernel: 3, stride: 2 },
                weights: stem,
                bias: weights.values("face.stem.bias"),
                activation: Activation::Identity,
            }),
            Layer::Prelu(slopes),
        ];
        face.extend(blocks(&weights, "face"));
        // The convolution, its PReLU, and the first blocks.
        face.insert(2 + FEATURES_AFTER, Layer::Tap);
        face.extend(head(&weights, "face"));
        let region = Shape { height: REGION_SIDE, width: REGION_SIDE, channels: FEATURES };
        let lips: Vec<Layer> = blocks(&weights, "lips").into_iter().chain(head(&weights, "lips")).collect();
        let eyes = EYES.map(|name| eye(&weights, name, region));
        let [right, left] = eyes;
        let face = Plan::compile(&face, shape)?;
        Ok(Self { face, lips: Plan::compile(&lips, region)?, eyes: [right?, left?], geometry })
    }

    /// Where points of the face lie on a head, and which are used for what.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The mesh of one picture, `[SIDE, SIDE, COLOURS]`, values from 0 to 1.
    ///
    /// # Panics
    /// If there are not as many values.
    pub fn run(&self, picture: &[f32]) -> Mesh {
        let mut result = vec![0.0; self.face.output().len()];
        let mut features = vec![0.0; FEATURES_SIDE * FEATURES_SIDE * FEATURES];
        self.face.run_with_tap(picture, &mut result, &mut features);
        let (mesh, flag) = result.split_at(3 * MESH_POINTS);
        let mut points: Vec<[f32; 3]> = mesh.as_chunks::<3>().0.to_vec();
        points.resize(POINTS, [0.0; 3]);
        let on_features = FEATURES_SIDE as f32 / SIDE as f32;
        let region = |subset: &[usize], level: [usize; 2]| {
            let at = |index: usize| [points[index][0] * on_features, points[index][1] * on_features];
            let of: Vec<[f32; 2]> = subset.iter().map(|index| at(*index)).collect();
            RegionMap::about(&of, level.map(at))
        };
        let geometry = &self.geometry;
        let lips = region(&geometry.lips, region::LIPS_LEVEL);
        let eyes = [0, 1].map(|eye| region(&geometry.eyes[eye], region::EYES_LEVEL[eye]));
        let found = lips.found(&self.lips, &features, None);
        replace(&mut points, &geometry.lips, &found);
        for (eye, region) in eyes.iter().enumerate() {
            let Eye { contour, iris } = &self.eyes[eye];
            let mut shared = vec![0.0; iris.input().len()];
            let found = region.found(contour, &features, Some(&mut shared));
            replace(&mut points, &geometry.eyes[eye], &found);
            let mut row = vec![0.0; iris.output().len()];
            iris.run(&shared, &mut row);
            let contour = &geometry.eye_contours[eye];
            let depth = contour.iter().map(|index| points[*index][2]).sum::<f32>() / contour.len().max(1) as f32;
            let first = MESH_POINTS + 5 * eye;
            for (point, [x, y]) in points[first..].iter_mut().zip(region.in_picture(&row)) {
                *point = [x, y, depth];
            }
        }
        Mesh { points, flag: flag[0] }
    }
}

/// A branch's points replace the mesh's, which keep their depth.
fn replace(points: &mut [[f32; 3]], subset: &[usize], found: &[[f32; 2]]) {
    for (index, found) in subset.iter().zip(found) {
        points[*index][..2].copy_from_slice(found);
    }
}

fn eye(weights: &Weights, name: &str, region: Shape) -> Result<Eye, PlanError> {
    let (contour, iris) = (format!("{name}.contour"), format!("{name}.iris"));
    let tail = |tail: &str| blocks(weights, tail).into_iter().chain(head(weights, tail)).collect::<Vec<_>>();
    let mut layers = blocks(weights, name);
    layers.push(Layer::Tap);
    layers.extend(tail(&contour));
    let contour = Plan::compile(&layers, region)?;
    let shared = contour.tap().unwrap_or(region);
    Ok(Eye { contour, iris: Plan::compile(&tail(&iris), shared)? })
}

fn blocks(weights: &Weights, part: &str) -> Vec<Layer> {
    let part = PARTS.iter().find(|own| own.name == part);
    let blocks = part.map_or(&[][..], |part| part.blocks).iter().enumerate();
    let name = |index| format!("{}.blocks.{index}", part.map_or("", |part| part.name));
    blocks.map(|(index, (_, stride))| blaze_block(weights, &name(index), *stride)).collect()
}

pub(super) fn blaze_block(weights: &Weights, name: &str, stride: usize) -> Layer {
    let values = |of: &str| weights.values(&format!("{name}.{of}"));
    Layer::BlazeBlock(BlazeBlock {
        depthwise: [values("depthwise.weight"), values("depthwise.bias")],
        pointwise: [values("pointwise.weight"), values("pointwise.bias")],
        slopes: values("slopes"),
        stride,
    })
}

/// From the last map to the numbers.
fn head(weights: &Weights, name: &str) -> Vec<Layer> {
    let values = |of: &str| weights.values(&format!("{name}.{of}"));
    let outputs = HEADS.iter().find(|head| head.name == name).map_or(&[][..], |head| head.outputs);
    let counts: Vec<usize> = outputs.iter().map(|(_, count)| *count).collect();
    let all: Vec<Vec<f32>> = outputs.iter().map(|(output, _)| values(&format!("{output}.weight"))).collect();
    let inputs = all.first().map_or(0, Vec::len) / counts.first().copied().unwrap_or(1);
    // Outputs that look at the same map are one product.
    let row = |input: usize| {
        all.iter().zip(&counts).flat_map(move |(all, count)| all[input * count..][..*count].iter().copied())
    };
    vec![
        Layer::Convolution(ConvolutionLayer {
            reach: Reach::Pointwise,
            weights: values("reduce.weight"),
            bias: values("reduce.bias"),
            activation: Activation::Identity,
        }),
        Layer::Prelu(values("reduce.slopes")),
        blaze_block(weights, &format!("{name}.refine"), 1),
        Layer::Whole(Linear {
            weights: (0..inputs).flat_map(row).collect(),
            bias: outputs.iter().flat_map(|(output, _)| values(&format!("{output}.bias"))).collect(),
            activation: Activation::Identity,
        }),
    ]
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use serde_json::Value;

    use super::*;

    /// Pixels of the network's picture; MediaPipe's numbers have four decimals.
    const TOLERANCE: f32 = 0.01;

    fn picture(path: &Path) -> Vec<f32> {
        let picture = image::open(path).unwrap().to_rgb8();
        assert_eq!(picture.dimensions(), (SIDE as u32, SIDE as u32));
        picture.as_raw().iter().map(|value| f32::from(*value) / 255.0).collect()
    }

    fn numbers(value: &Value) -> Vec<f32> {
        value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
    }

    /// The largest difference of any coordinate.
    fn difference(mesh: &Mesh, expected: &[f32]) -> f32 {
        let found = mesh.points.as_flattened();
        assert_eq!(found.len(), expected.len());
        found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn points_are_those_that_mediapipe_finds_on_a_face_that_is_nobodys() {
        let folder = Path::new("tests/faces");
        let expected: Value = serde_json::from_slice(&std::fs::read(folder.join("mesh.json")).unwrap()).unwrap();
        let network = FaceMesh::built_in().unwrap();
        for expected in expected.as_array().unwrap() {
            let name = expected["picture"].as_str().unwrap();
            let mesh = network.run(&picture(&folder.join(name)));
            let points: Vec<f32> = expected["points"].as_array().unwrap().iter().flat_map(numbers).collect();
            let difference = difference(&mesh, &points);
            assert!(difference < TOLERANCE, "{name}: {difference}");
            assert!((mesh.flag - expected["flag"].as_f64().unwrap() as f32).abs() < TOLERANCE, "{name}: {}", mesh.flag);
        }
    }

    #[test]
    fn points_are_those_that_mediapipe_finds_on_real_faces() {
        let data = std::env::var_os("ANNOTATE_DATA").map_or_else(|| "../shared/data".into(), PathBuf::from);
        let folder = data.join("face_mesh");
        let Ok(expected) = std::fs::read(folder.join("face_mesh.json")) else {
            println!("skipped: points_are_those_that_mediapipe_finds_on_real_faces (no data at {})", folder.display());
            return;
        };
        let expected: Value = serde_json::from_slice(&expected).unwrap();
        let network = FaceMesh::built_in().unwrap();
        for (name, expected) in expected.as_object().unwrap() {
            let mesh = network.run(&picture(&folder.join(format!("{name}.png"))));
            let difference = difference(&mesh, &numbers(&expected["points478_crop_px"]));
            assert!(difference < TOLERANCE, "{name}: {difference}");
            assert!((mesh.flag - expected["face_flag"].as_f64().unwrap() as f32).abs() < TOLERANCE, "{name}");
            assert_eq!(mesh.flag > 0.0, !name.contains("dogs"), "{name}: {}", mesh.flag);
        }
    }

    #[test]
    fn results_depend_on_the_picture_alone() {
        let network = FaceMesh::built_in().unwrap();
        let face = picture(Path::new("tests/faces/mesh_40.png"));
        let first = network.run(&face);
        let grey = network.run(&vec![0.5; SIDE * SIDE * COLOURS]);
        assert!(grey.flag < 0.0, "{}", grey.flag);
        assert_eq!(network.run(&face), first);
        assert!(grey.points.as_flattened().iter().all(|value| value.is_finite()));
    }

    #[test]
    fn other_weights_are_refused() {
        let built_in = include_bytes!("../../../assets/models/face_mesh/model.safetensors");
        let refused = |bytes: &[u8]| FaceMesh::new(bytes, Geometry::built_in().unwrap()).unwrap_err().to_string();
        assert!(refused(&built_in[..1000]).starts_with("not a safetensors file"));
        let refiner = include_bytes!("../../../assets/models/refiner/model.safetensors");
        assert!(refused(refiner).ends_with("belongs to another network"), "{}", refused(refiner));
    }
}
