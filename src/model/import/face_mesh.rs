//! The face mesh as MediaPipe publishes it, a TensorFlow Lite file, to our own names and layout.
//!
//! The graph is followed from its input to its outputs, and every operation on the way has to be the one that the network has
//! there; a file that differs in any is refused, as is one with operations that were not passed on the way.

use std::collections::{BTreeMap, BTreeSet};

use half::f16;
use safetensors::tensor::{Dtype, TensorView};

use super::tflite::{Graph, Kind, Operation};
use crate::nn::face_mesh::{
    COLOURS, EYES, FEATURES_AFTER, Geometry, HEADS, LIPS, PARTS, REDUCED, REGION_SCALE, REGION_SIDE, SIDE, STEM,
    expected_tensors,
};

/// Largest file read: the network has 2.5 MB.
pub(super) const LARGEST: usize = 64 << 20;

/// A tensor in our layout.
type Converted = (Vec<usize>, Vec<f16>);

/// The weights of the face mesh in `bytes`, a TensorFlow Lite file, as a safetensors file of 16-bit floats, which both formats
/// keep as they are.
///
/// # Errors
/// What is wrong with the file, to stand behind its name.
pub(super) fn convert(bytes: &[u8], geometry: &Geometry) -> Result<Vec<u8>, String> {
    if bytes.len() > LARGEST {
        return Err(format!("is larger than {} MB", LARGEST >> 20));
    }
    let graph = Graph::read(bytes)?;
    let mut walk = Walk::new(&graph);
    let outputs = walk.network(geometry)?;
    if graph.outputs != outputs {
        return Err("is not the face mesh: it has other outputs".into());
    }
    if let Some(left) = (0..graph.operations.len()).find(|operation_index| !walk.passed.contains(operation_index)) {
        return Err(format!("is not the face mesh: operation {left} does not belong to it"));
    }
    serialise(&walk.tensors)
}

fn serialise(tensors: &BTreeMap<String, Converted>) -> Result<Vec<u8>, String> {
    let found: BTreeMap<&String, &Vec<usize>> = tensors.iter().map(|(name, (shape, _))| (name, shape)).collect();
    if let Some((name, _)) = expected_tensors().iter().find(|(name, shape)| found.get(name) != Some(shape)) {
        return Err(format!("is not the face mesh: '{name}' is missing or has another shape"));
    }
    let bytes: Vec<Vec<u8>> =
        tensors.values().map(|(_, values)| values.iter().flat_map(|value| value.to_le_bytes()).collect()).collect();
    let views = tensors.iter().zip(&bytes).map(|((name, (shape, _)), bytes)| {
        TensorView::new(Dtype::F16, shape.clone(), bytes).map(|view| (name.as_str(), view))
    });
    let views: Result<Vec<_>, _> = views.collect();
    views.and_then(|views| safetensors::serialize(views, None)).map_err(|e| format!("cannot be written anew: {e}"))
}

/// A walk through the graph.
struct Walk<'a> {
    graph: &'a Graph<'a>,
    /// Operations that each tensor goes into.
    after: BTreeMap<usize, Vec<usize>>,
    /// Where 16-bit constants come from, by the tensor of 32 bits.
    widened: BTreeMap<usize, usize>,
    passed: BTreeSet<usize>,
    tensors: BTreeMap<String, Converted>,
}

/// A block or a row of them: where it ends.
type TensorIndex = usize;

impl<'a> Walk<'a> {
    fn new(graph: &'a Graph<'a>) -> Self {
        let (mut after, mut widened, mut passed) =
            (BTreeMap::<usize, Vec<usize>>::new(), BTreeMap::new(), BTreeSet::new());
        for (operation_index, operation) in graph.operations.iter().enumerate() {
            match (&operation.kind, &operation.inputs[..], &operation.outputs[..]) {
                (Kind::Dequantize, &[from], &[to]) => {
                    widened.insert(to, from);
                    passed.insert(operation_index);
                }
                _ => operation.inputs.iter().for_each(|input| after.entry(*input).or_default().push(operation_index)),
            }
        }
        Self { graph, after, widened, passed, tensors: BTreeMap::new() }
    }

