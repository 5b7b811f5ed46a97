//! Every edit by key and by mouse.

use annotate::timeline::{EventKind, FaceEvent, Timeline};
use headless_chrome::protocol::cdp::Input::DispatchMouseEventTypeOption::{MouseMoved, MouseWheel};

use super::browser::Opened;
use super::{reviewed, succeeds, two_signers};

/// The page of the bundled clip's first seconds: segments 0-42, 43-98, 99-140, 141-199, or a frame beside.
fn opened(folder: &std::path::Path, test: &str) -> Option<Opened> {
    let (_, page) = reviewed(folder, "clip.mp4");
    let page = Opened::new(&page, test)?;
    page.until("video.readyState >= 2");
    Some(page)
}

/// First frame, last frame and label of a segment of signer A.
fn segment(page: &Opened, index: usize) -> (usize, usize, String) {
    let number = |field: &str| page.number(&format!("lanes().of(1)[{index}].{field}")) as usize;
    (number("first_frame"), number("last_frame"), page.text(&format!("String(lanes().of(1)[{index}].label)")))
}

#[test]
fn the_page_seeks_to_the_exact_frame() {
    let folder = tempfile::tempdir().unwrap();
    let Some(page) = opened(folder.path(), "the_page_seeks_to_the_exact_frame") else { return };
    for frame in [0, 1, 17, 43, 99, 150, 199] {
        page.value(&format!("seek({frame})"));
        page.until(&format!("document.documentElement.dataset.shownFrame === '{frame}' && !video.seeking"));
        assert_eq!(page.value("document.documentElement.dataset.frame"), frame.to_string());
    }
    let last = page.number("lastFrame") as usize;
    for (key, frame) in
        [("ArrowLeft", 198), ("PageUp", 173), ("PageDown", 198), ("Home", 0), ("ArrowRight", 1), ("End", last)]
    {
        page.press(key);
        page.until(&format!("document.documentElement.dataset.frame === '{frame}'"));
    }
    // Times as people type them.
    for (typed, frame) in [("2.5", 62), ("0:01.04", 26), ("f120", 120)] {
        page.press("g");
        page.type_text(typed);
        page.press("Enter");
        page.until(&format!("document.documentElement.dataset.frame === '{frame}'"));
    }
}

#[test]
fn labels_are_given_by_key_and_mouse_and_undone_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let Some(page) = opened(folder.path(), "labels_are_given_by_key_and_mouse_and_undone_without_end") else { return };
    let before = page.state();
    let (first, last, label) = segment(&page, 1);
    page.value(&format!("seek({first})"));
    page.press("4");
    assert_eq!(page.lane(1)[1], format!("{first}-{last} fear changed"));
    page.press("x");
    assert_eq!(page.lane(1)[1], format!("{first}-{last} null rejected"));
    // The button of a label.
    page.value("labelRows[6].node.id = 'anger'");
    page.click("anger");
    assert_eq!(page.lane(1)[1], format!("{first}-{last} anger changed"));
    page.value("seek(0)");
    page.press("a");
    page.press("u");
    page.press("c");
    page.type_text("<b>looks away & \"down\"</b>");
    page.press("Enter");
    assert!(page.lane(1)[0].ends_with("accepted"));
    assert!(page.is("lanes().of(1)[0].unsure && lanes().of(1)[0].comment === '<b>looks away & \"down\"</b>'"));
    assert_eq!(page.value("document.querySelectorAll('b').length"), 0, "a comment is text");
    let after = page.state();
    for _ in 0..6 {
        page.press("Ctrl+z");
    }
    assert_eq!(page.state(), before);
    assert!(page.lane(1)[1].contains(&label));
    assert_eq!(
        page.value("work().log.length"),
        0,
        "nothing is left of what was undone before anybody had a file of it"
    );
    for key in ["Ctrl+Shift+Z", "Ctrl+y", "Ctrl+Shift+Z", "Ctrl+y", "Ctrl+y", "Ctrl+y"] {
        page.press(key);
    }
    assert_eq!(page.state(), after);
    // The buttons do the same.
    page.click("undo");
    assert_ne!(page.state(), after);
    page.click("redo");
    assert_eq!(page.state(), after);
}

