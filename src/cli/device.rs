//! `--device`: where the network runs.

use std::str::FromStr;

use candle_core::Device;
use serde::{Deserialize, Serialize};

use super::Failure;
use crate::kernels::cuda;

/// What a person may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// The first CUDA card where the program can use one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A CUDA card.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|card| card.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| format!("'{text}' is not auto, cpu, cuda or cuda:N")),
        }
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        match choice {
            DeviceChoice::Auto => "auto".into(),
            DeviceChoice::Cpu => "cpu".into(),
            DeviceChoice::Cuda(card) => format!("cuda:{card}"),
        }
    }
}

impl DeviceChoice {
    /// Opens the device.
    ///
    /// # Errors
    /// If a card was asked for by name and cannot be used; the message says why.
    pub(super) fn open(self) -> Result<Device, Failure> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Auto if cuda::BUILT => Ok(cuda::open(0).unwrap_or(Device::Cpu)),
            Self::Auto => Ok(Device::Cpu),
            Self::Cuda(card) if cuda::BUILT => cuda::open(card).map_err(|e| {
                Failure::Configuration(format!(
                    "--device cuda:{card}: no card that can be used ({}); use --device cpu",
                    e.to_string().lines().next().unwrap_or_default()
                ))
            }),
            Self::Cuda(card) => Err(Failure::Configuration(format!(
                "--device cuda:{card}: this program was built without CUDA (cargo feature 'cuda'); use --device cpu"
            ))),
        }
    }
}
