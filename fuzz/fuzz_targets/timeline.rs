//! Timelines: what is accepted can be written in every format, and comes back the same.
#![no_main]

use std::path::Path;

use annotate::timeline::Timeline;
use annotate::write::Format;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("fuzz.json");
    let Ok(timeline) = Timeline::parse(bytes, path) else { return };
    for format in Format::ALL {
        let Some(writer) = format.writer() else { continue };
        let mut written = Vec::new();
        writer.write(&timeline, &mut written).unwrap();
        if format == Format::Json {
            let mut again = Vec::new();
            let back = Timeline::parse(&written, path).unwrap();
            writer.write(&back, &mut again).unwrap();
            assert_eq!(written, again);
        }
    }
});