#[test]
fn times_are_edited_by_key_snap_to_frames_and_never_overlap() {
    let folder = tempfile::tempdir().unwrap();
    let Some(page) = opened(folder.path(), "times_are_edited_by_key_snap_to_frames_and_never_overlap") else { return };
    let before = page.state();
    let (_, _, label) = segment(&page, 0);
    let (_, next_last, next) = segment(&page, 1);
    let message = || page.text("document.getElementById('message').textContent");
    // The neighbour that touches goes along.
    page.value("seek(30)");
    page.press("]");
    assert_eq!(page.lane(1)[..2], [format!("0-30 {label} moved"), format!("31-{next_last} {next}")]);
    page.value("seek(35)");
    page.press("[");
    assert_eq!(page.lane(1)[..2], [format!("0-34 {label} moved"), format!("35-{next_last} {next} moved")]);
    // With braces it stays, and a gap is left; there a message says why nothing happens.
    page.value("seek(50)");
    page.press("Shift+{");
    assert_eq!(page.lane(1)[1], format!("50-{next_last} {next} moved"));
    page.value("seek(45)");
    page.press("3");
    assert!(message().contains("has no segment here: no label"), "{}", message());
    // In the gap the next segment starts here, the last one ends here.
    page.press("[");
    assert!(page.lane(1)[1].starts_with("45-"));
    page.value("seek(40)");
    page.press("]");
    assert!(page.lane(1)[0].starts_with("0-40"));
    // Split, merge, and what cannot be done says why.
    page.value("seek(20)");
    page.press("s");
    assert_eq!(page.lane(1)[..2], [format!("0-19 {label} moved"), format!("20-40 {label} moved")]);
    page.press("s");
    assert!(message().contains("starts here"), "{}", message());
    page.press("Shift+M");
    assert_eq!(page.lane(1)[0], format!("0-40 {label} moved"));
    page.press("m");
    assert!(message().contains("only segments of one label merge"), "{}", message());
    // A frown inside a long segment.
    page.value("seek(10)");
    page.press("i");
    page.value("seek(15)");
    page.press("o");
    page.press("6");
    assert_eq!(
        page.lane(1)[..3],
        [format!("0-9 {label} moved"), "10-15 anger drawn".into(), format!("16-40 {label} moved")]
    );
    page.value("seek(12)");
    page.press("Delete");
    assert_eq!(page.lane(1)[1], format!("16-40 {label} moved"));
    // An edge stops before its neighbour's last frame.
    page.value(&format!("seek({next_last})"));
    page.press("]");
    page.value("moveEdge(lanes().of(1)[0], 'last_frame', 199)");
    let overlaps = "lanes().of(1).some((s, k, all) => k > 0 && all[k - 1].last_frame >= s.first_frame)";
    assert!(!page.is(overlaps), "{:?}", page.lane(1));
    assert!(page.is("lanes().of(1).every((s) => s.first_frame <= s.last_frame)"));
    while page.number("work().undoable.length") > 0.0 {
        page.press("Ctrl+z");
    }
    assert_eq!(page.state(), before);
}

