//! What the page is made from and keeps: names, videos, storage, files; and folders of annotations.

use std::path::Path;

use annotate::timeline::Timeline;

use super::browser::Opened;
use super::{annotated, reviewed, succeeds};

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
    page.value("rename(trackOf(1), '<i>A</i>\\u0007')");
    assert_eq!(page.text("document.getElementById('who').textContent"), "_i_A__i__", "a name is plain in every format");
    // A person's tier with hostile words in its name and labels.
    let eaf = folder.path().join("x.eaf");
    let text = std::fs::read_to_string(&eaf).unwrap();
    let hostile = text.replace("\"expression@A\"", "\"&lt;b&gt;tier&lt;/b&gt;\"").replacen(
        ">happiness<",
        ">&lt;img src=x onerror=alert(1)&gt;<",
        1,
    );
    assert_ne!(text, hostile);
    std::fs::write(&eaf, hostile).unwrap();
    succeeds(&[
        "review".as_ref(),
        labels.as_ref(),
        "--human".as_ref(),
        eaf.as_ref(),
        "--language".as_ref(),
        "en".as_ref(),
    ]);
    page.open(&html);
    assert_eq!(page.text("data.human[0].name"), "<b>tier</b>");
    let first = "data.human[0].annotations.find((a) => a[2].includes('onerror'))[0] / 1000 + 0.1";
    let [x, _] = page.on_lane(first, 0);
    let row = "timeline.getBoundingClientRect().top + rows().list.find((row) => row.kind === 'human').y + 8";
    page.mouse(
        headless_chrome::protocol::cdp::Input::DispatchMouseEventTypeOption::MouseMoved,
        [x, page.number(row)],
        0.0,
    );
    assert!(
        page.text("document.getElementById('hint').textContent").contains("<b>tier</b>: <img src=x onerror=alert(1)>")
    );
    assert_eq!(page.value("document.querySelectorAll('b, img').length"), 0);
    drop(page);
    std::fs::remove_file(folder.path().join(name)).unwrap();
    let talk = succeeds(&["review".as_ref(), labels.as_ref()]);
    assert!(talk.contains("the video is not there"), "{talk}");
    let Some(page) = Opened::new(&html, test) else { return };
    page.until("!document.getElementById('novideo').hidden");
    assert!(
        page.text("document.getElementById('novideo').textContent").contains("annotate review labels.json --proxy")
    );
    page.press("ArrowRight");
    page.until("document.documentElement.dataset.frame === '1'");
    page.press("a");
    assert!(page.lane(1)[0].ends_with("accepted"), "review goes on");
}

#[test]
fn work_is_kept_by_the_labels_fingerprint_and_old_work_is_offered() {
    let test = "work_is_kept_by_the_labels_fingerprint_and_old_work_is_offered";
    let folder = tempfile::tempdir().unwrap();
    let (labels, html) = reviewed(folder.path(), "clip.mp4");
    let Some(page) = Opened::new(&html, test) else { return };
    page.press("a");
    page.value("seek(lanes().of(1)[1].first_frame)");
    page.press("4");
    let state = page.state();
    assert!(page.is("unsaved()"));
    page.reload();
    assert_eq!(page.state(), state);
    // Labels of another run, of which the second segment is another one.
    let mut timeline = Timeline::read(&labels).unwrap();
    let segment = &mut timeline.tracks[0].segments[1];
    segment.label = annotate::timeline::Expression::Sadness;
    std::fs::write(&labels, serde_json::to_vec(&timeline).unwrap()).unwrap();
    succeeds(&["review".as_ref(), labels.as_ref(), "--language".as_ref(), "en".as_ref()]);
    page.open(&html);
    assert!(page.lane(1)[0].split(' ').count() == 2, "no stale edits: {:?}", page.lane(1));
    assert!(page.text("document.getElementById('warnings').textContent").contains("2 edits of earlier labels"));
    page.value("document.querySelector('#warnings button').click()");
    assert!(page.lane(1)[0].ends_with("accepted"), "what fits is taken over");
    assert!(page.lane(1)[1].ends_with("sadness"), "what does not is not: {:?}", page.lane(1));
    page.reload();
    assert_eq!(page.text("document.getElementById('warnings').textContent"), "", "it is offered once");
}

