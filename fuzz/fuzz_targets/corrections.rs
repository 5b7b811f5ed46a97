//! Corrections: read and applied to a timeline without a panic; what was refused has changed nothing.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use annotate::review;
use annotate::timeline::Timeline;
use libfuzzer_sys::fuzz_target;

static TIMELINE: LazyLock<Timeline> =
    LazyLock::new(|| Timeline::parse(include_bytes!("../seeds/timeline/two_signers.json"), Path::new("x")).unwrap());

fuzz_target!(|text: &str| {
    let Ok(corrections) = review::parse_corrections(text, Path::new("fuzz.jsonl")) else { return };
    let mut timeline = TIMELINE.clone();
    match review::apply_corrections(&mut timeline, &corrections) {
        Ok(_) => assert!(timeline.check().is_ok()),
        Err(_) => assert_eq!(timeline, *TIMELINE),
    }
});