#[test]
fn times_are_edited_by_mouse_on_two_real_signers_and_their_lanes_and_faces_choose_them() {
    let test = "times_are_edited_by_mouse_on_two_real_signers_and_their_lanes_and_faces_choose_them";
    let folder = tempfile::tempdir().unwrap();
    let Some((_, html)) = two_signers(folder.path(), test) else { return };
    let Some(page) = Opened::new(&html, test) else { return };
    page.until("video.readyState >= 2");
    assert_eq!(page.value("signers().length"), 2);
    // All of it is above the fold.
    let (bottom, fold) = (page.number("timeline.getBoundingClientRect().bottom"), page.number("innerHeight"));
    assert!(bottom <= fold, "the lanes end at {bottom} of {fold} pixels");
    // A click on the second lane chooses its signer, a click on the first one's face that one.
    let lanes: Vec<Vec<String>> = vec![page.lane(1), page.lane(2)];
    page.click_at(page.on_lane("middleOf(lanes().of(2)[0].first_frame + 1)", 1));
    assert_eq!(page.value("signer.id"), 2);
    assert!(page.number("frame") > 0.0);
    let face = |track: usize, at: &str, size: &str| {
        page.number(&format!(
            "(() => {{ const {{ scale, left, top }} = picturePlace(); const b = trackOf({track}).box(frame); \
             const r = document.getElementById('screen').getBoundingClientRect(); \
             return r.{at} + {at} + ({size}) * scale; }})()"
        ))
    };
    page.click_at([face(1, "left", "b[0] + b[2] / 2"), face(1, "top", "b[1] + b[3] / 2")]);
    assert_eq!(page.value("signer.id"), 1);
    // An edge is dragged, to a frame's boundary; the neighbour goes along.
    page.press("t");
    assert_eq!(page.value("signer.id"), 2);
    page.value("seek(20)");
    page.press("s");
    page.value("zoomTo(lanes().of(2)[1])");
    let from = page.on_lane("times[20]", 1);
    let to = page.on_lane("times[24] + 0.005", 1);
    page.drag(&[from, [(from[0] + to[0]) / 2.0, from[1]], to]);
    let ranges = |page: &Opened| page.text("lanes().of(2).map((s) => `${s.first_frame}-${s.last_frame}`).join(' ')");
    assert_eq!(ranges(&page), "0-23 24-43");
    assert!(page.lane(2)[1].ends_with(" moved") || page.lane(2)[0].ends_with(" moved"), "{:?}", page.lane(2));
    // A stretch is marked by dragging, and filled.
    let [from, to] = [28, 32].map(|frame| page.on_lane(&format!("middleOf({frame})"), 1));
    page.drag(&[from, [from[0] + 8.0, from[1]], to]);
    assert_eq!(page.value("[marked.track, marked.first, marked.last].join()"), "2,28,32");
    page.press("5");
    assert_eq!(ranges(&page), "0-23 24-27 28-32 33-43");
    // Buttons of the panel.
    page.value("seek(30)");
    page.click("split");
    page.click("delete");
    assert_eq!(ranges(&page), "0-23 24-27 28-29 33-43");
    // In the gap, a stretch is drawn where no label is; a click on the lane alone marks nothing.
    let [from, to] = [30, 31].map(|frame| page.on_lane(&format!("middleOf({frame})"), 1));
    page.click_at(from);
    assert_eq!(page.value("marked"), serde_json::Value::Null);
    page.drag(&[from, [from[0] + 8.0, from[1]], to]);
    page.press("1");
    assert_eq!(ranges(&page), "0-23 24-27 28-29 30-31 33-43");
    for _ in 0..6 {
        page.click("undo");
    }
    assert_eq!(vec![page.lane(1), page.lane(2)], lanes);
    // The wheel zooms about the cursor.
    page.press("f");
    let position = page.on_lane("1", 0);
    let span = page.number("view[1] - view[0]");
    page.mouse(MouseMoved, position, 0.0);
    page.mouse(MouseWheel, position, -120.0);
    assert!(page.number("view[1] - view[0]") < span);
    assert!(page.is("view[0] < 1 && 1 < view[1]"));
    // Two lanes that are one person.
    page.value("rename(trackOf(1), 'P07'); join(trackOf(2), trackOf(1))");
    assert_eq!(page.value("signers().map(signerName).join()"), "P07");
    assert!(!page.is("lanes().of(1).some((s, k, all) => k > 0 && all[k - 1].last_frame >= s.first_frame)"));
    page.press("Ctrl+z");
    assert_eq!(page.lane(2), lanes[1]);
}

