//! Makes the bundled clip, `assets/demo/demo.mp4`, and the truth about it, `assets/demo/truth.json`.
//!
//! ```text
//! cargo run --example demo_clip -- --data ../shared/data/fer2013 --out assets/demo
//! ```
//!
//! No real person is shown. Each expression is the aligned average of at least 50 FER2013 pictures on which the FER+
//! crowd agreed. The averages are cross-faded on a drawn figure that sways before a moving background and once walks
//! out of the picture. The program decides who shows what and when, so the truth is known to the frame. The same data
//! and seed give the same pictures; the bytes of the file also depend on `ffmpeg`'s version of x264.

mod canvas;
mod composite;
mod encode;
mod pictures;
mod scene;
mod truth;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;

/// Makes the bundled demo clip and its truth file from FER2013 pictures and FER+ votes.
#[derive(Parser)]
struct Arguments {
    /// Folder with the FER2013 strips and fer2013_labels.csv.
    #[arg(long)]
    data: PathBuf,
    /// Folder that gets demo.mp4 and truth.json.
    #[arg(long)]
    out: PathBuf,
    /// Seed of the background's texture.
    #[arg(long, default_value_t = 2022)]
    seed: u64,
    /// Also write every composite as a PNG into this folder, to look at.
    #[arg(long)]
    composites: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let choices = pictures::choose(&arguments.data)?;
    let composites = composite::composites(&choices);
    if let Some(folder) = &arguments.composites {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        for composite in &composites {
            composite.save(&folder.join(format!("{}.png", composite.expression.name())))?;
        }
    }

    std::fs::create_dir_all(&arguments.out).with_context(|| format!("cannot make {}", arguments.out.display()))?;
    let scene = scene::Scene::new(&composites, arguments.seed);
    let mut encoder = encode::Encoder::start(&arguments.out.join("demo.mp4"))?;
    for index in 0..scene.frames() {
        encoder.write(&scene.draw(index))?;
    }
    encoder.finish()?;
    truth::write(&arguments.out.join("truth.json"), &scene, &composites, arguments.seed)
}
