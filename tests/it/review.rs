//! The review page in a browser, and corrections taken back.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::material::{ffmpeg, program};
use annotate::eaf;
use annotate::timeline::{Expression, Timeline};
use annotate::train::manifest;
use headless_chrome::{Browser, LaunchOptions, Tab};
use serde_json::Value;

fn run(arguments: &[&OsStr]) -> Output {
    program().args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn succeeds(arguments: &[&OsStr]) {
    let output = run(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The first seconds of the bundled clip under a name, annotated, with its page.
fn reviewed(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let video = folder.join(name);
    ffmpeg("-i assets/demo/demo.mp4 -t 8 -c copy -f mp4", &video);
    let labels = folder.join("labels.json");
    let eaf = folder.join("x.eaf");
    succeeds(&[video.as_ref(), "-q".as_ref(), "-o".as_ref(), labels.as_ref(), "-o".as_ref(), eaf.as_ref()]);
    succeeds(&["review".as_ref(), labels.as_ref(), "--language".as_ref(), "en".as_ref()]);
    (labels, folder.join("labels.html"))
}

/// A page in a browser; `None` after saying that `test` is skipped where there is no browser.
struct Opened {
    tab: Arc<Tab>,
    _browser: Browser,
}

impl Opened {
    fn new(page: &Path, test: &str) -> Option<Self> {
        let names = ["chromium", "chromium-browser", "google-chrome"];
        let found = names.iter().find_map(|name| {
            let paths = std::env::var_os("PATH")?;
            std::env::split_paths(&paths).map(|folder| folder.join(name)).find(|path| path.is_file())
        });
        let Some(program) = found else {
            println!("skipped: {test} (no chromium)");
            return None;
        };
        // Root, as in containers, has no sandbox.
        let options = LaunchOptions {
            path: Some(program),
            sandbox: false,
            window_size: Some((1280, 1000)),
            ..LaunchOptions::default()
        };
        let browser = Browser::new(options).unwrap();
        let tab = browser.new_tab().unwrap();
        let opened = Self { tab, _browser: browser };
        // Errors of the page are kept from the first moment on.
        opened.tab.enable_log().unwrap();
        opened.tab.navigate_to(&format!("file://{}", page.canonicalize().unwrap().display())).unwrap();
        opened.until("document.documentElement.dataset.ready === 'true'");
        Some(opened)
    }

    fn value(&self, expression: &str) -> Value {
        let result = self.tab.evaluate(expression, true).unwrap();
        result.value.unwrap_or(Value::Null)
    }

    fn until(&self, condition: &str) {
        let started = Instant::now();
        while self.value(condition) != Value::Bool(true) {
            assert!(started.elapsed() < Duration::from_secs(20), "{condition} does not come true");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn press(&self, key: &str) {
        self.tab.press_key(key).unwrap();
    }
}

#[test]
fn the_page_seeks_to_the_exact_frame_relabels_by_key_and_exports() {
    let folder = tempfile::tempdir().unwrap();
    let (labels, page) = reviewed(folder.path(), "clip.mp4");
    let Some(page) = Opened::new(&page, "the_page_seeks_to_the_exact_frame_relabels_by_key_and_exports") else {
        return;
    };
    page.until("video.readyState >= 2");
    // What the browser says it shows is the frame that was asked for.
    for frame in [0, 1, 17, 43, 99, 150, 199] {
        page.value(&format!("seek({frame})"));
        page.until(&format!("document.documentElement.dataset.shownFrame === '{frame}' && !video.seeking"));
        assert_eq!(page.value("document.documentElement.dataset.frame"), frame.to_string());
    }
    page.press("ArrowLeft");
    page.until("document.documentElement.dataset.frame === '198'");

    // The second segment: fear instead; the third: right; the first: no face, then undone.
    let timeline = Timeline::read(&labels).unwrap();
    let segments = &timeline.tracks[0].segments;
    let go = |segment: usize| page.value(&format!("seek({})", segments[segment].first_frame));
    go(1);
    page.press("4");
    go(2);
    page.press("a");
    go(0);
    page.press("x");
    page.press("u");
    assert_eq!(page.value("corrections.length"), 2);
    assert!(
        page.value("document.getElementById('progress').textContent").as_str().unwrap().starts_with("reviewed 2 of")
    );

    // Nothing is lost when the page is closed.
    page.value("unsaved = false; location.reload()");
    page.until("document.documentElement.dataset.ready === 'true' && corrections.length === 2");

    let lines = page.value("corrections.map((c) => JSON.stringify(c)).join('\\n')");
    // The button gives the browser a file of this name and content.
    let saved = page.value(
        "(async () => { let link; HTMLAnchorElement.prototype.click = function () { link = this; }; save(); \
         return link.download + '|' + (await new Promise((done) => { const r = new XMLHttpRequest(); r.open('GET', link.href); \
         r.onload = () => done(r.responseText); r.onerror = () => done('blocked'); r.send(); })); })()",
    );
    let saved = saved.as_str().unwrap();
    assert!(saved.starts_with("clip.mp4.corrections.jsonl|"), "{saved}");
    let corrections = folder.path().join("corrections.jsonl");
    std::fs::write(&corrections, lines.as_str().unwrap()).unwrap();

    let (eaf, rows) = (folder.path().join("x.eaf"), folder.path().join("rows.csv"));
    let corrected = folder.path().join("corrected.json");
    succeeds(&[
        "apply".as_ref(),
        corrections.as_ref(),
        "--labels".as_ref(),
        labels.as_ref(),
        "-o".as_ref(),
        corrected.as_ref(),
        "--eaf".as_ref(),
        eaf.as_ref(),
        "--manifest".as_ref(),
        rows.as_ref(),
    ]);
    let after = Timeline::read(&corrected).unwrap();
    let found = &after.tracks[0].segments;
    assert_eq!((found[1].label, found[2].label), (Expression::Fear, segments[2].label));
    assert_eq!(after.settings["corrections"]["applied"]["changed"], 1);
    let document = eaf::read(&eaf).unwrap();
    let tier = document.tiers.iter().find(|tier| tier.id == "expression@A").unwrap();
    assert_eq!(tier.annotations[1].value, "fear");
    let rows = manifest::read(&rows).unwrap();
    assert!(rows.len() >= 2 && rows.iter().any(|row| row.label == Some(Expression::Fear)));
    for row in &rows {
        let picture = image::open(&row.path).unwrap();
        assert_eq!((picture.width(), picture.height()), (112, 112));
    }
}

#[test]
fn hostile_names_stay_text_and_a_missing_video_stops_nothing() {
    let test = "hostile_names_stay_text_and_a_missing_video_stops_nothing";
    let folder = tempfile::tempdir().unwrap();
    let name = "<img src=x onerror=document.title='broken'> & 100 % #1?.mp4";
    let (labels, html) = reviewed(folder.path(), name);
    let Some(page) = Opened::new(&html, test) else { return };
    // The name is odd, and the video is found.
    page.until("video.readyState >= 2");
    assert_eq!(page.value("document.images.length"), 0);
    assert_eq!(page.value("document.getElementById('title').textContent"), name);
    assert_eq!(page.value("document.title"), name);
    drop(page);
    std::fs::remove_file(folder.path().join(name)).unwrap();
    let output = run(&["review".as_ref(), labels.as_ref()]);
    assert!(output.status.success() && String::from_utf8_lossy(&output.stderr).contains("the video is not there"));
    let Some(page) = Opened::new(&html, test) else { return };
    page.until("!document.getElementById('novideo').hidden");
    page.press("ArrowRight");
    page.until("document.documentElement.dataset.frame === '1'");
}

#[test]
fn what_cannot_be_reviewed_or_applied_is_refused_and_nothing_changes() {
    let folder = tempfile::tempdir().unwrap();
    let (labels, _) = reviewed(folder.path(), "clip.mp4");
    let before = std::fs::read(&labels).unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("cut.json"), &before[..before.len() / 2]).unwrap();
    let other = String::from_utf8(before.clone()).unwrap().replace("timeline/2", "timeline/3");
    std::fs::write(path("other.json"), other).unwrap();
    let refused = |arguments: &[&OsStr], code: i32, part: &str| {
        let output = run(arguments);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{message}");
        assert!(message.contains(part) && message.lines().count() == 1, "'{part}' is not in: {message}");
    };
    refused(&["review".as_ref(), path("cut.json").as_ref()], 3, "cut.json");
    refused(&["review".as_ref(), path("other.json").as_ref()], 3, "timeline/2");
    refused(&["review".as_ref(), path("absent.json").as_ref()], 3, "absent.json");
    let corrections = path("corrections.jsonl");
    for (content, part) in [
        ("{\"schema\":", "line 1"),
        (
            "{\"schema\":\"annotate/correction/9\",\"model_sha256\":\"\",\"track\":1,\"first_frame\":0,\"last_frame\":1,\
          \"old\":\"fear\",\"new\":null}",
            "annotate/correction/9",
        ),
        (
            "{\"schema\":\"annotate/correction/1\",\"model_sha256\":\"0\",\"track\":1,\"first_frame\":0,\"last_frame\":1,\
          \"old\":\"fear\",\"new\":null}",
            "another model",
        ),
    ] {
        std::fs::write(&corrections, content).unwrap();
        refused(&["apply".as_ref(), corrections.as_ref(), "--labels".as_ref(), labels.as_ref()], 3, part);
        assert_eq!(std::fs::read(&labels).unwrap(), before);
    }
}
