//! `metrics.jsonl`: one line a step and one an epoch, in the order in which they happened, also over interruptions.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::progress::EpochRecord;
use crate::files;
use crate::files::OutputOptions;

/// A log of billions of steps was not written by this program.
const LARGEST: u64 = 4 << 30;

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LogLine {
    /// A step was taken.
    Step {
        /// From 1, over all stages.
        step: u64,
        /// From 1, over all stages.
        epoch: usize,
        /// Mean loss of the step's images.
        loss: f64,
        /// Length of the gradient, before it is shortened.
        gradient_norm: f64,
        /// The learning rate.
        learning_rate: f64,
    },
    /// An epoch ended.
    Epoch(EpochRecord),
}

impl LogLine {
    fn epoch(&self) -> usize {
        match self {
            Self::Step { epoch, .. } => *epoch,
            Self::Epoch(record) => record.epoch,
        }
    }
}

/// The log being written.
pub struct Log {
    file: File,
}

impl Log {
    /// Goes on with the log at `path` after `epochs` finished epochs; what an interrupted epoch wrote is taken out, as it
    /// will be written again.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub fn open(path: &Path, epochs: usize) -> io::Result<Self> {
        let kept: String = match files::read_found(path, LARGEST) {
            // The end of what was written when the process was killed need not be a line.
            Ok(bytes) => String::from_utf8_lossy(&bytes)
                .lines()
                .filter(|line| serde_json::from_str(line).is_ok_and(|line: LogLine| line.epoch() <= epochs))
                .flat_map(|line| [line, "\n"])
                .collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        OutputOptions::state().put(path, |out| out.write_all(kept.as_bytes())).map_err(io::Error::other)?;
        Ok(Self { file: File::options().append(true).open(path)? })
    }

    /// Adds a line.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn add(&mut self, line: &LogLine) -> io::Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        self.file.write_all(text.as_bytes())
    }
}
