//! How well faces are found and followed on the real clips and photos, and how long it takes.
//!
//! `make bench-faces`. Given a folder, it also scores the files `NAME-videos.csv` and `NAME-photos.csv` in it by the
//! same measures; they hold other programs' boxes on the same frames (`tests/faces/peers.py` writes them).
//!
//! - *coverage*: share of a clip's frames in which there is a box (every frame shows the one signer).
//! - *recall, precision*: on the frames of `face_boxes.csv`, boxes that agree with an intersection over union of 0.5. The
//!   truth was proposed by YuNet and reviewed, which favours YuNet.
//! - *switches*: how often a signer's id changes; other programs give none.
//! - *jitter*: median of the second difference of the box's centre (sides of the box) and size (logarithm), over frames in
//!   which the head is still: its centre, averaged over half a second, moves less than 1 % of its side a frame.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use annotate::picture::GreyPicture;
use annotate::pipeline::decode::{DecodeOptions, Decoder, Source};
use annotate::pipeline::detect::Seeta;
use annotate::pipeline::frame::{Frame, Sighting};
use annotate::pipeline::track::refiner::FaceRefiner;
use annotate::pipeline::track::{FaceTracker, TrackSettings};
use annotate::time::Timestamp;
use annotate::timeline::{BoundingBox, Status};

/// Overlap from which two boxes agree.
const AGREE: f32 = 0.5;
/// Side of the smallest face that is searched for in photos, which show groups, as a share of the shorter side.
const SMALL: f32 = 0.03;
/// Number of frames for which a photo is shown: a likely face is believed once it is seen again.
const SHOWN: usize = 3;

/// The boxes of one clip or photo.
#[derive(Default)]
struct Boxes {
    /// By frame: track and box, the surest first.
    frames: BTreeMap<usize, Vec<(u32, BoundingBox)>>,
    count: usize,
    rate: f64,
    ms: f64,
    /// Frames reported as occluded.
    occluded: Vec<usize>,
}

type Truth = HashMap<String, BTreeMap<usize, Vec<BoundingBox>>>;

fn main() {
    let data = std::env::var_os("ANNOTATE_DATA").map_or_else(|| "../shared/data".into(), PathBuf::from);
    if !data.join("videos").is_dir() {
        println!("skipped: faces (no data at {})", data.display());
        return;
    }
    let peers = std::env::args().skip(1).find(|a| !a.starts_with('-')).map(PathBuf::from);
    let truth = truth(&data.join("videos/face_boxes.csv"), "video");
    let mut clips = BTreeMap::new();
    for name in names(&truth) {
        clips.insert(name.clone(), follow(&data.join("videos").join(&name)));
    }
    report("annotate", &clips, &truth);
    let covered = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faces/occlusion.csv");
    occlusion(&clips, &covered);
    let photo_truth = self::truth(&data.join("photos/face_boxes.csv"), "image");
    let mut photos = BTreeMap::new();
    for name in names(&photo_truth) {
        photos.insert(name.clone(), look(&data.join("photos").join(&name)));
    }
    report_photos("annotate", &photos, &photo_truth);
    for peer in peers.iter().flat_map(|folder| peer_names(folder)) {
        let folder = peers.as_deref().unwrap_or(Path::new("."));
        let boxes = read_boxes(&folder.join(format!("{peer}-videos.csv")), &clips);
        report(&peer, &boxes, &truth);
        let boxes = read_boxes(&folder.join(format!("{peer}-photos.csv")), &photos);
        report_photos(&peer, &boxes, &photo_truth);
    }
}

fn names(truth: &Truth) -> impl Iterator<Item = String> {
    let mut names: Vec<String> = truth.keys().cloned().collect();
    names.sort();
    names.into_iter()
}

