//! Which tensors the network has, under which names and of which shapes.

use std::collections::BTreeMap;

/// A row of residual blocks.
#[derive(Debug, Clone, Copy)]
pub struct BlockRow {
    /// What the names of its tensors begin with.
    pub name: &'static str,
    /// Channels that go in.
    pub from: usize,
    /// Channels that come out of each block, and its stride.
    pub blocks: &'static [(usize, usize)],
}

/// What makes numbers of a last map.
#[derive(Debug, Clone, Copy)]
pub struct OutputHead {
    /// What the names of its tensors begin with.
    pub name: &'static str,
    /// Channels that go in.
    pub from: usize,
    /// Side of the map.
    pub side: usize,
    /// Names of the outputs, and how many numbers each has.
    pub outputs: &'static [(&'static str, usize)],
}

/// Channels after the first convolution.
pub const STEM: usize = 16;
/// Side of a block's depthwise filters, and of the first convolution's.
pub const BLOCK_KERNEL: usize = 3;
/// Channels of the map that the outputs look at.
pub const REDUCED: usize = 32;

const FACE: &[(usize, usize)] = &[
    (16, 1),
    (16, 1),
    (32, 2),
    (32, 1),
    (32, 1),
    (64, 2),
    (64, 1),
    (64, 1),
    (128, 2),
    (128, 1),
    (128, 1),
    (128, 2),
    (128, 1),
    (128, 1),
    (128, 2),
    (128, 1),
    (128, 1),
];
const EYE: &[(usize, usize)] = &[(32, 1), (32, 1), (64, 2), (64, 1), (64, 1), (128, 2)];
const TAIL: &[(usize, usize)] = &[(128, 1), (128, 1), (128, 2), (128, 1), (128, 1)];
const LIPS: &[(usize, usize)] =
    &[(32, 1), (32, 1), (64, 2), (64, 1), (64, 1), (128, 2), (128, 1), (128, 1), (128, 2), (128, 1), (128, 1)];

/// All rows of blocks.
pub const PARTS: &[BlockRow] = &[
    BlockRow { name: "face", from: STEM, blocks: FACE },
    BlockRow { name: "lips", from: 32, blocks: LIPS },
    BlockRow { name: "eye_right", from: 32, blocks: EYE },
    BlockRow { name: "eye_right.contour", from: 128, blocks: TAIL },
    BlockRow { name: "eye_right.iris", from: 128, blocks: TAIL },
    BlockRow { name: "eye_left", from: 32, blocks: EYE },
    BlockRow { name: "eye_left.contour", from: 128, blocks: TAIL },
    BlockRow { name: "eye_left.iris", from: 128, blocks: TAIL },
];

const CONTOUR_POINTS: &[(&str, usize)] = &[("points", 142)];
const IRIS_POINTS: &[(&str, usize)] = &[("points", 10)];

/// All heads.
pub const HEADS: &[OutputHead] = &[
    OutputHead { name: "face", from: 128, side: 3, outputs: &[("points", 1404), ("flag", 1)] },
    OutputHead { name: "lips", from: 128, side: 2, outputs: &[("points", 160)] },
    OutputHead { name: "eye_right.contour", from: 128, side: 2, outputs: CONTOUR_POINTS },
    OutputHead { name: "eye_right.iris", from: 128, side: 2, outputs: IRIS_POINTS },
    OutputHead { name: "eye_left.contour", from: 128, side: 2, outputs: CONTOUR_POINTS },
    OutputHead { name: "eye_left.iris", from: 128, side: 2, outputs: IRIS_POINTS },
];

/// Names and shapes of all tensors: convolutions `[kernel, kernel, in, out]`, depthwise ones `[kernel, kernel, channels]`, 1x1
/// ones `[in, out]`, and what looks at a whole map `[side, side, in, out]`; biases and slopes, one a channel.
pub fn expected_tensors() -> BTreeMap<String, Vec<usize>> {
    let mut tensors = BTreeMap::new();
    let kernel = BLOCK_KERNEL;
    let mut add = |name: String, shape: &[usize]| tensors.insert(name, shape.to_vec());
    add("face.stem.weight".into(), &[kernel, kernel, super::COLOURS, STEM]);
    add("face.stem.bias".into(), &[STEM]);
    add("face.stem.slopes".into(), &[STEM]);
    let mut block = |name: String, from: usize, to: usize| {
        add(format!("{name}.depthwise.weight"), &[kernel, kernel, from]);
        add(format!("{name}.depthwise.bias"), &[from]);
        add(format!("{name}.pointwise.weight"), &[from, to]);
        add(format!("{name}.pointwise.bias"), &[to]);
        add(format!("{name}.slopes"), &[to]);
    };
    for BlockRow { name, from, blocks } in PARTS {
        let mut from = *from;
        for (index, (to, _)) in blocks.iter().enumerate() {
            block(format!("{name}.blocks.{index}"), from, *to);
            from = *to;
        }
    }
    for OutputHead { name, .. } in HEADS {
        block(format!("{name}.refine"), REDUCED, REDUCED);
    }
    for OutputHead { name, from, side, outputs } in HEADS {
        tensors.insert(format!("{name}.reduce.weight"), vec![*from, REDUCED]);
        tensors.insert(format!("{name}.reduce.bias"), vec![REDUCED]);
        tensors.insert(format!("{name}.reduce.slopes"), vec![REDUCED]);
        for (output, count) in *outputs {
            tensors.insert(format!("{name}.{output}.weight"), vec![*side, *side, REDUCED, *count]);
            tensors.insert(format!("{name}.{output}.bias"), vec![*count]);
        }
    }
    tensors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_parameters_as_their_authors_state() {
        let count: usize = expected_tensors().values().map(|shape| shape.iter().product::<usize>()).sum();
        // Counted by `check.py` over the operations of MediaPipe's file (../shared/reference/face_mesh.md, section 1).
        assert_eq!(count, 1_189_277);
    }
}