#[test]
fn keys_go_to_the_page_and_can_be_changed() {
    let folder = tempfile::tempdir().unwrap();
    let Some(page) = opened(folder.path(), "keys_go_to_the_page_and_can_be_changed") else { return };
    page.value("seek(10)");
    page.click("accept");
    let log = page.value("work().log.length");
    // Space plays, and presses nothing.
    page.press(" ");
    page.until("!video.paused");
    page.press(" ");
    page.until("video.paused");
    assert_eq!(page.value("work().log.length"), log);
    // Even where a button was reached by the keyboard.
    page.value("document.getElementById('delete').focus()");
    page.press(" ");
    page.until("!video.paused");
    page.press("k");
    page.until("video.paused");
    assert_eq!(page.value("work().log.length"), log);
    // Shuttle: faster with each press, and backwards.
    page.value("seek(150)");
    page.press("l");
    page.press("l");
    assert_eq!(page.value("video.playbackRate"), 1.5);
    page.press("j");
    page.until("frame < 140");
    page.press("k");
    assert!(page.is("video.paused && rewind === 0 && video.playbackRate === 1"));
    // Across an edge: from half a second before to half a second after, by key and by button.
    let [start, end] = ["times[lanes().of(1)[1].first_frame]", "endOf(lanes().of(1)[1].last_frame)"];
    for (way, edge) in [("key", start), ("playstart", start), ("playend", end)] {
        page.value("seek(60)");
        if way == "key" {
            page.press("p");
        } else {
            page.click(way);
        }
        page.until("!video.paused");
        page.until("video.paused");
        let edge = page.number(edge);
        let stopped = page.number("times[frame]");
        assert!((edge + 0.4..edge + 0.9).contains(&stopped), "{way}: {edge}, {stopped}");
    }
    // A loop stays in its segment.
    page.value("seek(lanes().of(1)[1].last_frame - 3)");
    page.press("q");
    page.press(" ");
    page.until("frame < lanes().of(1)[1].last_frame - 10");
    assert!(page.is("frame >= lanes().of(1)[1].first_frame - 1"));
    page.press(" ");
    page.press("q");
    // Another key for fear; whoever had it takes the old one.
    page.press("Shift+?");
    page.until("document.getElementById('help').open");
    page.value("[...document.querySelectorAll('#keylist dd')].find((d) => d.textContent === 'fear').previousSibling.firstChild.click()");
    page.press("n");
    assert_eq!(page.text("keysOf('fear')[0] + keysOf('nextunsure')[0]"), "N4");
    page.press("Escape");
    page.until("!document.getElementById('help').open");
    page.value("seek(60)");
    page.press("n");
    assert!(page.lane(1)[1].ends_with("fear changed"), "{:?}", page.lane(1));
    page.reload();
    assert_eq!(page.text("keysOf('fear')[0]"), "N", "it is kept");
}

#[test]
fn the_list_is_filtered_sorted_and_walked() {
    let folder = tempfile::tempdir().unwrap();
    let Some(page) = opened(folder.path(), "the_list_is_filtered_sorted_and_walked") else { return };
    let all = page.number("listed.length") as usize;
    let choose = |id: &str, value: &str| {
        page.value(&format!("(() => {{ const n = document.getElementById('{id}'); n.value = '{value}'; n.dispatchEvent(new Event('change', {{ bubbles: true }})); }})()"));
    };
    page.press("a");
    choose("byreview", "open");
    assert_eq!(page.number("listed.length") as usize, all - 1);
    choose("byreview", "done");
    assert_eq!(page.number("listed.length"), 1.0);
    choose("byreview", "all");
    choose("order", "uncertain");
    assert!(page.is("listed.every((s, k) => k === 0 || uncertainty(listed[k - 1]) >= uncertainty(s))"));
    page.press("ArrowDown");
    assert!(page.is("current() === listed[listed.indexOf(current())]"));
    choose("order", "longest");
    assert!(page.is("listed.every((s, k) => k === 0 || lengthOf(listed[k - 1]) >= lengthOf(s))"));
    choose("bylabel", "happiness");
    assert!(page.is("listed.length > 0 && listed.every((s) => s.label === 'happiness')"));
    choose("bylabel", "");
    page.press("/");
    page.type_text("surpr");
    assert!(page.is("listed.length > 0 && listed.every((s) => s.label === 'surprise')"));
    page.press("Escape");
    page.press("ArrowDown");
    assert_eq!(page.value("current().label"), "surprise");
    // A click on a row goes there.
    page.value("document.getElementById('bytext').value = ''; refreshList(); paintList(); document.querySelector('#rows .row').id = 'row'");
    page.click("row");
    assert!(page.is("current() === listed[0]"));
    // On after a decision.
    choose("order", "time");
    page.click("advance");
    page.value("seek(lanes().of(1)[1].first_frame)");
    page.press("a");
    assert!(page.is("current() === lanes().of(1)[2]"), "{:?}", page.lane(1));
}

