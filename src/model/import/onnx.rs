//! ONNX files: their initialisers, in the order in which the graph uses them.
//!
//! Exporters fold batch normalisation into convolutions and give weights names of their own, so names say nothing; the
//! order of convolutions and fully connected layers is that of the network. Only weights are taken: what the graph
//! computes between them only the caller can check, who knows the network.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use half::f16;
use prost::Message;

pub(crate) use super::layout::CheckpointLayer;
use crate::model::onnx_file::{FLOAT, FLOAT16, Initializer, OnnxModel};

/// `location` of numbers in another file.
const EXTERNAL: i32 = 1;

/// Convolutions and fully connected layers of the graph in `bytes`, in order, as PyTorch lays them out.
///
/// # Errors
/// What is wrong with the file, to stand behind its name.
pub(crate) fn read(bytes: &[u8]) -> Result<Vec<CheckpointLayer>, String> {
    let model = OnnxModel::decode(bytes).map_err(|e| format!("is not an ONNX file: {e}"))?;
    let graph = model.graph.filter(|g| !g.nodes.is_empty()).ok_or("is not an ONNX file: it has no graph")?;
    let mut constants: HashMap<&str, &Initializer> =
        graph.initializers.iter().map(|initializer| (initializer.name.as_str(), initializer)).collect();
    let mut layers = Vec::new();
    // Which value each layer gives, for what follows it.
    let mut results: HashMap<&str, usize> = HashMap::new();
    for node in &graph.nodes {
        let input = |index: usize| node.inputs.get(index).map(String::as_str).unwrap_or_default();
        let constant = |index: usize| constants.get(input(index)).copied();
        let output = node.outputs.first().map(String::as_str).unwrap_or_default();
        match node.operator.as_str() {
            "Constant" => {
                if let Some(value) = node.attributes.iter().find_map(|a| a.tensor.as_ref()) {
                    constants.insert(output, value);
                }
            }
            // Equal constants are kept once and used by another name.
            "Identity" if constant(0).is_some() => {
                let value = constants[input(0)];
                constants.insert(output, value);
            }
            "Conv" | "Gemm" | "MatMul" => {
                // Products of two computed values are no layers.
                let Some(weight) = constant(1) else { continue };
                let weight = weight.tensor()?;
                let transposed = node.attributes.iter().any(|a| a.name == "transB" && a.int == 1);
                let weight = match node.operator == "Conv" || transposed {
                    true => weight,
                    false => weight.t().and_then(|t| t.contiguous()).map_err(|e| e.to_string())?,
                };
                let bias = constant(2).map(Initializer::tensor).transpose()?;
                results.insert(output, layers.len());
                layers.push(CheckpointLayer { weight, bias, norm: None });
            }
            "Add" => {
                let layer = [0, 1].iter().find_map(|index| results.get(input(*index)).copied());
                let addend = [0, 1].iter().find_map(|index| constant(*index));
                if let (Some(layer), Some(addend)) = (layer, addend) {
                    layers[layer].bias = Some(addend.tensor()?.flatten_all().map_err(|e| e.to_string())?);
                    results.insert(output, layer);
                }
            }
            "BatchNormalization" => {
                let Some(layer) = results.get(input(0)).copied() else {
                    return Err("normalises a batch where no layer comes before".into());
                };
                let part = |index: usize| {
                    constant(index).ok_or("normalises a batch with computed values, not with weights")?.tensor()
                };
                let eps = node.attributes.iter().find(|a| a.name == "epsilon").map_or(1e-5, |a| a.float);
                layers[layer].norm = Some(([part(1)?, part(2)?, part(3)?, part(4)?], eps));
            }
            // Layout changes between a layer and its bias.
            "Reshape" | "Transpose" | "Squeeze" => {
                if let Some(layer) = results.get(input(0)).copied() {
                    results.insert(output, layer);
                }
            }
            _ => {}
        }
    }
    Ok(layers)
}

impl Initializer {
    fn tensor(&self) -> Result<Tensor, String> {
        let fault = |reason: &str| format!("initialiser '{}': {reason}", self.name);
        if self.location == EXTERNAL {
            return Err(fault("its numbers are in another file, which is not read; save the model as one file"));
        }
        let dims: Vec<usize> = self.dims.iter().filter_map(|side| usize::try_from(*side).ok()).collect();
        let count = dims.iter().try_fold(1usize, |product, side| product.checked_mul(*side));
        let values: Vec<f32> = match self.data_type {
            FLOAT if self.raw.is_empty() => self.floats.clone(),
            FLOAT => self.raw.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            FLOAT16 => self.raw.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            other => return Err(fault(&format!("its numbers are of ONNX's type {other}, not 32- or 16-bit floats"))),
        };
        if dims.len() != self.dims.len() || count != Some(values.len()) {
            return Err(fault("its shape and the number of its values differ"));
        }
        let tensor = Tensor::from_vec(values, dims, &Device::Cpu).and_then(|t| t.to_dtype(DType::F32));
        tensor.map_err(|e| fault(&e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::onnx_file::{OnnxGraph, OnnxNode};

    fn floats(name: &str, dims: &[i64], values: &[f32]) -> Initializer {
        Initializer {
            name: name.into(),
            dims: dims.into(),
            data_type: FLOAT,
            floats: values.into(),
            ..Default::default()
        }
    }

    fn node(operator: &str, inputs: &[&str], output: &str) -> OnnxNode {
        let inputs = inputs.iter().map(|i| (*i).to_owned()).collect();
        OnnxNode { operator: operator.into(), inputs, outputs: vec![output.into()], ..Default::default() }
    }

    #[test]
    fn a_product_and_a_sum_are_one_layer_with_its_bias() {
        let graph = OnnxGraph {
            nodes: vec![node("MatMul", &["x", "w"], "y"), node("Add", &["y", "b"], "z")],
            initializers: vec![floats("w", &[1, 2], &[3.0, 4.0]), floats("b", &[2], &[5.0, 6.0])],
            ..Default::default()
        };
        let layers = read(&OnnxModel { graph: Some(graph), ..Default::default() }.encode_to_vec()).unwrap();
        assert_eq!(layers.len(), 1);
        assert_eq!(layers[0].weight.dims(), [2, 1]);
        assert_eq!(layers[0].bias.as_ref().unwrap().to_vec1::<f32>().unwrap(), [5.0, 6.0]);
    }

    #[test]
    fn a_shape_that_promises_more_than_there_is_is_refused() {
        let graph = OnnxGraph {
            nodes: vec![node("MatMul", &["x", "w"], "y")],
            initializers: vec![floats("w", &[i64::MAX, i64::MAX], &[1.0])],
            ..Default::default()
        };
        let message = read(&OnnxModel { graph: Some(graph), ..Default::default() }.encode_to_vec()).err().unwrap();
        assert!(message.contains("'w'"), "{message}");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes);
        }
    }
}
