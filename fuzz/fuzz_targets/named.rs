//! What is read by name: plans, recipes and presets, by the first byte.
#![no_main]

use std::path::Path;

use annotate::corpus::plan::CorpusPlan;
use annotate::eaf::preset::Preset;
use annotate::train::recipe::Recipe;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, content)) = bytes.split_first() else { return };
    let path = std::env::temp_dir().join(format!("annotate-fuzz-{}", std::process::id()));
    std::fs::write(&path, content).unwrap();
    let name = path.to_str().unwrap();
    match kind % 3 {
        0 => drop(CorpusPlan::read(Path::new(name))),
        1 => drop(Recipe::read(Path::new(name), &[])),
        _ => drop(Preset::load(name)),
    }
    std::fs::remove_file(&path).unwrap();
});
