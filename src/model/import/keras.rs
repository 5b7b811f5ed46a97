//! Keras's HDF5 files: whole models and weights as Keras 2 and the legacy format of Keras 3 write them.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use hdf5_pure::{DType, Dataset, File, Group};

/// Weights of a layer by Keras's own names for them (`kernel`, `gamma`, ...).
pub(super) type Weights = BTreeMap<String, Tensor>;

/// Groups nest as deeply as models in models do.
const DEEPEST: usize = 8;
/// Far more than any network here has.
const MOST_WEIGHTS: usize = 10_000;

/// The layers in `bytes` by name.
///
/// # Errors
/// What is wrong with the file, to stand behind its name.
pub(super) fn read(bytes: Vec<u8>) -> Result<BTreeMap<String, Weights>, String> {
    let most = bytes.len();
    let broken = |e: hdf5_pure::Error| format!("is not a sound HDF5 file: {e}");
    let file = File::from_bytes(bytes).map_err(broken)?;
    let root = file.root();
    let groups = root.groups().map_err(broken)?;
    if groups.iter().any(|name| name == "layers" || name == "_layer_checkpoint_dependencies") {
        return Err("is in Keras 3's own format. Save it with model.save('model.h5') instead".into());
    }
    // Whole models have their weights in a group of their own, beside the optimiser's.
    let weights = match groups.iter().any(|name| name == "model_weights") {
        true => root.group("model_weights").map_err(broken)?,
        false => root,
    };
    let mut reader = Reader { layers: BTreeMap::new(), left: most, count: 0 };
    reader.walk(&weights, "", 0)?;
    match reader.layers.is_empty() {
        true => Err("holds no weights of layers, so it is not a Keras file".into()),
        false => Ok(reader.layers),
    }
}

struct Reader {
    layers: BTreeMap<String, Weights>,
    /// Bytes that weights may still have: links can name one array many times.
    left: usize,
    count: usize,
}

impl Reader {
    fn walk(&mut self, group: &Group, name: &str, depth: usize) -> Result<(), String> {
        let broken = |e: hdf5_pure::Error| format!("group '{name}': {e}");
        if depth > DEEPEST {
            return Err("has groups that are nested more deeply than Keras's".into());
        }
        for weight in group.datasets().map_err(broken)? {
            let dataset = group.dataset(&weight).map_err(broken)?;
            let tensor = self.tensor(&dataset).map_err(|reason| format!("weight '{name}/{weight}': {reason}"))?;
            let weight = weight.split(':').next().unwrap_or_default().to_owned();
            self.layers.entry(name.to_owned()).or_default().insert(weight, tensor);
        }
        for inner in group.groups().map_err(broken)? {
            self.count += 1;
            if self.count > MOST_WEIGHTS {
                return Err("has more groups than a network has layers".into());
            }
            self.walk(&group.group(&inner).map_err(broken)?, &inner, depth + 1)?;
        }
        Ok(())
    }

    fn tensor(&mut self, dataset: &Dataset) -> Result<Tensor, String> {
        let shape = dataset.shape().map_err(|e| e.to_string())?;
        let shape: Vec<usize> = shape.into_iter().filter_map(|side| usize::try_from(side).ok()).collect();
        let count = shape.iter().try_fold(1usize, |product, side| product.checked_mul(*side));
        let dtype = dataset.dtype().map_err(|e| e.to_string())?;
        if dtype != DType::F32 {
            return Err(format!("its numbers are {dtype:?}, not 32-bit floats"));
        }
        let size = count.and_then(|count| count.checked_mul(4)).filter(|size| *size <= self.left);
        self.left -= size.ok_or("the weights are larger than the file")?;
        self.count += 1;
        if self.count > MOST_WEIGHTS {
            return Err("the file has more weights than a network".into());
        }
        let values = dataset.read_f32().map_err(|e| e.to_string())?;
        Tensor::from_vec(values, shape, &Device::Cpu).map_err(|e| e.to_string())
    }
}