fn truth(path: &Path, name_column: &str) -> Truth {
    let mut truth = Truth::new();
    let mut reader = csv::Reader::from_path(path).expect("face_boxes.csv reads");
    for row in reader.deserialize::<HashMap<String, String>>() {
        let row = row.expect("face_boxes.csv is a table");
        let number = |column: &str| row[column].parse::<f32>().expect("a number");
        if row["x"].is_empty() {
            // A picture without a face.
            truth.entry(row[name_column].clone()).or_default();
            continue;
        }
        let frame = row.get("frame").map_or(0, |frame| frame.parse().expect("a frame"));
        let face = BoundingBox { x: number("x"), y: number("y"), w: number("w"), h: number("h") };
        truth.entry(row[name_column].clone()).or_default().entry(frame).or_default().push(face);
    }
    truth
}

/// A tracker with the built-in refinement network, or with the one in the file that FACE_REFINER names.
fn tracker(settings: TrackSettings) -> FaceTracker {
    let detector = Box::new(Seeta::new().expect("the built-in detector reads"));
    let Some(file) = std::env::var_os("FACE_REFINER") else { return FaceTracker::new(detector, settings) };
    let weights = std::fs::read(file).expect("the weights read");
    let refiner = FaceRefiner::from_bytes(&weights).expect("the weights fit");
    FaceTracker::with_refiner(detector, Some(refiner), settings)
}

fn follow(path: &Path) -> Boxes {
    let mut decoder = Decoder::open(&Source::File(path.into()), DecodeOptions::default()).expect("the clip opens");
    let mut tracker = tracker(TrackSettings::default());
    let mut boxes = Boxes::default();
    let (mut seconds, mut last_s) = (0.0, 0.0);
    while let Some(frame) = decoder.next_frame().expect("the clip decodes") {
        boxes.count += 1;
        last_s = frame.time_s;
        let started = Instant::now();
        let tracked = tracker.push(frame);
        seconds += started.elapsed().as_secs_f64();
        tracked.into_iter().for_each(|tracked| boxes.take(tracked));
    }
    let started = Instant::now();
    let rest = tracker.finish();
    seconds += started.elapsed().as_secs_f64();
    rest.into_iter().for_each(|tracked| boxes.take(tracked));
    boxes.ms = 1e3 * seconds / boxes.count as f64;
    boxes.rate = (boxes.count - 1) as f64 / last_s;
    boxes
}

impl Boxes {
    fn take(&mut self, (frame, sightings): (Frame, Vec<Sighting>)) {
        if sightings.iter().any(|s| s.status == Status::Occluded) {
            self.occluded.push(frame.index);
        }
        let boxes: Vec<_> = sightings.into_iter().filter_map(|s| Some((s.track, s.face?))).collect();
        if !boxes.is_empty() {
            self.frames.insert(frame.index, boxes);
        }
    }
}

fn look(path: &Path) -> Boxes {
    let picture = image::open(path).expect("the photo reads").into_luma8();
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let picture = Arc::new(GreyPicture { samples: picture.into_raw(), width, height });
    let settings = TrackSettings { min_face: SMALL, max_faces: 100, ..TrackSettings::default() };
    let started = Instant::now();
    let mut tracker = tracker(settings);
    let mut boxes = Boxes { count: 1, ..Boxes::default() };
    let mut tracked = Vec::new();
    for index in 0..SHOWN {
        let frame = Frame {
            index,
            pts: index as i64,
            time: Timestamp::new(index as i64, [1, 25]),
            time_s: index as f64 / 25.0,
            picture: picture.clone(),
        };
        tracked.extend(tracker.push(frame));
    }
    tracked.extend(tracker.finish());
    boxes.ms = 1e3 * started.elapsed().as_secs_f64();
    tracked.into_iter().filter(|(frame, _)| frame.index == 0).for_each(|tracked| boxes.take(tracked));
    boxes
}

