//! What a run continues from after an interruption: one file, replaced whole after each epoch.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;

use candle_core::Tensor;

use super::trainer::EpochRecord;
use crate::files::{OutputOptions, WriteError, read_found};
use crate::model;

/// Weights and moments of the largest network that is trained here are a tenth of this.
const LARGEST: u64 = 4 << 30;

/// Tensors of one kind (`weights`, `moments`, `average`, `best`), by name.
pub type Tensors = BTreeMap<String, Tensor>;

/// The contents of a checkpoint.
#[derive(Default)]
pub struct Saved {
    /// By kind.
    pub tensors: BTreeMap<String, Tensors>,
    /// The finished epochs.
    pub history: Vec<EpochRecord>,
    /// Steps that the optimiser of the running stage has taken.
    pub optimiser_steps: u64,
    /// Steps over all stages.
    pub steps: u64,
    /// The epoch whose weights are the best; 0 for the start.
    pub best_epoch: usize,
}

/// Where a run's checkpoint is, and which run it belongs to.
pub struct Checkpoint {
    /// The file.
    pub path: PathBuf,
    /// Recipe and data of the run.
    pub fingerprint: String,
}

/// Why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum CheckpointError {
    #[error("{}: the checkpoint was made with another recipe or data; give another --out or remove it", path.display())]
    OtherRun { path: PathBuf },
    #[error("{}: {reason}; remove it to begin anew", path.display())]
    Broken { path: PathBuf, reason: String },
    #[error("the checkpoint cannot be written, the last one is kept: {0}")]
    Write(#[from] WriteError),
}

impl Checkpoint {
    fn broken(&self, reason: impl std::fmt::Display) -> CheckpointError {
        CheckpointError::Broken { path: self.path.clone(), reason: reason.to_string() }
    }

    /// Writes `saved` in place of the last checkpoint.
    ///
    /// # Errors
    /// If it cannot be written; the last one is there still.
    pub fn save(&self, saved: &Saved) -> Result<(), CheckpointError> {
        let mut tensors: BTreeMap<String, &Tensor> = BTreeMap::new();
        for (kind, of_kind) in &saved.tensors {
            tensors.extend(of_kind.iter().map(|(name, tensor)| (format!("{kind}/{name}"), tensor)));
        }
        let metadata = [
            ("fingerprint".to_owned(), self.fingerprint.clone()),
            ("history".to_owned(), serde_json::to_string(&saved.history).map_err(|e| self.broken(e))?),
            ("optimiser_steps".to_owned(), saved.optimiser_steps.to_string()),
            ("steps".to_owned(), saved.steps.to_string()),
            ("best_epoch".to_owned(), saved.best_epoch.to_string()),
        ];
        let bytes = safetensors::serialize(tensors, Some(metadata.into())).map_err(|e| self.broken(e))?;
        Ok(OutputOptions::state().put(&self.path, |out| out.write_all(&bytes))?)
    }

    /// The last checkpoint, where there is one.
    ///
    /// # Errors
    /// If it cannot be read or belongs to another run.
    pub fn load(&self) -> Result<Option<Saved>, CheckpointError> {
        let bytes = match read_found(&self.path, LARGEST) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(self.broken(e)),
        };
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).map_err(|e| self.broken(e))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        if metadata.get("fingerprint") != Some(&self.fingerprint) {
            return Err(CheckpointError::OtherRun { path: self.path.clone() });
        }
        let text = |name: &str| metadata.get(name).ok_or_else(|| self.broken(format!("'{name}' is missing")));
        let number = |name: &str| text(name)?.parse::<u64>().map_err(|e| self.broken(format!("'{name}': {e}")));
        let mut saved = Saved {
            history: serde_json::from_str(text("history")?).map_err(|e| self.broken(e))?,
            optimiser_steps: number("optimiser_steps")?,
            steps: number("steps")?,
            best_epoch: number("best_epoch")? as usize,
            tensors: BTreeMap::new(),
        };
        for (name, tensor) in model::read_tensors(&bytes).map_err(|e| self.broken(e))? {
            if let Some((kind, name)) = name.split_once('/') {
                saved.tensors.entry(kind.to_owned()).or_default().insert(name.to_owned(), tensor);
            }
        }
        Ok(Some(saved))
    }
}