#[test]
fn a_blind_annotation_shows_no_label_and_is_compared_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let Some(page) = opened(folder.path(), "a_blind_annotation_shows_no_label_and_is_compared_at_the_end") else {
        return;
    };
    page.click("blindbutton");
    page.until("document.getElementById('blind').open");
    page.click("startblind");
    page.until("layer === 'blind'");
    assert_eq!(page.value("lanes().size"), 0);
    assert_eq!(page.text("[...document.querySelectorAll('.label .number')].map((n) => n.textContent).join('')"), "");
    assert_eq!(page.value("document.querySelectorAll('#rows .row').length"), 0);
    assert_eq!(page.value("curveMode()"), "nocurves");
    // The first segment as it is, the second one otherwise.
    let (first, second) = (page.text("data.tracks[0].segments[0].label"), "anger");
    for (index, name) in [(0, first.as_str()), (1, second)] {
        for (side, key) in [("first_frame", "i"), ("last_frame", "o")] {
            page.value(&format!("seek(data.tracks[0].segments[{index}].{side})"));
            page.press(key);
        }
        page.press(&page.text(&format!("keysOf('{name}')[0]")));
    }
    page.click("blindbutton");
    page.until("document.getElementById('compare').open");
    let frames = "data.tracks[0].segments.slice(0, 2).map((s) => s.last_frame - s.first_frame + 1)";
    let counts: Vec<f64> = page.json(frames).as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
    // By hand: agreement a, chance from the margins (first x first; the second's rows and columns do not meet).
    let total = counts[0] + counts[1];
    let (agree, chance) = (counts[0] / total, (counts[0] / total) * (counts[0] / total));
    let expected = (agree - chance) / (1.0 - chance);
    let found = page.number("kappa(confusion().slice(0, -1).map((row) => row.slice(0, -1)))");
    assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
    assert!(page.text("document.getElementById('agreement').textContent").contains(&format!("{expected:.2}")));
    page.click("endblind");
    page.until("layer === 'review'");
    assert!(page.is("data.human.some((tier) => tier.annotations.length === 2)"), "the person's labels are a tier now");
    // A sample is part of the video's stretches, and the same every time.
    assert!(page.is(
        "(() => { stretches = null; blindShare = 0.999999; const all = blindStretches().length; blindShare = 0.5; \
         stretches = null; const once = JSON.stringify(blindStretches()); stretches = null; \
         return once === JSON.stringify(blindStretches()) && blindStretches().length === Math.max(1, Math.round(all / 2)); \
         })()"
    ));
}

