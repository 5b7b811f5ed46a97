//! Model directories: a config and weights that nobody has checked are refused without a panic.
#![no_main]

use std::path::Path;

use annotate::model::Model;
use candle_core::Device;
use libfuzzer_sys::fuzz_target;

// The config is what comes ahead of the first zero byte, the weights what follows it.
fuzz_target!(|bytes: &[u8]| {
    let middle = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (config, weights) = (&bytes[..middle], bytes.get(middle + 1..).unwrap_or_default());
    let _ = Model::from_bytes(config, weights, Path::new("fuzz"), &Device::Cpu);
});
