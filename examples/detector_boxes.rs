//! Compares YuNet's squares and scores with SeetaFace's on the same faces of real photos and clips. The figures on
//! square and scale in `pipeline/detect/yunet.rs` come from here.
//!
//! `cargo run --release --example detector_boxes -- ../shared/data`

use std::path::{Path, PathBuf};

use annotate::picture::Plane;
use annotate::pipeline::decode::{DecodeOptions, Decoder, Source};
use annotate::pipeline::detect::{Detection, DetectorName, Detectors, FaceDetector, SearchWindow};

/// Distance between the frames taken from a clip.
const EVERY: usize = 20;
/// Overlap from which two boxes belong to one face.
const SAME_FACE: f32 = 0.3;
/// Score below which SeetaFace's boxes are not trusted to be faces.
const TRUSTED: f32 = 5.0;

fn main() -> anyhow::Result<()> {
    let data: PathBuf = std::env::args().nth(1).map_or_else(|| "../shared/data".into(), PathBuf::from);
    let yunet = Detectors::open(DetectorName::Yunet, Some(&data.join("weights/yunet_n_dynamic.onnx")))?.make()?;
    let mut detectors = [Detectors::Seeta.make()?, yunet];
    for (folder, share) in [("photos", 0.05), ("videos", 0.1)] {
        let mut pairs = Vec::new();
        for path in files(&data.join(folder))? {
            let found = match folder {
                "photos" => vec![in_photo(&path, share, &mut detectors)?],
                _ => in_clip(&path, share, &mut detectors)?,
            };
            for [seeta, yunet] in found {
                pairs.extend(seeta.iter().filter(|s| s.score >= TRUSTED).filter_map(|s| {
                    let best = yunet.iter().max_by(|a, b| a.face.iou(&s.face).total_cmp(&b.face.iou(&s.face)))?;
                    (best.face.iou(&s.face) >= SAME_FACE).then_some([*s, *best])
                }));
            }
        }
        report(folder, &pairs);
    }
    Ok(())
}

fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|e| e == "jpg" || e == "mp4" || e == "gif"));
    files.sort();
    Ok(files)
}

type Both = [Vec<Detection>; 2];

fn both(luma: &Plane, share: f32, detectors: &mut [Box<dyn FaceDetector>; 2]) -> Both {
    let window = SearchWindow::whole(luma, share * luma.width.min(luma.height) as f32);
    detectors.each_mut().map(|detector| detector.detect(luma, &window))
}

fn in_photo(path: &Path, share: f32, detectors: &mut [Box<dyn FaceDetector>; 2]) -> anyhow::Result<Both> {
    let picture = image::open(path)?.into_luma8();
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let samples = picture.into_raw();
    Ok(both(&Plane { samples: &samples, stride: width, width, height }, share, detectors))
}

fn in_clip(path: &Path, share: f32, detectors: &mut [Box<dyn FaceDetector>; 2]) -> anyhow::Result<Vec<Both>> {
    let mut decoder = Decoder::open(&Source::File(path.into()), DecodeOptions::default())?;
    let mut all = Vec::new();
    while let Some(frame) = decoder.next_frame()? {
        if frame.index % EVERY == 0 {
            all.push(both(&frame.picture.luma(), share, detectors));
        }
    }
    Ok(all)
}

fn report(name: &str, pairs: &[[Detection; 2]]) {
    println!("{name}: {} faces that both see; 10 %, median, 90 % of", pairs.len());
    let centre = |[seeta, yunet]: &[Detection; 2]| {
        let ((x, y), (u, v)) = (seeta.face.centre(), yunet.face.centre());
        [(x - u) / yunet.face.w, (y - v) / yunet.face.w]
    };
    quantiles("side, SeetaFace's over YuNet's", pairs.iter().map(|[seeta, yunet]| seeta.face.w / yunet.face.w));
    quantiles("centre, SeetaFace's right of YuNet's, in sides", pairs.iter().map(|pair| centre(pair)[0]));
    quantiles("centre, SeetaFace's below YuNet's, in sides", pairs.iter().map(|pair| centre(pair)[1]));
    quantiles("overlap", pairs.iter().map(|[seeta, yunet]| seeta.face.iou(&yunet.face)));
    quantiles("SeetaFace's score", pairs.iter().map(|pair| pair[0].score));
    quantiles("YuNet's score", pairs.iter().map(|pair| pair[1].score));
    quantiles("turn, degrees", pairs.iter().map(|pair| pair[1].roll_degrees));
}

fn quantiles(name: &str, values: impl Iterator<Item = f32>) {
    let mut values: Vec<f32> = values.collect();
    values.sort_by(f32::total_cmp);
    let [low, middle, high] = [0.1, 0.5, 0.9].map(|share| values[((values.len() - 1) as f32 * share) as usize]);
    println!("  {name:48} {low:8.3} {middle:8.3} {high:8.3}");
}
