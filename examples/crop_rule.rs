//! Measures the position of SeetaFace's box on FER2013's pictures, from which the default model's crop rule is taken.
//!
//! `cargo run --release --example crop_rule -- ../shared/data/fer2013/publictest.png`

use annotate::picture::Plane;
use annotate::pipeline::detect::{FaceDetector, SearchWindow, Seeta};

/// Side of FER2013's pictures, their magnification, and the border of their own mean.
const SIDE: usize = 48;
const ENLARGED: usize = 3;
const BORDER: usize = 72;
const PICTURES: usize = 1500;

fn main() -> anyhow::Result<()> {
    let path = std::env::args().nth(1).ok_or_else(|| anyhow::anyhow!("give a strip of FER2013 pictures"))?;
    let mut reader = image::ImageReader::open(path)?;
    reader.no_limits();
    let strip = reader.decode()?.into_luma8().into_raw();
    let mut seeta = Seeta::new()?;
    let mut found = Vec::new();
    for picture in strip.chunks_exact(SIDE * SIDE).take(PICTURES) {
        let side = SIDE * ENLARGED + 2 * BORDER;
        let mean = picture.iter().map(|v| u64::from(*v)).sum::<u64>() / (SIDE * SIDE) as u64;
        let mut samples = vec![mean as u8; side * side];
        for y in 0..SIDE * ENLARGED {
            for x in 0..SIDE * ENLARGED {
                samples[(y + BORDER) * side + x + BORDER] = picture[y / ENLARGED * SIDE + x / ENLARGED];
            }
        }
        let luma = Plane { samples: &samples, stride: side, width: side, height: side };
        if let Some(best) = seeta.detect(&luma, &SearchWindow::whole(&luma, 60.0)).first().filter(|d| d.score > 3.0) {
            let (x, y) = best.face.centre();
            let share = |at: f32| (at - BORDER as f32) / (SIDE * ENLARGED) as f32;
            found.push([share(x), share(y), best.face.w / (SIDE * ENLARGED) as f32]);
        }
    }
    let median = |index: usize| {
        let mut values: Vec<f32> = found.iter().map(|f| f[index]).collect();
        values.sort_by(f32::total_cmp);
        [0.1, 0.5, 0.9].map(|q| values[(q * (values.len() - 1) as f32) as usize])
    };
    let [[_, x, _], [y10, y, y90], [s10, side, s90]] = [median(0), median(1), median(2)];
    println!("faces found: {} of {PICTURES}", found.len());
    println!(
        "centre ({x:.3}, {y:.3}; 80 % of y in {y10:.3} to {y90:.3}), side {side:.3} ({s10:.3} to {s90:.3}) of the picture"
    );
    println!("crop rule: scale {:.3}, shift_y {:.3}", 1.0 / side, (0.5 - y) / side);
    Ok(())
}
