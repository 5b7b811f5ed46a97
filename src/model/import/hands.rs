//! The networks for palms and hands as MediaPipe publishes them, TensorFlow Lite files, to our own names and layout.

use super::tflite::{Fused, OperationKind};
use super::walk::{TensorIndex, Walk, graph, serialise};
use crate::nn::hands::{
    ANCHORS, HAND_BLOCKS, HAND_SIDE, HandBlock, PALM_PARTS, PALM_SIDE, PalmPart, hand_tensors, palm_tensors,
};

const PALMS: &str = "the palm detector";
const HANDS: &str = "the network for hands";
/// Side of the palm detector's filters.
const PALM_KERNEL: usize = 5;

/// The weights of the palm detector in `bytes`, a TensorFlow Lite file, as a safetensors file of 16-bit floats, which both formats
/// keep as they are.
///
/// # Errors
/// What is wrong with the file, to stand behind its name.
pub(super) fn palms(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let graph = graph(bytes)?;
    let mut walk = Walk::new(PALMS, &graph);
    let outputs = walk.palms()?;
    walk.finish(&outputs)?;
    serialise(PALMS, &walk.tensors, &palm_tensors())
}

/// The same of the network for hands. Its points in metres and which hand it is are left out.
///
/// # Errors
/// What is wrong with the file, to stand behind its name.
pub(super) fn landmarks(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let graph = graph(bytes)?;
    let mut walk = Walk::new(HANDS, &graph);
    let outputs = walk.hand()?;
    walk.finish(&outputs)?;
    walk.tensors.retain(|name, _| !name.starts_with(LEFT_OUT));
    serialise(HANDS, &walk.tensors, &hand_tensors())
}

/// What the names of tensors begin with that are not kept.
const LEFT_OUT: &str = "left_out.";

