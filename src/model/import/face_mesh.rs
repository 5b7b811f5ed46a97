//! The face mesh as MediaPipe publishes it, a TensorFlow Lite file, to our own names and layout.
//!
//! The graph is followed from its input to its outputs, and every operation on the way has to be the one that the network has
//! there; a file that differs in any is refused, as is one with operations that were not passed on the way.

use half::f16;

use super::tflite::{Fused, OperationKind};
use super::walk::{TensorIndex, Walk, graph, serialise};
use crate::nn::face_mesh::{
    BLOCK_KERNEL, EYES, FEATURES_AFTER, Geometry, HEADS, LIPS, PARTS, REDUCED, REGION_SCALE, REGION_SIDE, SIDE, STEM,
    expected_tensors,
};

/// The weights of the face mesh in `bytes`, a TensorFlow Lite file, as a safetensors file of 16-bit floats, which both formats
/// keep as they are.
///
/// # Errors
/// What is wrong with the file, to stand behind its name.
pub(super) fn convert(bytes: &[u8], geometry: &Geometry) -> Result<Vec<u8>, String> {
    let graph = graph(bytes)?;
    let mut walk = Walk::new("the face mesh", &graph);
    let outputs = walk.network(geometry)?;
    walk.finish(&outputs)?;
    serialise("the face mesh", &walk.tensors, &expected_tensors())
}

impl Walk<'_> {
    /// Follows the whole network; gives its outputs in their order.
    fn network(&mut self, geometry: &Geometry) -> Result<Vec<TensorIndex>, String> {
        let input = self.picture(SIDE)?;
        let at = self.one(input, "the first convolution", |kind| {
            *kind == OperationKind::Convolution { stride: 2, pads: true, fused: Fused::Nothing }
        })?;
        self.convolution(at.1, "face.stem", "weight", STEM)?;
        let at = self.prelu(at.0, "face.stem.slopes")?;
        let mut features = 0;
        let last = self.blocks(at, "face", |index, tensor| {
            if index == FEATURES_AFTER {
                features = tensor;
            }
        })?;
        let reduced = self.reduced(last, "face")?;
        let [points, flag] = self.outputs(reduced, "face")?[..] else { return Err(self.other("the points")) };
        let [lips, eye_right, eye_left] = self.regions(points, features, geometry)?;
        let last = self.blocks(lips.grid, LIPS, |_, _| {})?;
        let reduced = self.reduced(last, LIPS)?;
        let [found] = self.outputs(reduced, LIPS)?[..] else { return Err(self.other("the lips")) };
        let mut outputs = vec![self.sliced(points)?, self.mapped(found, &lips)?];
        let mut irises = Vec::new();
        for (name, eye) in EYES.into_iter().zip([eye_right, eye_left]) {
            let shared = self.blocks(eye.grid, name, |_, _| {})?;
            for (tail, to) in [("contour", &mut outputs), ("iris", &mut irises)] {
                let tail = format!("{name}.{tail}");
                let last = self.blocks(shared, &tail, |_, _| {})?;
                let reduced = self.reduced(last, &tail)?;
                let [found] = self.outputs(reduced, &tail)?[..] else { return Err(self.other(&tail)) };
                to.push(self.mapped(found, &eye)?);
            }
        }
        outputs.extend(irises);
        outputs.push(flag);
        Ok(outputs)
    }

    /// A row of residual blocks; `see` is called with where the trunk is after each.
    fn blocks(
        &mut self,
        from: TensorIndex,
        part: &str,
        mut see: impl FnMut(usize, TensorIndex),
    ) -> Result<TensorIndex, String> {
        let Some(part) = PARTS.iter().find(|own| own.name == part) else { return Err(self.other(part)) };
        let (mut at, mut channels) = (from, part.from);
        for (index, (to, stride)) in part.blocks.iter().enumerate() {
            at = self.block(at, &format!("{}.blocks.{index}", part.name), [channels, *to], [BLOCK_KERNEL, *stride])?;
            channels = *to;
            see(index + 1, at);
        }
        Ok(at)
    }

    /// What stands between the last block and the outputs.
    fn reduced(&mut self, from: TensorIndex, name: &str) -> Result<TensorIndex, String> {
        let (reduced, operation_index) = self.one(from, name, |kind| {
            matches!(kind, OperationKind::Convolution { stride: 1, fused: Fused::Nothing, .. })
        })?;
        self.convolution(operation_index, &format!("{name}.reduce"), "weight", REDUCED)?;
        let at = self.prelu(reduced, &format!("{name}.reduce.slopes"))?;
        self.block(at, &format!("{name}.refine"), [REDUCED, REDUCED], [BLOCK_KERNEL, 1])
    }

    /// The outputs of a head, in its order.
    fn outputs(&mut self, from: TensorIndex, name: &str) -> Result<Vec<TensorIndex>, String> {
        let Some(head) = HEADS.iter().find(|own| own.name == name) else { return Err(self.other(name)) };
        let mut outputs = Vec::new();
        for (output, count) in head.outputs {
            let graph = self.graph;
            // One pixel comes out, so that the stride says nothing.
            let has_count = |tensor: &usize| graph.shape(*tensor) == [1, 1, 1, *count];
            let operations = self.after.get(&from).map_or(&[][..], |operations| operations);
            let fits = |operation_index: &&usize| {
                let operation = self.operation(**operation_index);
                matches!(operation.kind, OperationKind::Convolution { pads: false, fused: Fused::Nothing, .. })
                    && matches!(&operation.outputs[..], [output] if has_count(output))
            };
            let operation_index = operations.iter().find(fits).copied().ok_or_else(|| self.other(name))?;
            self.passed.insert(operation_index);
            self.convolution(operation_index, name, &format!("{output}.weight"), *count)?;
            outputs.push(self.operation(operation_index).outputs[0]);
        }
        Ok(outputs)
    }

    /// The regions of lips, right eye and left eye, in this order.
    fn regions(
        &mut self,
        points: TensorIndex,
        features: TensorIndex,
        geometry: &Geometry,
    ) -> Result<[Branch; 3], String> {
        let subsets = [&geometry.lips, &geometry.eyes[0], &geometry.eyes[1]];
        let levels = [[61, 291], [33, 133], [362, 263]];
        let mut found = [None; 3];
        for _ in 0..3 {
            let (at, _) = self.one(points, "a region", |kind| *kind == OperationKind::Reshape)?;
            let (at, operation_index) = self.one(at, "a region", |kind| *kind == OperationKind::Multiply)?;
            if self.constant(operation_index, 1)?.1[..] != [f16::from_f32(0.25)] {
                return Err(self.other("the scale of a region"));
            }
            let (matrix, operation_index) =
                self.one(at, "a region", |kind| matches!(kind, OperationKind::RegionOf { .. }))?;
            let OperationKind::RegionOf { points, about, side, scale } = &self.operation(operation_index).kind else {
                return Err(self.other("a region"));
            };
            let which = (0..3).find(|which| about == subsets[*which] && *points == levels[*which]);
            let is_ours = *side == REGION_SIDE && *scale == f64::from(REGION_SCALE);
            let which = which.filter(|_| is_ours).ok_or_else(|| self.other("a region"))?;
            let (grid, operation_index) =
                self.one(matrix, "a region", |kind| *kind == OperationKind::Resample { side: REGION_SIDE })?;
            if self.operation(operation_index).inputs[..] != [features, matrix] {
                return Err(self.other("the map of a region"));
            }
            let (larger, operation_index) = self.one(matrix, "a region", |kind| *kind == OperationKind::Multiply)?;
            let factors = self.constant(operation_index, 1)?.1;
            let expected = |index: usize| if index < 8 && index % 4 > 1 { 4.0 } else { 1.0 };
            // Only the first two rows are used, of the columns the first two and the last.
            let is_used = |index: usize| index < 8 && index % 4 != 2;
            if (0..16).any(|p| is_used(p) && factors.get(p).map(|f| f.to_f32()) != Some(expected(p))) {
                return Err(self.other("the way back from a region"));
            }
            found[which] = Some(Branch { grid, larger });
        }
        let [Some(lips), Some(right), Some(left)] = found else { return Err(self.other("a region")) };
        Ok([lips, right, left])
    }

    /// A branch's points in the picture.
    fn mapped(&mut self, from: TensorIndex, region: &Branch) -> Result<TensorIndex, String> {
        let (at, _) = self.one(from, "a branch's points", |kind| *kind == OperationKind::Reshape)?;
        let (at, operation_index) = self.one(at, "a branch's points", |kind| *kind == OperationKind::MapPoints)?;
        if self.operation(operation_index).inputs.get(1) != Some(&region.larger) {
            return Err(self.other("the way back from a region"));
        }
        Ok(self.one(at, "a branch's points", |kind| *kind == OperationKind::Reshape)?.0)
    }

    fn sliced(&mut self, from: TensorIndex) -> Result<TensorIndex, String> {
        Ok(self.one(from, "the points", |kind| *kind == OperationKind::Slice)?.0)
    }
}

