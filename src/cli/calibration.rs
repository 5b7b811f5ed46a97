//! `--calibrate`: labels corrected for what each signer's face looks like at rest.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::Failure;
use crate::files;
use crate::model::Model;
use crate::pipeline::calibrate::{self, Calibration, CalibrationSource};
use crate::pipeline::neutral::{NeutralChoice, pooled};
use crate::timeline::Timeline;

/// Whether and how labels are calibrated.
#[derive(Debug, Clone, Args)]
pub(super) struct CalibrationArguments {
    /// Correct labels for what each signer's face looks like at rest: off (if not given), auto (measured in this video), or the labels.json
    /// of a run with auto, whose signers A, B, ... are this video's too. Lines (.jsonl) then come at the end
    #[arg(long, value_name = "off|auto|FILE", default_value = "off", hide_default_value = true)]
    calibrate: Calibrate,
}

/// Where the signers' faces at rest are known from.
#[derive(Debug, Clone)]
enum Calibrate {
    Off,
    Auto,
    From(PathBuf),
}

impl std::str::FromStr for Calibrate {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "off" => Self::Off,
            "auto" => Self::Auto,
            path => Self::From(path.into()),
        })
    }
}

impl CalibrationArguments {
    /// Whether anything is corrected.
    pub(super) fn is_on(&self) -> bool {
        !matches!(self.calibrate, Calibrate::Off)
    }

    /// The annotation of an earlier run that is read.
    pub(super) fn file(&self) -> Option<&Path> {
        match &self.calibrate {
            Calibrate::From(path) => Some(path),
            Calibrate::Off | Calibrate::Auto => None,
        }
    }

    /// What tells one calibration's results from another's; null without a calibration.
    pub(super) fn terms(&self) -> Result<Value, Failure> {
        match &self.calibrate {
            Calibrate::Off => Ok(Value::Null),
            Calibrate::Auto => Ok("auto".into()),
            Calibrate::From(path) => match files::file_sha256(path, &|| false) {
                Ok(sha256) => Ok(json!({ "sha256": sha256 })),
                Err(error) => Err(Failure::Configuration(format!("{}: {error}", path.display()))),
            },
        }
    }

    /// What measures are relative to: the neutral faces of the run that the calibration comes from, unless the `chosen` ones are others.
    pub(super) fn neutral(&self, chosen: NeutralChoice) -> Result<NeutralChoice, Failure> {
        let Some(path) = self.file().filter(|_| chosen == NeutralChoice::Still) else { return Ok(chosen) };
        let timeline = Timeline::read(path).map_err(|e| Failure::from(e).of_setting())?;
        Ok(pooled(&[timeline]).unwrap_or(chosen))
    }

    /// Where the signers' faces at rest are known from; none where nothing is corrected.
    pub(super) fn source(&self, model: &Model) -> Result<Option<CalibrationSource>, Failure> {
        match &self.calibrate {
            Calibrate::Off => Ok(None),
            Calibrate::Auto => Ok(Some(CalibrationSource::Own)),
            Calibrate::From(path) => Ok(Some(CalibrationSource::Other(earlier(path, model)?))),
        }
    }
}

/// The calibration of an earlier run with `model`.
fn earlier(path: &Path, model: &Model) -> Result<Calibration, Failure> {
    let timeline = Timeline::read(path).map_err(|e| Failure::from(e).of_setting())?;
    let refused = |why: &str| Err(Failure::Configuration(format!("{}: {why}", path.display())));
    match calibrate::of(&timeline) {
        None => refused("holds no calibration; make one with --calibrate auto"),
        Some(calibration) if calibration.model_sha256 != model.config().sha256 => {
            refused("its calibration was measured with another model")
        }
        Some(calibration) => Ok(calibration),
    }
}
