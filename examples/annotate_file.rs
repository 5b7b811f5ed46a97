//! Annotates a video and prints its segments: `cargo run --release --example annotate_file -- assets/demo/demo.mp4`

use std::path::PathBuf;

use annotate::Annotator;
use annotate::pipeline::Event;
use annotate::pipeline::decode::Source;

fn main() -> anyhow::Result<()> {
    let path: PathBuf = std::env::args_os().nth(1).unwrap_or_else(|| "assets/demo/demo.mp4".into()).into();
    let annotator = Annotator::new()?;
    let mut frames = 0;
    let timeline = annotator.annotate_while(&Source::File(path), |event| {
        if let Event::Frame(_) = event {
            frames += 1;
        }
        Ok(())
    })?;
    println!("{frames} frames, {} signers, complete: {}", timeline.tracks.len(), timeline.complete);
    for track in &timeline.tracks {
        for segment in &track.segments {
            println!(
                "{}  {:7.3} to {:7.3} s  {}",
                track.signer(),
                segment.start_s,
                segment.end_s,
                segment.label.name()
            );
        }
    }
    Ok(())
}
