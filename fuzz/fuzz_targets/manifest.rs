//! Manifests: what is accepted is a distribution over the classes.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(rows) = annotate::train::manifest::parse(bytes, Path::new("fuzz/manifest.csv")) {
        for row in rows {
            let sum: f32 = row.target().unwrap().iter().sum();
            assert!((sum - 1.0).abs() < 1e-2);
        }
    }
});
