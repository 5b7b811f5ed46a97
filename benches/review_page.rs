//! How long it takes to write and to paint the review page of ten minutes at 50 frames per second with two signers, and
//! how long the same browser takes to paint an empty page; then how long an edit takes on such a page with 5,000 segments, with
//! nothing kept and after 5,000 edits. Reports it if there is no browser.

use std::path::Path;
use std::time::{Duration, Instant};

use annotate::model::registry;
use annotate::pipeline::decode::Source;
use annotate::pipeline::detect::Detectors;
use annotate::pipeline::{Execution, Settings, annotate};
use annotate::review::Page;
use annotate::timeline::{Expression, FaceEvent, Segment, Timeline};
use candle_core::Device;
use headless_chrome::{Browser, LaunchOptions, Tab};

const ROUNDS: usize = 7;
const FRAMES: usize = 10 * 60 * 50;
const FRAME_RATE: f64 = 50.0;
/// Length of each segment on the page that is edited: 2,500 a signer.
const SHORT: usize = 12;
const EDITS: usize = 100;

/// The bundled clip's timeline, repeated up to ten minutes, for two signers.
fn long_timeline() -> Timeline {
    let model = registry::open(Path::new(registry::DEFAULT), &Device::Cpu).expect("the default model loads");
    let source = Source::File("assets/demo/demo.mp4".into());
    let execution =
        Execution { threads: 2, batch_size: 16, interrupt: Default::default(), patience: Default::default() };
    let mut timeline = annotate(&source, &model, &Detectors::Seeta, &Settings::default(), &execution, &mut |_| Ok(()))
        .expect("the clip is annotated");
    let track = timeline.tracks.remove(0);
    let length = track.frames.len();
    timeline.frames.pts = (0..FRAMES as i64).map(|frame| frame * 256).collect();
    timeline.frames.time_s = (0..FRAMES).map(|frame| frame as f64 / FRAME_RATE).collect();
    timeline.media.time_base = [1, 12_800];
    let time_s = |frame: usize| frame as f64 / FRAME_RATE;
    timeline.tracks = [1, 2]
        .map(|id| {
            let mut track = track.clone();
            track.id = id;
            track.first_frame = 0;
            track.last_frame = FRAMES - 1;
            track.frames = (0..FRAMES).map(|frame| track.frames[frame % length].clone()).collect();
            track.segments = (0..FRAMES / length)
                .flat_map(|round| track.segments.iter().map(move |segment| (round * length, segment)))
                .map(|(offset, segment)| Segment {
                    first_frame: segment.first_frame + offset,
                    last_frame: segment.last_frame + offset,
                    start_s: time_s(segment.first_frame + offset),
                    end_s: time_s(segment.last_frame + offset + 1),
                    ..segment.clone()
                })
                .collect();
            track.events = (0..FRAMES / length)
                .flat_map(|round| track.events.iter().map(move |event| (round * length, event)))
                .map(|(offset, event)| FaceEvent {
                    first_frame: event.first_frame + offset,
                    last_frame: event.last_frame + offset,
                    start_s: time_s(event.first_frame + offset),
                    end_s: time_s(event.last_frame + offset + 1),
                    ..event.clone()
                })
                .collect();
            track
        })
        .into();
    timeline
}

/// The timeline with a segment every [`SHORT`] frames.
fn many_segments(timeline: &Timeline) -> Timeline {
    let mut many = timeline.clone();
    for track in &mut many.tracks {
        let model = track.segments[0].clone();
        let segments = (0..FRAMES / SHORT).map(|place| Segment {
            first_frame: place * SHORT,
            last_frame: place * SHORT + SHORT - 1,
            start_s: (place * SHORT) as f64 / FRAME_RATE,
            end_s: ((place + 1) * SHORT) as f64 / FRAME_RATE,
            label: Expression::ALL[place % Expression::COUNT],
            ..model.clone()
        });
        track.segments = segments.collect();
    }
    many
}

/// Shows the page in a tab, and the tab in front: what nobody sees, a browser draws seldom.
fn opened(tab: &Tab, page: &Path) {
    tab.bring_to_front().expect("the tab is shown");
    tab.navigate_to(&format!("file://{}", page.display())).expect("the page opens");
    tab.wait_until_navigated().expect("the page loads");
}