/// Boxes that another program found: `name,frame,x,y,w,h,ms`. A row without a box means that it found none.
fn read_boxes(path: &Path, ours: &BTreeMap<String, Boxes>) -> BTreeMap<String, Boxes> {
    let mut all: BTreeMap<String, Boxes> = BTreeMap::new();
    let mut reader = csv::Reader::from_path(path).expect("the peer's table reads");
    for row in reader.records() {
        let row = row.expect("a table");
        let boxes = all.entry(row[0].to_owned()).or_insert_with(|| Boxes {
            count: ours[&row[0]].count,
            rate: ours[&row[0]].rate,
            ..Boxes::default()
        });
        let number = |column: usize| row[column].parse::<f32>();
        if let (Ok(x), Ok(y), Ok(w), Ok(h)) = (number(2), number(3), number(4), number(5)) {
            let frame = row[1].parse().expect("a frame");
            boxes.frames.entry(frame).or_default().push((1, BoundingBox { x, y, w, h }));
        }
        boxes.ms += f64::from(number(6).unwrap_or(0.0)) / boxes.count as f64;
    }
    all
}

fn peer_names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix("-videos.csv")?.to_owned()))
        .collect();
    names.sort();
    names
}

/// Numbers of hits, of boxes found and of true boxes.
fn agreement(found: &[(u32, BoundingBox)], truth: &[BoundingBox]) -> [usize; 3] {
    let mut left: Vec<&BoundingBox> = truth.iter().collect();
    let mut hits = 0;
    for (_, face) in found {
        let best = (0..left.len()).max_by(|a, b| left[*a].iou(face).total_cmp(&left[*b].iou(face)));
        if let Some(best) = best.filter(|best| left[*best].iou(face) >= AGREE) {
            left.remove(best);
            hits += 1;
        }
    }
    [hits, found.len(), truth.len()]
}

fn percent(share: usize, of: usize) -> f64 {
    100.0 * share as f64 / of.max(1) as f64
}

fn report(name: &str, clips: &BTreeMap<String, Boxes>, truth: &Truth) {
    println!("\n{name}: clips\n{:48} coverage  recall precision switches  centre    size  ms/frame", "");
    let (mut coverages, mut sums, mut switches, mut ms) = (Vec::new(), [0; 3], 0, Vec::new());
    let (mut centres, mut sizes) = (Vec::new(), Vec::new());
    for (clip, boxes) in clips {
        let coverage = percent(boxes.frames.len(), boxes.count);
        let mut here = [0; 3];
        for (frame, faces) in &truth[clip] {
            let found = boxes.frames.get(frame).map_or(&[][..], |found| found);
            let agreed = agreement(found, faces);
            here.iter_mut().zip(agreed).for_each(|(sum, value)| *sum += value);
        }
        let ids: Vec<u32> = boxes.frames.values().map(|found| found[0].0).collect();
        let switched = ids.windows(2).filter(|pair| pair[0] != pair[1]).count();
        let (centre, size) = jitter(boxes);
        println!(
            "{clip:48} {coverage:8.1} {:7.1} {:9.1} {switched:8} {centre:7.4} {size:7.4} {:9.2}",
            percent(here[0], here[2]),
            percent(here[0], here[1]),
            boxes.ms
        );
        coverages.push(coverage);
        sums.iter_mut().zip(here).for_each(|(sum, value)| *sum += value);
        switches += switched;
        ms.push(boxes.ms);
        centres.push(centre);
        sizes.push(size);
    }
    let mean = |values: &[f64]| {
        let values: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
        values.iter().sum::<f64>() / values.len() as f64
    };
    println!(
        "{:48} {:8.1} {:7.1} {:9.1} {switches:8} {:7.4} {:7.4} {:9.2}   least coverage {:.1}",
        "all",
        mean(&coverages),
        percent(sums[0], sums[2]),
        percent(sums[0], sums[1]),
        mean(&centres),
        mean(&sizes),
        mean(&ms),
        coverages.iter().copied().fold(f64::INFINITY, f64::min)
    );
}