#[test]
fn axe_finds_nothing_in_either_language() {
    let test = "axe_finds_nothing_in_either_language";
    let Ok(axe) = std::fs::read_to_string("target/axe/node_modules/axe-core/axe.min.js") else {
        println!("skipped: {test} (no axe-core: make axe)");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let Some(page) = opened(folder.path(), test) else { return };
    page.value(&format!("{axe}; true"));
    let violations = "axe.run().then((r) => r.violations.map((v) => `${v.id}: ${v.nodes[0].html}`).join('\\n'))";
    page.value("const scheme = matchMedia('(prefers-color-scheme: dark)').matches; addSigner(); trackOf(1).isAdded");
    for place in [
        "",
        "setStrip(true); choose(trackOf(1)); setPart('head'); warn('store', t('storefull')); warn('file', t('cutline'), button(t('close'), () => {}))",
        "setPart(null); noVideo()",
        "document.getElementById('summary').open = true",
        "openHelp()",
        "document.getElementById('help').close(); openSigners()",
        "document.getElementById('signers').close(); openBlind()",
        "document.getElementById('blind').close(); startBlind(1); seek(0); mark('first'); seek(9); mark('last'); label('fear')",
        "compareBlind()",
    ] {
        page.value(place);
        for dark in [false, true] {
            page.prefer_dark(dark);
            for _ in 0..2 {
                assert_eq!(page.text(violations), "", "{place}, dark: {dark}");
                page.value("document.getElementById('language').click()");
            }
        }
    }
}

#[test]
fn everything_has_words_in_both_languages_and_a_key_of_its_own() {
    let test = "everything_has_words_in_both_languages_and_a_key_of_its_own";
    let folder = tempfile::tempdir().unwrap();
    let Some(page) = opened(folder.path(), test) else { return };
    let wanted = "[...ACTIONS.flatMap(([group, name]) => [`group_${group}`, name]), ...Object.keys(REVIEWED).map((k) => `list_${k}`), \
                  ...Object.keys(ORDERS).map((k) => `order_${k}`), ...Object.keys(MARKS), ...data.statuses, ...CLASSES, ...KINDS, ...Object.keys(PARTS), \
                  ...curveModes(), ...Object.values(GROUPS).flat(), \
                  ...['label', 'draw', 'delete', 'move', 'split', 'merge', 'comment', 'unsure', 'rename', 'join', 'signer', 'undo'].map((k) => `did_${k}`)]";
    let missing = format!("{wanted}.filter((key) => !data.strings.en[key] || !data.strings.de[key]).join()");
    assert_eq!(page.text(&missing), "");
    assert_eq!(page.text("(() => { const keys = ACTIONS.flatMap(([, , keys]) => keys); return keys.filter((key, k) => keys.indexOf(key) !== k).join(); })()"), "");
    // A list that was opened by mouse and left as it was does not swallow the keys.
    page.value("document.getElementById('bylabel').focus(); seek(60)");
    page.press("4");
    assert!(page.lane(1)[1].ends_with("fear changed"), "{:?}", page.lane(1));
    assert_eq!(page.text("document.getElementById('bylabel').value"), "");
    page.value("document.getElementById('bylabel').focus()");
    page.press(" ");
    page.until("!video.paused");
    page.press(" ");
    page.until("video.paused");
}

#[test]
fn every_edit_has_a_button_and_the_axis_is_moved_by_wheel_keys_and_overview() {
    let test = "every_edit_has_a_button_and_the_axis_is_moved_by_wheel_keys_and_overview";
    let folder = tempfile::tempdir().unwrap();
    let Some(page) = opened(folder.path(), test) else { return };
    let before = page.state();
    let (_, end, label) = segment(&page, 0);
    page.seek(10);
    page.click("markin");
    page.seek(15);
    page.click("markout");
    page.value("labelRows[6].node.id = 'six'; labelRows[7].node.id = 'none'");
    page.click("six");
    assert_eq!(page.lane(1)[1], "10-15 anger drawn");
    page.seek(12);
    page.click("starthere");
    page.seek(14);
    page.click("endhere");
    assert_eq!(page.lane(1)[1], "12-14 anger drawn");
    page.seek(13);
    page.click("split");
    page.click("mergelast");
    page.click("split");
    page.seek(12);
    page.click("mergenext");
    page.click("unsure");
    page.click("comment");
    page.type_text("looks down");
    page.press("Enter");
    assert!(page.is("current().unsure && current().comment === 'looks down'"));
    assert_eq!(page.lane(1)[..3], [format!("0-11 {label}"), "12-14 anger drawn".into(), format!("15-{end} {label}")]);
    page.click("none");
    assert_eq!(page.lane(1)[1], "12-14 null rejected");
    page.click("delete");
    // An edge dragged with Alt leaves its neighbour where it is.
    let last = page.number("lanes().of(1)[1].last_frame") as usize;
    page.value("zoomTo(lanes().of(1)[1])");
    let on = |page: &Opened, time: &str| page.on_lane(time, 0);
    let (from, to) = (on(&page, &format!("endOf({last}) - 0.002")), on(&page, &format!("endOf({}) - 0.002", last - 4)));
    page.drag_with(&[from, [(from[0] + to[0]) / 2.0, from[1]], to], 1);
    assert_eq!(page.lane(1)[1], format!("15-{} {label} moved", last - 4));
    assert!(page.lane(1)[2].starts_with(&format!("{}-", last + 1)), "{:?}", page.lane(1));
    while page.number("work().undoable.length") > 0.0 {
        page.click("undo");
    }
    assert_eq!(page.state(), before);
    // Zoom and pan.
    let view = |page: &Opened| [page.number("view[0]"), page.number("view[1]")];
    page.press("f");
    let all = view(&page);
    page.press("+");
    page.press("+");
    assert!((view(&page)[1] - view(&page)[0] - (all[1] - all[0]) / 4.0).abs() < 1e-6);
    let at = view(&page);
    page.press("Shift+PageDown");
    assert!(view(&page)[0] > at[0]);
    page.press("Shift+PageUp");
    assert!((view(&page)[0] - at[0]).abs() < 1e-6);
    page.mouse_with(MouseMoved, on(&page, "(view[0] + view[1]) / 2"), 0.0, 8);
    page.mouse_with(MouseWheel, on(&page, "(view[0] + view[1]) / 2"), 200.0, 8);
    assert!(view(&page)[0] > at[0], "Shift and the wheel go along the video");
    let overview = |share: f64| {
        let x = page
            .number(&format!("timeline.getBoundingClientRect().left + LEFT + {share} * (timeline.clientWidth - LEFT)"));
        [x, page.number("timeline.getBoundingClientRect().top + 10")]
    };
    page.drag(&[overview(0.2), overview(0.5), overview(0.7)]);
    let middle = (view(&page)[0] + view(&page)[1]) / 2.0;
    assert!((middle - (all[0] + 0.7 * (all[1] - all[0]))).abs() < 0.02, "{middle}");
    page.press("-");
    page.click("zoomall");
    assert_eq!(view(&page), all);
    page.value("seek(60)");
    page.press("z");
    assert!(page.is("view[0] <= times[current().first_frame] && view[1] >= endOf(current().last_frame) && view[1] - view[0] < endS - startS"));
    // The list is filtered by signer and by confidence.
    let choose = |id: &str, value: &str| {
        page.value(&format!("(() => {{ const n = document.getElementById('{id}'); n.value = '{value}'; n.dispatchEvent(new Event('change', {{ bubbles: true }})); }})()"));
    };
    page.press("Shift+T");
    choose("bysigner", "2");
    assert_eq!(page.number("listed.length"), 0.0);
    page.press("ArrowDown");
    assert!(page.message().contains("filters hide all"), "{}", page.message());
    choose("bysigner", "1");
    assert_eq!(page.number("listed.length"), page.number("lanes().of(1).length"));
    page.value("machineConfidence.get(lanes().of(1)[2].segment).confidence = 0.55");
    choose("bysure", "0.6");
    assert!(page.is("listed.length === 1 && listed[0] === lanes().of(1)[2]"));
}

#[test]
fn events_of_the_face_are_edited_with_the_same_keys_and_come_back_through_apply() {
    let test = "events_of_the_face_are_edited_with_the_same_keys_and_come_back_through_apply";
    let folder = tempfile::tempdir().unwrap();
    let (labels, _) = reviewed(folder.path(), "clip.mp4");
    let mut timeline = Timeline::read(&labels).unwrap();
    let event = |kind, first_frame: usize, last_frame: usize| FaceEvent {
        kind,
        first_frame,
        last_frame,
        start_s: timeline.frames.time_s[first_frame],
        end_s: timeline.frames.time_s[last_frame + 1],
        peak: 0.8,
    };
    let events =
        vec![event(EventKind::HeadLeft, 10, 60), event(EventKind::Blink, 20, 24), event(EventKind::TiltLeft, 50, 80)];
    timeline.tracks[0].events = events;
    let labels = folder.path().join("events.json");
    std::fs::write(&labels, serde_json::to_vec(&timeline).unwrap()).unwrap();
    succeeds(&["review".as_ref(), labels.as_ref(), "--language".as_ref(), "en".as_ref()]);
    let Some(page) = Opened::new(&folder.path().join("events.html"), test) else { return };
    let events = |part: &str| -> Vec<String> {
        let one = "(s) => `${s.first_frame}-${s.last_frame} ${s.event}${s.review ? ' ' + s.review : ''}`";
        let all = page.json(&format!("lanes().ofPart(1, '{part}').map({one})"));
        all.as_array().unwrap().iter().map(|v| v.as_str().unwrap().into()).collect()
    };
    let segments = page.lane(1);
    // By key: the eyes' row, the blink there becomes closed eyes that last longer.
    page.press("e");
    page.until("part === 'brows'");
    page.press("e");
    page.until("part === 'eyes'");
    page.value("seek(22)");
    page.press("1");
    assert_eq!(events("eyes"), ["20-24 eyes_closed changed"]);
    page.value("seek(30)");
    page.press("]");
    assert_eq!(events("eyes"), ["20-30 eyes_closed changed"]);
    page.press("Ctrl+z");
    page.press("Ctrl+z");
    assert_eq!(events("eyes"), ["20-24 blink"]);
    // A new one over marked frames; what is no kind of the eyes does nothing.
    page.value("seek(100)");
    page.press("i");
    page.value("seek(104)");
    page.press("o");
    page.press("5");
    assert_eq!(events("eyes").len(), 1, "{}", page.text("document.getElementById('message').textContent"));
    page.press("0");
    assert_eq!(events("eyes"), ["20-24 blink", "100-104 blink drawn"]);
    // By mouse: of two that go on at once, an edge is dragged.
    let row = "rows().list.find((row) => row.part === 'head')";
    let on_head = |time: &str| -> [f64; 2] {
        let coordinate =
            |side: &str, rest: &str| page.number(&format!("timeline.getBoundingClientRect().{side} + {rest}"));
        [
            coordinate("left", &format!("xOf({time}, timeline.clientWidth)")),
            coordinate("top", &format!("{row}.y + {row}.height / 2")),
        ]
    };
    page.drag(&[on_head("endOf(80)"), on_head("endOf(85)"), on_head("endOf(90)")]);
    assert_eq!(events("head"), ["10-60 head_left", "50-90 tilt_left moved"]);
    page.value("seek(12)");
    page.press("Delete");
    assert_eq!(events("head"), ["50-90 tilt_left moved"]);
    assert_eq!(page.lane(1), segments, "nobody touched an expression");
    // Back into the labels.
    let corrections = folder.path().join("c.jsonl");
    std::fs::write(&corrections, page.file()).unwrap();
    succeeds(&["apply".as_ref(), corrections.as_ref(), "--labels".as_ref(), labels.as_ref()]);
    let corrected = Timeline::read(&folder.path().join("events.corrected.json")).unwrap();
    let found: Vec<_> = corrected.tracks[0].events.iter().map(|e| (e.kind, e.first_frame, e.last_frame)).collect();
    let expected = [(EventKind::Blink, 20, 24), (EventKind::TiltLeft, 50, 90), (EventKind::Blink, 100, 104)];
    assert_eq!(found, expected);
    let again = folder.path().join("events.corrected.json");
    succeeds(&["review".as_ref(), again.as_ref(), "--language".as_ref(), "de".as_ref()]);
    page.open(&folder.path().join("events.corrected.html"));
    assert_eq!(events("head"), ["50-90 tilt_left moved"], "a page over the result shows it");
}