#[test]
fn storage_that_is_forbidden_or_full_is_said_and_saving_still_works() {
    let test = "storage_that_is_forbidden_or_full_is_said_and_saving_still_works";
    let folder = tempfile::tempdir().unwrap();
    let (_, html) = reviewed(folder.path(), "clip.mp4");
    let Some(page) = Opened::new(&html, test) else { return };
    let warning = || page.text("document.getElementById('warnings').textContent");
    for (error, part) in [("QuotaExceededError", "storage is full"), ("SecurityError", "keeps nothing")] {
        page.value(&format!("Storage.prototype.setItem = () => {{ throw new DOMException('', '{error}'); }}"));
        page.press("a");
        page.press("u");
        assert!(warning().contains(part), "{}", warning());
    }
    // The button gives the browser a file of this name and content.
    page.value("document.getElementById('reviewer').value = 'Ann Bee'; document.getElementById('reviewer').dispatchEvent(new Event('change'))");
    page.value("HTMLAnchorElement.prototype.click = function () { window.link = this; }");
    page.press("Ctrl+s");
    assert_eq!(page.text("window.link.download"), "clip.mp4.Ann_Bee.corrections.jsonl");
    assert!(page.text("window.link.href").starts_with("blob:"));
    assert_eq!(page.file().lines().count() as f64, page.number("work().log.length"));
}

#[test]
fn the_page_names_the_line_of_a_damaged_file_and_refuses_another_videos() {
    let test = "the_page_names_the_line_of_a_damaged_file_and_refuses_another_videos";
    let folder = tempfile::tempdir().unwrap();
    let (_, html) = reviewed(folder.path(), "clip.mp4");
    let Some(page) = Opened::new(&html, test) else { return };
    page.press("a");
    page.value("seek(lanes().of(1)[1].first_frame)");
    page.press("4");
    let (state, file) = (page.state(), page.file());
    page.press("Ctrl+z");
    page.press("Ctrl+z");
    let read = |text: &str| {
        page.value(&format!("readFile({}, 'c.jsonl')", serde_json::Value::from(text)));
        page.text("document.getElementById('warnings').textContent")
    };
    let untouched = page.state();
    let lines: Vec<&str> = file.lines().collect();
    for (text, part) in [
        (format!("{}\n{}", lines[0], &lines[1][..lines[1].len() - 30]), "line 2: the line is cut off"),
        (file.replacen("\"after\":[", "\"after\":[7,", 1), "line 1: this is no correction"),
        (lines[0].replace(&page.text("data.media.sha256"), &"0".repeat(64)), "line 1: it is about another video"),
        ("[]".into(), "line 1: this is no correction"),
    ] {
        let warning = read(&text);
        assert!(warning.contains(part), "'{part}' is not in: {warning}");
        assert_eq!(page.state(), untouched, "nothing was taken");
    }
    assert_eq!(read(&file), "");
    assert_eq!(page.state(), state);
    assert!(page.text("document.getElementById('message').textContent").contains("2 taken, 0 known, 0 do not fit"));
    read(&file);
    assert!(page.text("document.getElementById('message').textContent").contains("0 taken, 2 known, 0 do not fit"));
}

#[test]
fn a_folder_gets_pages_and_an_index_of_what_is_reviewed_by_whom() {
    let test = "a_folder_gets_pages_and_an_index_of_what_is_reviewed_by_whom";
    let folder = tempfile::tempdir().unwrap();
    for name in ["one", "two <b>"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        reviewed(&folder.path().join(name), "clip.mp4");
        std::fs::remove_file(folder.path().join(name).join("labels.html")).unwrap();
    }
    std::fs::write(folder.path().join("broken.json"), "{\"schema\":\"annotate/timeline/1\",").unwrap();
    std::fs::write(folder.path().join("other.json"), "{}").unwrap();
    let one = folder.path().join("one/labels.json");
    let timeline = Timeline::read(&one).unwrap();
    let segments = timeline.tracks[0].segments.len();
    let corrections = folder.path().join("one/c.jsonl");
    let line = super::corrections::accepted(&timeline, 0, "Ann");
    std::fs::write(&corrections, format!("{line}\n")).unwrap();
    let index = |part: &str| {
        let talk = succeeds(&["review".as_ref(), folder.path().as_ref(), "--language".as_ref(), "en".as_ref()]);
        assert!(talk.contains(part), "{talk}");
        assert!(talk.contains("broken.json"), "{talk}");
    };
    index(&format!("2 annotations, 0 of {} segments", 2 * segments));
    let html = std::fs::read_to_string(folder.path().join("index.html")).unwrap();
    assert!(html.contains("c.jsonl"), "a file that waits is named");
    succeeds(&["apply".as_ref(), corrections.as_ref(), "--labels".as_ref(), one.as_ref()]);
    index(&format!("2 annotations, 1 of {} segments", 2 * segments));
    assert!(
        folder.path().join("one/labels.corrected.html").is_file()
            && folder.path().join("two <b>/labels.html").is_file()
    );
    let Some(page) = Opened::new(&folder.path().join("index.html"), test) else { return };
    let rows = page.text("document.getElementById('rows').innerText");
    assert!(rows.contains(&format!("1 / {segments}")) && rows.contains("Ann") && rows.contains("two <b>"), "{rows}");
    assert_eq!(page.value("document.querySelectorAll('b').length"), 0);
    // What the browser keeps and nobody has saved counts.
    page.open(&folder.path().join("two <b>/labels.html"));
    page.press("a");
    page.open(&folder.path().join("index.html"));
    let rows = page.text("document.getElementById('rows').innerText");
    assert!(rows.contains("1 edits in this browser"), "{rows}");
}

