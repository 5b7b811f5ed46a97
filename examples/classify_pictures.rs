//! Classifies pictures of faces that are cut out already: `cargo run --release --example classify_pictures -- face.png ...`

use std::path::Path;

use annotate::model::registry;
use annotate::timeline::most_probable;
use annotate::{Device, Model};

/// The picture as the model's input: square, in its size and colours, values 0 to 255.
fn input(path: &Path, model: &Model) -> anyhow::Result<Vec<f32>> {
    let side = model.config().input.side as u32;
    let picture = image::open(path)?.resize_exact(side, side, image::imageops::FilterType::Triangle);
    Ok(match model.config().input.colours.count() {
        1 => picture.to_luma8().into_raw().into_iter().map(f32::from).collect(),
        _ => picture.to_rgb8().into_raw().into_iter().map(f32::from).collect(),
    })
}

fn main() -> anyhow::Result<()> {
    let model = registry::open(Path::new(registry::DEFAULT), &Device::Cpu)?;
    for path in std::env::args_os().skip(1) {
        let path = Path::new(&path);
        for probabilities in model.probabilities(input(path, &model)?)? {
            let best = most_probable(&probabilities);
            println!("{}: {} ({:.2})", path.display(), best.name(), probabilities[best.index()]);
        }
    }
    Ok(())
}