/// A region: the map cut out, and the matrix back.
#[derive(Debug, Clone, Copy)]
struct Branch {
    grid: TensorIndex,
    larger: TensorIndex,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::walk::original;
    use super::*;

    #[test]
    fn the_bundled_weights_are_what_import_makes_of_mediapipes_file() {
        let test = "the_bundled_weights_are_what_import_makes_of_mediapipes_file";
        let Some(bytes) = original("mediapipe_face_landmark_with_attention.tflite", test) else { return };
        let weights = convert(&bytes, &Geometry::built_in().unwrap()).unwrap();
        assert!(weights == include_bytes!("../../../assets/models/face_mesh/model.safetensors"));
    }

    #[test]
    fn another_network_and_damaged_files_are_refused() {
        let test = "another_network_and_damaged_files_are_refused";
        let geometry = Geometry::built_in().unwrap();
        let Some(plain) = original("mediapipe_face_landmark.tflite", test) else { return };
        assert!(convert(&plain, &geometry).unwrap_err().starts_with("is not the face mesh: "));
        let Some(whole) = original("mediapipe_face_landmark_with_attention.tflite", test) else { return };
        // The last bytes only fill the file up.
        for length in (0..whole.len() - 64).step_by(whole.len() / 60) {
            assert!(convert(&whole[..length], &geometry).is_err(), "{length}");
        }
        // Where the file says what is what, not where the weights lie: these may be any.
        for offset in (0..whole.len()).step_by(whole.len() / 400) {
            let mut damaged = whole.clone();
            damaged[offset] ^= 0xff;
            let _ = convert(&damaged, &geometry);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), offset in 0u8..64) {
            let file = [&[offset, 0, 0, 0], &b"TFL3"[..], &bytes].concat();
            prop_assert!(convert(&file, &Geometry::built_in().unwrap()).is_err());
        }
    }
}
