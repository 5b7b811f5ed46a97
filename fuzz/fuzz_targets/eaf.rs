//! ELAN annotation files: read without a panic, and every annotation with a sensible time.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(document) = annotate::eaf::parse(bytes, Path::new("fuzz.eaf")) {
        for tier in &document.tiers {
            assert!(tier.annotations.iter().all(|a| a.start_ms <= a.end_ms));
        }
    }
});
