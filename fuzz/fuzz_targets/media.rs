//! Damaged videos through the decode stage: no panic, times that rise, and nothing missing without a word.
//!
//! FFmpeg itself comes from the system and is not built with a sanitizer; what is watched is our use of it, and what its
//! memory functions see.
#![no_main]

use annotate::pipeline::decode::{DecodeOptions, Decoder, Source};
use libfuzzer_sys::fuzz_target;

/// More frames of one file teach nothing.
const FRAMES: usize = 100;

fuzz_target!(|bytes: &[u8]| {
    let path = std::env::temp_dir().join(format!("annotate-fuzz-media-{}", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    let options = DecodeOptions { max_pixels: 1 << 18, ..DecodeOptions::default() };
    if let Ok(mut decoder) = Decoder::open(&Source::File(path.clone()), options) {
        let (mut frames, mut last_s) = (0, f64::NEG_INFINITY);
        while frames < FRAMES
            && let Ok(Some(frame)) = decoder.next_frame()
        {
            assert!(frame.index == frames && frame.time_s > last_s, "frame {frames}");
            let luma = frame.picture.luma();
            assert!((0..luma.height).all(|y| luma.row(y).len() == luma.width));
            (frames, last_s) = (frames + 1, frame.time_s);
        }
        let decoded = decoder.finish();
        assert_eq!(decoded.media.frames, frames);
        assert_eq!(decoded.damage.is_empty(), decoded.incomplete_because.is_empty());
    }
    std::fs::remove_file(&path).unwrap();
});