impl Walk<'_> {
    /// Follows the whole palm detector; gives its outputs in their order.
    fn palms(&mut self) -> Result<Vec<TensorIndex>, String> {
        let input = self.picture(PALM_SIDE)?;
        let at = self.before(input, "stem", 2)?;
        let fine = self.row(at, "fine")?;
        let coarse = self.row(fine, "coarse")?;
        let coarsest = self.row(coarse, "coarsest")?;
        let joined_coarse = self.joined("joined_coarse", coarse, coarsest)?;
        let joined_fine = self.joined("joined_fine", fine, joined_coarse)?;
        let mut told = Vec::new();
        for (part, _, anchors) in ANCHORS {
            let map = if part == "joined_fine" { joined_fine } else { joined_coarse };
            let boxes = self.told(map, &format!("{part}.boxes"), 18 * anchors)?;
            let scores = self.told(map, &format!("{part}.scores"), anchors)?;
            told.push([boxes, scores]);
        }
        let [[fine_boxes, fine_scores], [coarse_boxes, coarse_scores]] = told[..] else {
            return Err(self.other("what it tells"));
        };
        let boxes = self.laid_end_to_end([fine_boxes, coarse_boxes])?;
        let scores = self.laid_end_to_end([fine_scores, coarse_scores])?;
        Ok(vec![boxes, scores])
    }

    /// A convolution with its PReLU.
    fn before(&mut self, from: TensorIndex, name: &str, stride: usize) -> Result<TensorIndex, String> {
        let is_it = |kind: &OperationKind| matches!(kind, OperationKind::Convolution { stride: own, fused: Fused::Nothing, .. } if *own == stride);
        let (at, operation_index) = self.one(from, name, is_it)?;
        let outputs = self.graph.shape(at).last().copied().unwrap_or(0);
        self.convolution(operation_index, name, "weight", outputs)?;
        self.prelu(at, &format!("{name}.slopes"))
    }

    fn row(&mut self, from: TensorIndex, part: &str) -> Result<TensorIndex, String> {
        let Some(PalmPart { name, from: channels, blocks }) = PALM_PARTS.into_iter().find(|own| own.name == part)
        else {
            return Err(self.other(part));
        };
        let (mut at, mut channels) = (from, channels);
        for (index, (to, stride)) in blocks.iter().enumerate() {
            at = self.block(at, &format!("{name}.blocks.{index}"), [channels, *to], [PALM_KERNEL, *stride])?;
            channels = *to;
        }
        Ok(at)
    }

    /// A coarser map, enlarged, through a convolution, added to the finer one; and the blocks after that.
    fn joined(&mut self, part: &str, finer: TensorIndex, coarser: TensorIndex) -> Result<TensorIndex, String> {
        let (larger, _) = self.one(coarser, part, |kind| *kind == OperationKind::Enlarge)?;
        let at = self.before(larger, &format!("{part}.before"), 1)?;
        let (sum, operation_index) = self.one(at, part, |kind| *kind == OperationKind::Add)?;
        let mut added = self.operation(operation_index).inputs.clone();
        added.sort_unstable();
        let mut expected = [at, finer];
        expected.sort_unstable();
        if added[..] != expected {
            return Err(self.other(part));
        }
        self.row(sum, part)
    }

    /// What a map's pixels are told, in a row.
    fn told(&mut self, map: TensorIndex, name: &str, count: usize) -> Result<TensorIndex, String> {
        let graph = self.graph;
        let operations = self.after.get(&map).map_or(&[][..], |operations| operations);
        let fits = |operation_index: &&usize| {
            let operation = &graph.operations[**operation_index];
            let is_plain =
                matches!(operation.kind, OperationKind::Convolution { stride: 1, fused: Fused::Nothing, .. });
            is_plain && matches!(operation.outputs[..], [output] if graph.shape(output).last() == Some(&count))
        };
        let operation_index = operations.iter().find(fits).copied().ok_or_else(|| self.other(name))?;
        self.passed.insert(operation_index);
        self.convolution(operation_index, name, "weight", count)?;
        Ok(self.one(graph.operations[operation_index].outputs[0], name, |kind| *kind == OperationKind::Reshape)?.0)
    }

    fn laid_end_to_end(&mut self, parts: [TensorIndex; 2]) -> Result<TensorIndex, String> {
        let (at, operation_index) = self.one(parts[0], "an output", |kind| *kind == OperationKind::Concatenate)?;
        if self.operation(operation_index).inputs[..] == parts { Ok(at) } else { Err(self.other("an output")) }
    }

    /// Follows the whole network for hands; gives its outputs in their order.
    fn hand(&mut self) -> Result<Vec<TensorIndex>, String> {
        let input = self.picture(HAND_SIDE)?;
        let at = self.activated(input, "stem", 2)?;
        let at = self.filtered(at, "stem.depthwise", [3, 1])?;
        let mut at = self.projected(at, "stem.project")?;
        for (index, block) in HAND_BLOCKS.into_iter().enumerate() {
            at = self.inverted(at, &format!("blocks.{index}"), block)?;
        }
        let (mean, _) = self.one(at, "the mean", |kind| *kind == OperationKind::Mean)?;
        // Which hand it is comes before whether one is there, and its weights are of the same shape.
        let handedness = self.output(mean, &format!("{LEFT_OUT}handedness"), 1)?;
        let presence = self.output(mean, "presence", 1)?;
        let points = self.output(mean, "points", 63)?;
        let in_metres = self.output(mean, &format!("{LEFT_OUT}in_metres"), 63)?;
        let [presence, handedness] = [
            self.one(presence, "an output", |kind| *kind == OperationKind::Sigmoid)?.0,
            self.one(handedness, "an output", |kind| *kind == OperationKind::Sigmoid)?.0,
        ];
        Ok(vec![points, presence, handedness, in_metres])
    }

    /// An inverted residual block.
    fn inverted(&mut self, from: TensorIndex, name: &str, block: HandBlock) -> Result<TensorIndex, String> {
        let HandBlock { expanded, kernel, stride, to, is_residual } = block;
        let wide = self.activated(from, &format!("{name}.expand"), 1)?;
        if self.graph.shape(wide).last() != Some(&expanded) {
            return Err(self.other(name));
        }
        let filtered = self.filtered(wide, &format!("{name}.depthwise"), [kernel, stride])?;
        if to.is_none() {
            return Ok(filtered);
        }
        let narrow = self.projected(filtered, &format!("{name}.project"))?;
        if !is_residual {
            return Ok(narrow);
        }
        let added = if stride == 1 { from } else { self.one(from, name, |kind| *kind == OperationKind::MaxPool)?.0 };
        let (sum, operation_index) = self.one(narrow, name, |kind| *kind == OperationKind::Add)?;
        if self.operation(operation_index).inputs[..] == [narrow, added] { Ok(sum) } else { Err(self.other(name)) }
    }

    /// A convolution with its ReLU.
    fn activated(&mut self, from: TensorIndex, name: &str, stride: usize) -> Result<TensorIndex, String> {
        let kind = OperationKind::Convolution { stride, pads: true, fused: Fused::Relu6 };
        self.dense(from, name, &kind)
    }

    /// A 1x1 convolution without an activation.
    fn projected(&mut self, from: TensorIndex, name: &str) -> Result<TensorIndex, String> {
        let kind = OperationKind::Convolution { stride: 1, pads: true, fused: Fused::Nothing };
        self.dense(from, name, &kind)
    }

    fn dense(&mut self, from: TensorIndex, name: &str, kind: &OperationKind) -> Result<TensorIndex, String> {
        let (at, operation_index) = self.one(from, name, |own| own == kind)?;
        let outputs = self.graph.shape(at).last().copied().unwrap_or(0);
        self.convolution(operation_index, name, "weight", outputs)?;
        Ok(at)
    }

    fn filtered(&mut self, from: TensorIndex, name: &str, [kernel, stride]: [usize; 2]) -> Result<TensorIndex, String> {
        let expected = OperationKind::Depthwise { stride, pads: true, fused: Fused::Relu6 };
        let (at, operation_index) = self.one(from, name, |kind| *kind == expected)?;
        let channels = self.graph.shape(from).last().copied().unwrap_or(0);
        self.depthwise(operation_index, name, kernel, channels)?;
        Ok(at)
    }

    /// A fully connected layer with `count` outputs.
    fn output(&mut self, from: TensorIndex, name: &str, count: usize) -> Result<TensorIndex, String> {
        let graph = self.graph;
        let operations = self.after.get(&from).map_or(&[][..], |operations| operations);
        let fits = |operation_index: &&usize| {
            let operation = &graph.operations[**operation_index];
            operation.kind == OperationKind::FullyConnected
                && !self.passed.contains(*operation_index)
                && matches!(operation.outputs[..], [output] if graph.shape(output).last() == Some(&count))
        };
        let operation_index = operations.iter().find(fits).copied().ok_or_else(|| self.other(name))?;
        self.passed.insert(operation_index);
        self.fully_connected(operation_index, name, count)?;
        Ok(graph.operations[operation_index].outputs[0])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::walk::original;
    use super::*;

    #[test]
    fn the_bundled_weights_are_what_import_makes_of_mediapipes_files() {
        let test = "the_bundled_weights_are_what_import_makes_of_mediapipes_files";
        let [palm, hand] = ["palm_detection_lite.tflite", "hand_landmark_lite.tflite"].map(|name| original(name, test));
        let (Some(palm), Some(hand)) = (palm, hand) else { return };
        assert!(palms(&palm).unwrap() == include_bytes!("../../../assets/models/hands/palms/model.safetensors"));
        assert!(
            landmarks(&hand).unwrap() == include_bytes!("../../../assets/models/hands/landmarks/model.safetensors")
        );
        assert!(palms(&hand).unwrap_err().starts_with("is not the palm detector: "));
        assert!(landmarks(&palm).unwrap_err().starts_with("is not the network for hands: "));
        for (whole, convert) in [(&palm, palms as fn(&[u8]) -> _), (&hand, landmarks)] {
            for length in (0..whole.len() - 64).step_by(whole.len() / 20) {
                assert!(convert(&whole[..length]).is_err(), "{length}");
            }
            for offset in (0..whole.len()).step_by(whole.len() / 100) {
                let mut damaged = whole.clone();
                damaged[offset] ^= 0xff;
                let _ = convert(&damaged);
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), offset in 0u8..64) {
            let file = [&[offset, 0, 0, 0], &b"TFL3"[..], &bytes].concat();
            prop_assert!(palms(&file).is_err());
            prop_assert!(landmarks(&file).is_err());
        }
    }
}
