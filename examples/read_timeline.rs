//! Reads a `labels.json` and prints how long each signer shows each expression: `cargo run --example read_timeline -- labels.json`

use std::path::PathBuf;

use annotate::{Expression, Timeline};

fn main() -> anyhow::Result<()> {
    let path: PathBuf = std::env::args_os().nth(1).unwrap_or_else(|| "labels.json".into()).into();
    let timeline = Timeline::read(&path)?;
    for track in &timeline.tracks {
        for expression in Expression::ALL {
            let segments = track.segments.iter().filter(|segment| segment.label == expression);
            let seconds: f64 = segments.map(|segment| segment.end_s - segment.start_s).sum();
            if seconds > 0.0 {
                println!("{}  {:<10} {seconds:8.2} s", track.signer(), expression.name());
            }
        }
    }
    Ok(())
}