    /// Follows the whole network; gives its outputs in their order.
    fn network(&mut self, geometry: &Geometry) -> Result<Vec<TensorIndex>, String> {
        let &[input] = &self.graph.inputs[..] else { return Err(self.other("its input")) };
        if self.graph.shape(input) != [1, SIDE, SIDE, COLOURS] {
            return Err(self.other("its input"));
        }
        let at = self
            .one(input, "the first convolution", |kind| matches!(kind, Kind::Convolution { stride: 2, pads: true }))?;
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

    fn other(&self, what: &str) -> String {
        format!("is not the face mesh: {what} is another one")
    }

    /// The only operation of a kind that `tensor` goes into and that was not passed yet; its output and its own index.
    fn one(
        &mut self,
        tensor: TensorIndex,
        what: &str,
        is_it: impl Fn(&Kind) -> bool,
    ) -> Result<(TensorIndex, usize), String> {
        let operations = self.after.get(&tensor).map_or(&[][..], |operations| operations);
        let fits = |operation_index: &&usize| {
            !self.passed.contains(operation_index) && is_it(&self.graph.operations[**operation_index].kind)
        };
        let operation_index = operations.iter().find(fits).copied().ok_or_else(|| self.other(what))?;
        self.passed.insert(operation_index);
        match self.graph.operations[operation_index].outputs[..] {
            [output] => Ok((output, operation_index)),
            _ => Err(self.other(what)),
        }
    }

    fn operation(&self, operation_index: usize) -> &'a Operation {
        &self.graph.operations[operation_index]
    }

    /// The constant that is input `number` of an operation, in 16 bits, and its shape.
    fn constant(&self, operation_index: usize, number: usize) -> Result<Converted, String> {
        let tensor = self.operation(operation_index).inputs.get(number).and_then(|input| self.widened.get(input));
        let constant =
            tensor.and_then(|tensor| Some((self.graph.shape(*tensor).to_vec(), self.graph.halves(*tensor)?)));
        constant.ok_or_else(|| "is not the face mesh: its weights are no 16-bit floats".into())
    }

    fn keep(&mut self, name: String, shape: &[usize], values: Vec<f16>) -> Result<(), String> {
        if shape.iter().product::<usize>() != values.len() || self.tensors.contains_key(&name) {
            return Err(self.other(&name));
        }
        if !values.iter().all(|value| value.is_finite()) {
            return Err(format!("has values that are not finite ('{name}')"));
        }
        self.tensors.insert(name, (shape.to_vec(), values));
        Ok(())
    }

    /// Weights `[out, kernel, kernel, in]` and bias of the convolution `operation`, with `outputs` channels.
    fn convolution(&mut self, operation_index: usize, name: &str, weight: &str, outputs: usize) -> Result<(), String> {
        let (shape, values) = self.constant(operation_index, 1)?;
        let &[to, height, width, from] = &shape[..] else { return Err(self.other(name)) };
        let row = height * width * from;
        if to != outputs || row == 0 {
            return Err(self.other(name));
        }
        let turned = (0..row).flat_map(|input| (0..to).map(move |output| (input, output)));
        let values = turned.map(|(input, output)| values[output * row + input]).collect();
        let shape = match (height, width) {
            (1, 1) => vec![from, to],
            _ => vec![height, width, from, to],
        };
        self.keep(format!("{name}.{weight}"), &shape, values)?;
        let (_, bias) = self.constant(operation_index, 2)?;
        let name = match weight {
            "weight" => format!("{name}.bias"),
            output => format!("{name}.{}.bias", output.trim_end_matches(".weight")),
        };
        self.keep(name, &[to], bias)
    }