/// Milliseconds of each of many edits: until the page has taken the key, and until the next picture of the screen after it.
fn edited(browser: &Browser, page: &Path, after: usize) -> Vec<(f64, f64)> {
    // What an earlier call left in the page's storage is not there.
    let profile = browser.new_context().expect("a profile opens");
    let tab = profile.new_tab().expect("a tab opens");
    opened(&tab, page);
    // Edits that were made before: each another segment's label, as its key would give it.
    let script = format!(
        "(async () => {{
          while (document.documentElement.dataset.ready !== 'true') await new Promise((done) => setTimeout(done, 20));
          const own = layers.review.all().slice(0, {after});
          for (const s of own) {{
            const operation = stamped({{ kind: 'label', layer, before: [brief(s)], after: [brief({{ ...s, label: 'fear', review: 'changed' }})], signers: [] }});
            put(operation); work().log.push(operation); work().undoable.push(operation);
          }}
          changed();
          const painted = () => new Promise((done) => requestAnimationFrame(() => {{
            const channel = new MessageChannel();
            channel.port1.onmessage = () => done(performance.now());
            channel.port2.postMessage(0);
          }}));
          const took = [];
          for (let k = 0; k < {EDITS}; k++) {{
            const segment = lanes().of(1 + (k % 2))[k * 20];
            goToSegment(segment);
            seek(segment.first_frame + 3);
            await painted();
            const begun = performance.now();
            document.body.dispatchEvent(new KeyboardEvent('keydown', {{ key: ['1', 'u', 's', ']', 'x'][k % 5], bubbles: true }}));
            const taken = performance.now() - begun;
            took.push([taken, (await painted()) - begun]);
          }}
          if (work().log.length !== {after} + {EDITS}) throw new Error(`only ${{work().log.length}} edits`);
          return JSON.stringify(took);
        }})()"
    );
    let answer = tab.evaluate(&script, true).expect("the page answers");
    let text = answer.value.as_ref().and_then(|value| value.as_str()).unwrap_or_else(|| panic!("{answer:?}"));
    let took = serde_json::from_str(text).expect("pairs of numbers");
    tab.close(true).expect("the tab closes");
    took
}

/// Milliseconds from navigation to the first paint, and until the page reports that it is ready.
fn painted(browser: &Browser, page: &Path) -> (f64, f64) {
    let tab = browser.new_tab().expect("a tab opens");
    opened(&tab, page);
    let milliseconds = |expression: &str| {
        tab.evaluate(expression, true).expect("the page answers").value.and_then(|v| v.as_f64()).expect("a number")
    };
    let paint = "new Promise(done => { const look = () => { \
                 const [first] = performance.getEntriesByName('first-contentful-paint'); \
                 first ? done(first.startTime) : setTimeout(look, 5); }; look(); })";
    let painted = milliseconds(paint);
    let ready = milliseconds("performance.timing.loadEventEnd - performance.timing.navigationStart");
    tab.close(true).expect("the tab closes");
    (painted, ready)
}

fn of_page(timeline: &Timeline) -> Page<'_> {
    Page {
        timeline,
        labels: "labels.json".into(),
        video_url: "none.mp4".into(),
        start_s: 0.0,
        blind: None,
        human: Vec::new(),
        language: None,
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let timeline = long_timeline();
    let folder = tempfile::tempdir().expect("there is a folder for temporary files");
    let (page, empty) = (folder.path().join("page.html"), folder.path().join("empty.html"));
    std::fs::write(&empty, "<!DOCTYPE html><title>empty</title><p>empty").expect("the page is written");
    let mut writing = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let mut bytes = Vec::new();
        of_page(&timeline).write(&mut bytes).expect("the page is made");
        writing.push(started.elapsed().as_secs_f64() * 1000.0);
        std::fs::write(&page, &bytes).expect("the page is written");
    }
    let size = std::fs::metadata(&page).expect("the page is there").len();
    let segments: usize = timeline.tracks.iter().map(|track| track.segments.len()).sum();
    println!("review page, {FRAMES} frames, 2 signers, {segments} segments: {:.2} MB", size as f64 / 1e6);
    println!("  written in          {:7.0} ms", median(writing));
    let many = many_segments(&timeline);
    let edits = folder.path().join("edits.html");
    let mut bytes = Vec::new();
    of_page(&many).write(&mut bytes).expect("the page is made");
    std::fs::write(&edits, &bytes).expect("the page is written");
    // Root, as in containers, has no sandbox.
    let options = LaunchOptions {
        sandbox: false,
        window_size: Some((1366, 768)),
        idle_browser_timeout: Duration::from_secs(600),
        ..LaunchOptions::default()
    };
    let Ok(browser) = Browser::new(options) else {
        println!("  painting: skipped (no chromium)");
        return;
    };
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        floor.push(painted(&browser, &empty));
        ours.push(painted(&browser, &page));
    }
    for (name, pick) in [("first painted after", 0), ("loaded after", 1)] {
        let of = |figures: &[(f64, f64)]| median(figures.iter().map(|f| if pick == 0 { f.0 } else { f.1 }).collect());
        let (ours, floor) = (of(&ours), of(&floor));
        println!("  {name:19} {ours:7.0} ms, an empty page {floor:.0} ms (ratio {:.1})", ours / floor.max(1.0));
    }
    let segments: usize = many.tracks.iter().map(|track| track.segments.len()).sum();
    for after in [0, segments] {
        let took = edited(&browser, &edits, after);
        let of = |pick: fn(&(f64, f64)) -> f64| {
            let mut values: Vec<f64> = took.iter().map(pick).collect();
            values.sort_by(f64::total_cmp);
            (values[values.len() / 2], values[values.len() * 95 / 100], values[values.len() - 1])
        };
        let ((script, _, script_most), (half, most, slowest)) = (of(|t| t.0), of(|t| t.1));
        println!(
            "  {EDITS} edits of {segments} segments after {after} others: taken in {script:.0} ms (slowest {script_most:.0}),"
        );
        println!("    on the screen after {half:.0} ms (95 % within {most:.0}, slowest {slowest:.0})");
    }
}
