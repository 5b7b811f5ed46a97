//! A network as its authors publish it, a TensorFlow Lite file, followed from its input to its outputs: every operation on the way
//! has to be the one that the network has there, and a file that differs in any is refused, as is one with operations that
//! nobody came by. What goes into our own file are the weights, under our names and in our layout.

use std::collections::{BTreeMap, BTreeSet};

use half::f16;
use safetensors::tensor::{Dtype, TensorView};

use super::tflite::{Fused, Graph, GraphOperation, OperationKind};

/// Largest file read: the networks have 2 MB and 2.5 MB.
pub(super) const LARGEST: usize = 64 << 20;

/// A tensor in our layout.
pub(super) type Converted = (Vec<usize>, Vec<f16>);

/// The graph of a file.
///
/// # Errors
/// What is wrong with the file, to stand behind its name.
pub(super) fn graph(bytes: &[u8]) -> Result<Graph<'_>, String> {
    if bytes.len() > LARGEST {
        return Err(format!("is larger than {} MB", LARGEST >> 20));
    }
    Graph::read(bytes)
}

/// `tensors` as a safetensors file of 16-bit floats, which both formats keep as they are; `network` is named where they are not
/// the `expected` ones.
///
/// # Errors
/// What is wrong, to stand behind the file's name.
pub(super) fn serialise(
    network: &str,
    tensors: &BTreeMap<String, Converted>,
    expected: &BTreeMap<String, Vec<usize>>,
) -> Result<Vec<u8>, String> {
    let found: BTreeMap<&String, &Vec<usize>> = tensors.iter().map(|(name, (shape, _))| (name, shape)).collect();
    if let Some((name, _)) = expected.iter().find(|(name, shape)| found.get(name) != Some(shape)) {
        return Err(format!("is not {network}: '{name}' is missing or has another shape"));
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
pub(super) struct Walk<'a> {
    /// The network, as messages name it.
    network: &'static str,
    pub(super) graph: &'a Graph<'a>,
    /// Operations that each tensor goes into.
    pub(super) after: BTreeMap<usize, Vec<usize>>,
    /// Where 16-bit constants come from, by the tensor of 32 bits.
    widened: BTreeMap<usize, usize>,
    pub(super) passed: BTreeSet<usize>,
    pub(super) tensors: BTreeMap<String, Converted>,
}

/// A tensor on the way.
pub(super) type TensorIndex = usize;

impl<'a> Walk<'a> {
    pub(super) fn new(network: &'static str, graph: &'a Graph<'a>) -> Self {
        let (mut after, mut widened, mut passed) =
            (BTreeMap::<usize, Vec<usize>>::new(), BTreeMap::new(), BTreeSet::new());
        for (operation_index, operation) in graph.operations.iter().enumerate() {
            match (&operation.kind, &operation.inputs[..], &operation.outputs[..]) {
                (OperationKind::Dequantize, &[from], &[to]) => {
                    widened.insert(to, from);
                    passed.insert(operation_index);
                }
                _ => operation.inputs.iter().for_each(|input| after.entry(*input).or_default().push(operation_index)),
            }
        }
        Self { network, graph, after, widened, passed, tensors: BTreeMap::new() }
    }

    /// Whether all operations have been passed and the outputs are those that were come to.
    pub(super) fn finish(&self, outputs: &[TensorIndex]) -> Result<(), String> {
        if self.graph.outputs != outputs {
            return Err(format!("is not {}: it has other outputs", self.network));
        }
        match (0..self.graph.operations.len()).find(|operation_index| !self.passed.contains(operation_index)) {
            Some(left) => Err(format!("is not {}: operation {left} does not belong to it", self.network)),
            None => Ok(()),
        }
    }

    /// The only input, which is a picture of three colours.
    pub(super) fn picture(&self, side: usize) -> Result<TensorIndex, String> {
        match self.graph.inputs[..] {
            [input] if self.graph.shape(input) == [1, side, side, 3] => Ok(input),
            _ => Err(self.other("its input")),
        }
    }

    pub(super) fn other(&self, what: &str) -> String {
        format!("is not {}: {what} is another one", self.network)
    }

    /// The only operation of a kind that `tensor` goes into and that was not passed yet; its output and its own index.
    pub(super) fn one(
        &mut self,
        tensor: TensorIndex,
        what: &str,
        is_it: impl Fn(&OperationKind) -> bool,
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

    pub(super) fn operation(&self, operation_index: usize) -> &'a GraphOperation {
        &self.graph.operations[operation_index]
    }

    /// The constant that is input `number` of an operation, in 16 bits, and its shape.
    pub(super) fn constant(&self, operation_index: usize, number: usize) -> Result<Converted, String> {
        let tensor = self.operation(operation_index).inputs.get(number).and_then(|input| self.widened.get(input));
        let constant =
            tensor.and_then(|tensor| Some((self.graph.shape(*tensor).to_vec(), self.graph.halves(*tensor)?)));
        constant.ok_or_else(|| format!("is not {}: its weights are no 16-bit floats", self.network))
    }

    pub(super) fn keep(&mut self, name: String, shape: &[usize], values: Vec<f16>) -> Result<(), String> {
        if shape.iter().product::<usize>() != values.len() || self.tensors.contains_key(&name) {
            return Err(self.other(&name));
        }
        if !values.iter().all(|value| value.is_finite()) {
            return Err(format!("has values that are not finite ('{name}')"));
        }
        self.tensors.insert(name, (shape.to_vec(), values));
        Ok(())
    }

    /// Weights `[out, kernel, kernel, in]` and bias of the convolution `operation_index`, with `outputs` channels.
    pub(super) fn convolution(
        &mut self,
        operation_index: usize,
        name: &str,
        weight: &str,
        outputs: usize,
    ) -> Result<(), String> {
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

    /// Weights `[in, out]` and bias of the fully connected layer `operation_index`, with `outputs` outputs.
    pub(super) fn fully_connected(&mut self, operation_index: usize, name: &str, outputs: usize) -> Result<(), String> {
        let (shape, values) = self.constant(operation_index, 1)?;
        let &[to, from] = &shape[..] else { return Err(self.other(name)) };
        if to != outputs || from == 0 {
            return Err(self.other(name));
        }
        let turned = (0..from).flat_map(|input| (0..to).map(move |output| (input, output)));
        let values = turned.map(|(input, output)| values[output * from + input]).collect();
        self.keep(format!("{name}.weight"), &[from, to], values)?;
        let (_, bias) = self.constant(operation_index, 2)?;
        self.keep(format!("{name}.bias"), &[to], bias)
    }

    pub(super) fn prelu(&mut self, tensor: TensorIndex, name: &str) -> Result<TensorIndex, String> {
        let (output, operation_index) = self.one(tensor, name, |kind| *kind == OperationKind::Prelu)?;
        let (shape, values) = self.constant(operation_index, 1)?;
        let channels = shape.last().copied().unwrap_or(0);
        self.keep(name.to_owned(), &[channels], values)?;
        Ok(output)
    }

    /// Filters `[kernel, kernel, channels]` and bias of the depthwise convolution `operation_index`.
    pub(super) fn depthwise(
        &mut self,
        operation_index: usize,
        name: &str,
        kernel: usize,
        channels: usize,
    ) -> Result<(), String> {
        let (shape, values) = self.constant(operation_index, 1)?;
        if shape[..] != [1, kernel, kernel, channels] {
            return Err(self.other(name));
        }
        self.keep(format!("{name}.weight"), &[kernel, kernel, channels], values)?;
        let (_, bias) = self.constant(operation_index, 2)?;
        self.keep(format!("{name}.bias"), &[channels], bias)
    }

    /// A residual block: see [`BlazeBlock`](crate::infer::BlazeBlock).
    pub(super) fn block(
        &mut self,
        from: TensorIndex,
        name: &str,
        [channels, to]: [usize; 2],
        [kernel, stride]: [usize; 2],
    ) -> Result<TensorIndex, String> {
        let kind = OperationKind::Depthwise { stride, pads: true, fused: Fused::Nothing };
        let (filtered, operation_index) = self.one(from, name, |own| *own == kind)?;
        self.depthwise(operation_index, &format!("{name}.depthwise"), kernel, channels)?;
        let (product, operation_index) = self.one(filtered, name, |kind| {
            matches!(kind, OperationKind::Convolution { stride: 1, fused: Fused::Nothing, .. })
        })?;
        self.convolution(operation_index, &format!("{name}.pointwise"), "weight", to)?;
        let added = match stride {
            1 => from,
            _ => self.halved(from, name, [channels, to])?,
        };
        let (sum, operation_index) = self.one(product, name, |kind| *kind == OperationKind::Add)?;
        if BTreeSet::from_iter(self.operation(operation_index).inputs.iter().copied())
            != BTreeSet::from([product, added])
        {
            return Err(self.other(name));
        }
        self.prelu(sum, &format!("{name}.slopes"))
    }

    /// The maxima that a halving block adds, with zeros after their channels.
    fn halved(&mut self, from: TensorIndex, name: &str, [channels, to]: [usize; 2]) -> Result<TensorIndex, String> {
        let (pooled, _) = self.one(from, name, |kind| *kind == OperationKind::MaxPool)?;
        if channels == to {
            return Ok(pooled);
        }
        let (padded, operation_index) = self.one(pooled, name, |kind| *kind == OperationKind::Pad)?;
        let paddings = self.operation(operation_index).inputs.get(1).and_then(|input| self.graph.integers(*input));
        let expected = [0, 0, 0, 0, 0, 0, 0, (to - channels) as i32];
        if paddings.as_deref() == Some(&expected[..]) { Ok(padded) } else { Err(self.other(name)) }
    }
}

/// One of MediaPipe's files, where the data are there.
#[cfg(test)]
pub(super) fn original(name: &str, test: &str) -> Option<Vec<u8>> {
    let data = std::env::var_os("ANNOTATE_DATA").map_or_else(|| "../shared/data".into(), std::path::PathBuf::from);
    let found = std::fs::read(data.join("weights").join(name)).ok();
    if found.is_none() {
        println!("skipped: {test} (no {name} at {})", data.display());
    }
    found
}