    fn prelu(&mut self, tensor: TensorIndex, name: &str) -> Result<TensorIndex, String> {
        let (output, operation_index) = self.one(tensor, name, |kind| *kind == Kind::Prelu)?;
        let (shape, values) = self.constant(operation_index, 1)?;
        let channels = shape.last().copied().unwrap_or(0);
        self.keep(name.to_owned(), &[channels], values)?;
        Ok(output)
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
            at = self.block(at, &format!("{}.blocks.{index}", part.name), [channels, *to], *stride)?;
            channels = *to;
            see(index + 1, at);
        }
        Ok(at)
    }

    fn block(
        &mut self,
        from: TensorIndex,
        name: &str,
        [channels, to]: [usize; 2],
        stride: usize,
    ) -> Result<TensorIndex, String> {
        let (filtered, operation_index) =
            self.one(from, name, |kind| *kind == Kind::Depthwise { stride, pads: true })?;
        let (shape, values) = self.constant(operation_index, 1)?;
        if shape[..] != [1, 3, 3, channels] {
            return Err(self.other(name));
        }
        self.keep(format!("{name}.depthwise.weight"), &[3, 3, channels], values)?;
        let (_, bias) = self.constant(operation_index, 2)?;
        self.keep(format!("{name}.depthwise.bias"), &[channels], bias)?;
        let (product, operation_index) =
            self.one(filtered, name, |kind| matches!(kind, Kind::Convolution { stride: 1, .. }))?;
        self.convolution(operation_index, &format!("{name}.pointwise"), "weight", to)?;
        let added = match stride {
            1 => from,
            _ => self.halved(from, name, [channels, to])?,
        };
        let (sum, operation_index) = self.one(product, name, |kind| *kind == Kind::Add)?;
        if BTreeSet::from_iter(self.operation(operation_index).inputs.iter().copied())
            != BTreeSet::from([product, added])
        {
            return Err(self.other(name));
        }
        self.prelu(sum, &format!("{name}.slopes"))
    }

    /// The maxima that a halving block adds, with zeros after their channels.
    fn halved(&mut self, from: TensorIndex, name: &str, [channels, to]: [usize; 2]) -> Result<TensorIndex, String> {
        let (pooled, _) = self.one(from, name, |kind| *kind == Kind::MaxPool)?;
        if channels == to {
            return Ok(pooled);
        }
        let (padded, operation_index) = self.one(pooled, name, |kind| *kind == Kind::Pad)?;
        let paddings = self.operation(operation_index).inputs.get(1).and_then(|input| self.graph.integers(*input));
        let expected = [0, 0, 0, 0, 0, 0, 0, (to - channels) as i32];
        if paddings.as_deref() == Some(&expected[..]) { Ok(padded) } else { Err(self.other(name)) }
    }

    /// What stands between the last block and the outputs.
    fn reduced(&mut self, from: TensorIndex, name: &str) -> Result<TensorIndex, String> {
        let (reduced, operation_index) =
            self.one(from, name, |kind| matches!(kind, Kind::Convolution { stride: 1, .. }))?;
        self.convolution(operation_index, &format!("{name}.reduce"), "weight", REDUCED)?;
        let at = self.prelu(reduced, &format!("{name}.reduce.slopes"))?;
        self.block(at, &format!("{name}.refine"), [REDUCED, REDUCED], 1)
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
                matches!(operation.kind, Kind::Convolution { pads: false, .. })
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
            let (at, _) = self.one(points, "a region", |kind| *kind == Kind::Reshape)?;
            let (at, operation_index) = self.one(at, "a region", |kind| *kind == Kind::Multiply)?;
            if self.constant(operation_index, 1)?.1[..] != [f16::from_f32(0.25)] {
                return Err(self.other("the scale of a region"));
            }
            let (matrix, operation_index) = self.one(at, "a region", |kind| matches!(kind, Kind::RegionOf { .. }))?;
            let Kind::RegionOf { points, about, side, scale } = &self.operation(operation_index).kind else {
                return Err(self.other("a region"));
            };
            let which = (0..3).find(|which| about == subsets[*which] && *points == levels[*which]);
            let is_ours = *side == REGION_SIDE && *scale == f64::from(REGION_SCALE);
            let which = which.filter(|_| is_ours).ok_or_else(|| self.other("a region"))?;
            let (grid, operation_index) =
                self.one(matrix, "a region", |kind| *kind == Kind::Resample { side: REGION_SIDE })?;
            if self.operation(operation_index).inputs[..] != [features, matrix] {
                return Err(self.other("the map of a region"));
            }
            let (larger, operation_index) = self.one(matrix, "a region", |kind| *kind == Kind::Multiply)?;
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
        let (at, _) = self.one(from, "a branch's points", |kind| *kind == Kind::Reshape)?;
        let (at, operation_index) = self.one(at, "a branch's points", |kind| *kind == Kind::MapPoints)?;
        if self.operation(operation_index).inputs.get(1) != Some(&region.larger) {
            return Err(self.other("the way back from a region"));
        }
        Ok(self.one(at, "a branch's points", |kind| *kind == Kind::Reshape)?.0)
    }

    fn sliced(&mut self, from: TensorIndex) -> Result<TensorIndex, String> {
        Ok(self.one(from, "the points", |kind| *kind == Kind::Slice)?.0)
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
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;

    /// MediaPipe's file, where the data are there.
    fn original(name: &str, test: &str) -> Option<Vec<u8>> {
        let data = std::env::var_os("ANNOTATE_DATA").map_or_else(|| "../shared/data".into(), PathBuf::from);
        let found = std::fs::read(data.join("weights").join(name)).ok();
        if found.is_none() {
            println!("skipped: {test} (no data at {})", data.display());
        }
        found
    }

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