fn report_photos(name: &str, photos: &BTreeMap<String, Boxes>, truth: &Truth) {
    let mut sums = [0; 3];
    for (photo, boxes) in photos {
        let found: Vec<_> = boxes.frames.values().flatten().copied().collect();
        if truth.get(photo).is_some_and(BTreeMap::is_empty) && !found.is_empty() {
            println!("{name}: {photo} shows no face, but has {} boxes", found.len());
        }
        let faces: Vec<_> =
            truth.get(photo).into_iter().flat_map(|frames| frames.values().flatten()).copied().collect();
        sums.iter_mut().zip(agreement(&found, &faces)).for_each(|(sum, value)| *sum += value);
    }
    let ms = photos.values().map(|boxes| boxes.ms).sum::<f64>() / photos.len().max(1) as f64;
    println!(
        "{name}: photos: {} of {} boxes found ({:.1} %), {:.1} % of its {} boxes are among them, {ms:.0} ms a photo",
        sums[0],
        sums[2],
        percent(sums[0], sums[2]),
        percent(sums[0], sums[1]),
        sums[1]
    );
}

/// Medians of the second differences of centre and size on still heads; NaN if the head is never still.
fn jitter(boxes: &Boxes) -> (f64, f64) {
    let path: BTreeMap<usize, [f64; 3]> = boxes
        .frames
        .iter()
        .map(|(frame, found)| {
            let (x, y) = found[0].1.centre();
            (*frame, [f64::from(x), f64::from(y), f64::from(found[0].1.w.max(1.0))])
        })
        .collect();
    let reach = (boxes.rate / 4.0).round().max(1.0) as usize;
    let average = |frame: usize| {
        let near: Vec<_> = path.range(frame.saturating_sub(reach)..=frame + reach).map(|(_, centre)| *centre).collect();
        [0, 1].map(|axis| near.iter().map(|centre| centre[axis]).sum::<f64>() / near.len() as f64)
    };
    let (mut centres, mut sizes) = (Vec::new(), Vec::new());
    for (frame, [x, y, side]) in &path {
        let (Some(before), Some(after)) = (frame.checked_sub(1).and_then(|f| path.get(&f)), path.get(&(frame + 1)))
        else {
            continue;
        };
        let (from, to) = (average(frame - 1), average(*frame));
        // Per frame at 25 a second, whatever the rate.
        let moved = (from[0] - to[0]).hypot(from[1] - to[1]) / side * boxes.rate / 25.0;
        if moved < 0.01 {
            centres.push((before[0] - 2.0 * x + after[0]).hypot(before[1] - 2.0 * y + after[1]) / side);
            sizes.push((before[2] * after[2] / (side * side)).ln().abs());
        }
    }
    (median(centres), median(sizes))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// F1 of `occluded` on the frames judged by eye.
fn occlusion(clips: &BTreeMap<String, Boxes>, judged: &Path) {
    let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).from_path(judged).expect("occlusion.csv reads");
    let mut counts: BTreeMap<String, [usize; 3]> = BTreeMap::new();
    for row in reader.records() {
        let row = row.expect("a table");
        let frames = row[1].parse::<usize>().expect("a frame")..=row[2].parse().expect("a frame");
        if &row[3] == "unsure" {
            continue;
        }
        for frame in frames {
            let said = clips[&row[0]].occluded.contains(&frame);
            let count = match (said, &row[3] == "covered") {
                (true, true) => 0,
                (true, false) => 1,
                (false, true) => 2,
                (false, false) => continue,
            };
            for name in [&row[0], "all"] {
                counts.entry(name.to_owned()).or_default()[count] += 1;
            }
        }
    }
    println!("\noccluded, against frames judged by eye");
    for (clip, [hits, invented, missed]) in counts {
        let f1 = 2.0 * hits as f64 / (2 * hits + invented + missed).max(1) as f64;
        println!("{clip:48} F1 {f1:.3}  ({hits} right, {invented} invented, {missed} missed)");
    }
}
