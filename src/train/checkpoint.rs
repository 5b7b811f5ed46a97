//! What a run continues from after an interruption: one file, replaced whole after each epoch.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;

use candle_core::Tensor;

use super::progress::EpochRecord;
use crate::files::{OutputOptions, WriteError, hexadecimal, read_found};
use crate::model;

/// Weights and moments of the largest network that is trained here are a tenth of this.
const LARGEST: u64 = 4 << 30;

/// Tensors of one kind (`weights`, `moments`, `average`, `best`), by name.
pub type Tensors = BTreeMap<String, Tensor>;

/// The contents of a checkpoint.
#[derive(Default)]
pub struct SavedState {
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
    #[error("{}: the checkpoint was made with another recipe or data", path.display())]
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

    /// Replaces the last checkpoint by `saved`.
    ///
    /// # Errors
    /// If it cannot be written; the last one is there still.
    pub fn save(&self, saved: &SavedState) -> Result<(), CheckpointError> {
        let mut tensors: BTreeMap<String, &Tensor> = BTreeMap::new();
        for (kind, of_kind) in &saved.tensors {
            tensors.extend(of_kind.iter().map(|(name, tensor)| (format!("{kind}/{name}"), tensor)));
        }
        let metadata = [
            ("fingerprint".to_owned(), self.fingerprint.clone()),
            ("history".to_owned(), encoded(&saved.history).map_err(|e| self.broken(e))?),
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
    pub fn load(&self) -> Result<Option<SavedState>, CheckpointError> {
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
        let mut saved = SavedState {
            history: decoded(text("history")?).map_err(|e| self.broken(e))?,
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

/// CBOR, in hexadecimal digits as metadata are text: unlike JSON, it gives floats back bit for bit, so that the report of a run
/// that was killed has the digits of one that was not.
fn encoded(history: &[EpochRecord]) -> Result<String, String> {
    let mut bytes = Vec::new();
    ciborium::into_writer(history, &mut bytes).map_err(|e| e.to_string())?;
    Ok(hexadecimal(&bytes))
}

fn decoded(text: &str) -> Result<Vec<EpochRecord>, String> {
    // Version 0.1.0 wrote JSON.
    if text.starts_with('[') {
        return serde_json::from_str(text).map_err(|e| format!("the history: {e}"));
    }
    let digit = |digit: u8| char::from(digit).to_digit(16).ok_or("the history is not hexadecimal");
    let byte = |pair: &[u8]| -> Result<u8, &'static str> {
        match pair {
            [high, low] => Ok((digit(*high)? * 16 + digit(*low)?) as u8),
            _ => Err("the history is cut off"),
        }
    };
    let bytes: Vec<u8> = text.as_bytes().chunks(2).map(byte).collect::<Result<_, _>>()?;
    ciborium::from_reader(bytes.as_slice()).map_err(|e| format!("the history: {e}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_history_comes_back_bit_for_bit(numbers in prop::array::uniform8(any::<f64>().prop_filter("", |n| !n.is_nan()))) {
            let [training_loss, learning_rate, validation_accuracy, validation_balanced_accuracy, ..] = numbers;
            let [.., validation_loss, score, images_a_second, seconds] = numbers;
            let record = EpochRecord {
                epoch: 3,
                stage: 1,
                training_loss,
                learning_rate,
                validation_accuracy,
                validation_balanced_accuracy,
                validation_loss,
                score,
                images_a_second,
                seconds,
            };
            let folder = tempfile::tempdir().unwrap();
            let checkpoint = Checkpoint { path: folder.path().join("c.safetensors"), fingerprint: "f".into() };
            checkpoint.save(&SavedState { history: vec![record.clone()], ..SavedState::default() }).unwrap();
            prop_assert_eq!(checkpoint.load().unwrap().unwrap().history, [record]);
        }
    }

    #[test]
    fn a_broken_history_is_named() {
        for text in ["", "0", "zz", "ffff", "a1"] {
            assert!(decoded(text).is_err(), "{text}");
        }
    }
}