#[test]
fn a_page_never_replaces_a_file_of_another_kind() {
    let folder = tempfile::tempdir().unwrap();
    let (labels, html) = reviewed(folder.path(), "clip.mp4");
    let before = std::fs::read(&labels).unwrap();
    let refused = |output: &Path| {
        let output = super::run(&["review".as_ref(), labels.as_ref(), "-o".as_ref(), output.as_ref()]);
        assert!(matches!(output.status.code(), Some(2 | 6)), "{output:?}");
    };
    refused(&labels);
    std::fs::write(&html, "my notes").unwrap();
    refused(&html);
    assert_eq!(std::fs::read(&labels).unwrap(), before);
    assert_eq!(std::fs::read_to_string(&html).unwrap(), "my notes");
}

#[test]
fn in_a_narrow_window_the_parts_stand_one_below_the_other() {
    let test = "in_a_narrow_window_the_parts_stand_one_below_the_other";
    let folder = tempfile::tempdir().unwrap();
    let (_, html) = reviewed(folder.path(), "clip.mp4");
    let Some(page) = Opened::sized(&html, test, (800, 700)) else { return };
    let mut last_bottom = 0.0;
    for part in ["screen", "transport", "now", "side", "time"] {
        let bounds = format!("document.getElementById('{part}').getBoundingClientRect()");
        let (top, bottom) = (page.number(&format!("{bounds}.top")), page.number(&format!("{bounds}.bottom")));
        assert!(top >= last_bottom && bottom >= top + 24.0, "{part} from {top} to {bottom}, after {last_bottom}");
        last_bottom = bottom;
    }
    assert!(page.number("document.getElementById('screen').clientHeight") > 300.0, "the video can be seen");
    // The list scrolls by itself, so that rows out of sight stay out of the page.
    page.value(
        "listed = Array.from({ length: 5000 }, () => lanes().all()[0]); $('spacer').style.height = `${5000 * ROW}px`",
    );
    page.value("paintedRows = ''; paintList()");
    let rows = page.number("document.getElementById('rows').childNodes.length");
    assert!(rows > 4.0 && rows < 40.0, "{rows} rows in the page");
}

/// Pictures for the documentation: `ANNOTATE_SCREENSHOTS=docs/images cargo nextest run screenshots`.
#[test]
fn screenshots() {
    let Some(target) = std::env::var_os("ANNOTATE_SCREENSHOTS") else {
        println!("skipped: screenshots (no ANNOTATE_SCREENSHOTS)");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let video = folder.path().join("demo.mp4");
    std::fs::copy("assets/demo/demo.mp4", &video).unwrap();
    let (_, html) = annotated(folder.path(), &video);
    for size in [(1366, 768), (1920, 1080)] {
        let Some(page) = Opened::sized(&html, "screenshots", size) else { return };
        page.until("video.readyState >= 2");
        page.value("settings.reviewer = document.getElementById('reviewer').value = 'mk'; seek(lanes().of(1)[0].first_frame + 4)");
        page.press("a");
        page.press("i");
        page.value("seek(frame + 8)");
        page.press("o");
        page.press("3");
        page.value("seek(frame + 3)");
        page.press("b");
        std::thread::sleep(std::time::Duration::from_millis(2500));
        let (width, height) = size;
        std::fs::write(Path::new(&target).join(format!("review_demo_{width}x{height}.png")), page.screenshot())
            .unwrap();
    }
}
