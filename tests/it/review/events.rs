//! Events of the face on the page, by mouse and by key, and the curves of its measures.

use annotate::timeline::{Measure, Timeline};
use headless_chrome::protocol::cdp::Input::DispatchMouseEventTypeOption::MouseMoved;

use super::browser::Opened;
use super::{reviewed, two_signers};

/// The parts of a face with the first and the last of the kinds that each can do, and the key of the last.
const PARTS: [(&str, &str, &str, &str); 5] = [
    ("brows", "brows_raised", "brows_furrowed", "1"),
    ("eyes", "blink", "eyes_closed", "1"),
    ("mouth", "mouth_open", "mouth_rounded", "1"),
    ("head", "head_left", "shake", "7"),
    ("hands", "hand_on_face", "hand_on_face", "0"),
];

/// Every edit of events of these parts in the first frames, in which nothing happens in the clips.
fn every_edit(page: &Opened, track: usize, parts: &[(&str, &str, &str, &str)]) {
    page.value(&format!("choose(trackOf({track})); setPart(null); view = [startS, times[20]]; repaint()"));
    let before = page.state();
    let expressions = page.lane(track);
    for &(part, first_kind, last_kind, key) in parts {
        let there = page.events(track, part);
        let with = |more: &[String]| [more, &there[..]].concat();
        let on = |time: &str| page.on_events(track, part, time, 0.5);
        // By mouse: a stretch is marked by dragging and filled, its edges are dragged; split, merged and deleted by buttons.
        page.drag(&[on("middleOf(1)"), on("middleOf(2)"), on("middleOf(4)")]);
        assert_eq!(page.text("part"), part);
        assert_eq!(page.value("[marked.track, marked.first, marked.last].join()"), format!("{track},1,4"));
        page.value("labelRows[0].node.id = 'kind'");
        page.click("kind");
        assert_eq!(page.events(track, part), with(&[format!("1-4 {first_kind} drawn")]), "{}", page.message());
        page.drag(&[on("endOf(4)"), on("endOf(5)"), on("endOf(6) + 0.004")]);
        page.drag(&[on("times[1]"), on("middleOf(1)"), on("times[2] + 0.004")]);
        assert_eq!(page.events(track, part), with(&[format!("2-6 {first_kind} drawn")]), "{}", page.message());
        page.click_at(on("middleOf(4)"));
        assert_eq!(page.value("current().first_frame"), 2);
        page.click("split");
        let halves = [format!("2-3 {first_kind} drawn"), format!("4-6 {first_kind} drawn")];
        assert_eq!(page.events(track, part), with(&halves), "{}", page.message());
        page.click("mergelast");
        assert_eq!(page.events(track, part), with(&[format!("2-6 {first_kind} drawn")]), "{}", page.message());
        page.click("unsure");
        page.click("delete");
        assert_eq!(page.events(track, part), there);
        for _ in 0..7 {
            page.click("undo");
        }
        assert_eq!(page.state(), before, "{part}");
        // By key, with the last kind that the part has.
        page.value("setPart(null)");
        while page.value("part") != part {
            page.press("e");
        }
        for (frame, key) in [(1, "i"), (4, "o")] {
            page.seek(frame);
            page.press(key);
        }
        page.press(key);
        assert_eq!(page.events(track, part), with(&[format!("1-4 {last_kind} drawn")]), "{}", page.message());
        for (frame, key) in [(4, "s"), (5, "]"), (5, "Shift+M"), (2, "["), (3, "u")] {
            page.seek(frame);
            page.press(key);
        }
        assert_eq!(page.events(track, part), with(&[format!("2-5 {last_kind} drawn")]), "{}", page.message());
        assert!(page.is("current().unsure"));
        page.press("c");
        page.type_text("<i>a glance</i>");
        page.press("Enter");
        assert_eq!(page.value("current().comment"), "<i>a glance</i>");
        page.press("Delete");
        assert_eq!(page.events(track, part), there);
        while page.number("work().undoable.length") > 0.0 {
            page.press("Ctrl+z");
        }
        assert_eq!(page.state(), before, "{part}");
    }
    // Of two that go on at once, each is chosen where it is drawn, and its edge dragged without the other's.
    let on = |time: &str, share: f64| page.on_events(track, "head", time, share);
    for (first, last, key) in [(1, 6, "0"), (4, 9, "3")] {
        page.drag(&[
            on(&format!("middleOf({first})"), 0.5),
            on(&format!("middleOf({})", last - 1), 0.5),
            on(&format!("middleOf({last})"), 0.5),
        ]);
        page.press(key);
    }
    assert_eq!(page.events(track, "head")[..2], ["1-6 head_left drawn", "4-9 head_down drawn"]);
    for (share, kind) in [(0.25, "head_left"), (0.75, "head_down")] {
        page.click_at(on("middleOf(5)", share));
        assert_eq!(page.text("current().event"), kind);
    }
    page.drag(&[on("endOf(6)", 0.25), on("endOf(7)", 0.25), on("endOf(7) + 0.004", 0.25)]);
    assert_eq!(page.events(track, "head")[..2], ["1-7 head_left drawn", "4-9 head_down drawn"]);
    while page.number("work().undoable.length") > 0.0 {
        page.click("undo");
    }
    assert_eq!(page.state(), before);
    assert_eq!(page.lane(track), expressions, "nobody touched an expression");
    page.value("setPart(null)");
}

/// Curves are switched by key and by list, show the measures of `timeline`, and say the values under the cursor.
fn curves_show_what_was_measured(page: &Opened, timeline: &Timeline) {
    page.press("f");
    let modes = ["probabilities", "strips", "head", "brows", "eyes", "mouth", "nocurves"];
    page.value("settings.curves = 'nocurves'; labelControls(); repaint()");
    for mode in modes {
        page.press("v");
        assert_eq!(page.text("curveMode()"), mode);
        assert_eq!(page.text("document.getElementById('curvemode').value"), mode);
    }
    page.value("(() => { const list = document.getElementById('curvemode'); list.value = 'head'; list.dispatchEvent(new Event('change')); })()");
    assert_eq!(page.text("curveMode()"), "head");
    // The values are the annotation's, to half a step of what the page stores.
    let step = 120.0 / 254.0;
    for track in &timeline.tracks {
        let known: Vec<_> = track
            .frames
            .iter()
            .filter_map(|record| Some((record.frame, record.measures?.get(Measure::Yaw)?)))
            .collect();
        assert!(known.len() > 10, "the face was measured");
        for (frame, yaw) in known.iter().step_by(1 + known.len() / 20) {
            let curve = format!("curvesOf(trackOf({}))[0]", track.id);
            let shown = page.number(&format!(
                "(() => {{ const [low, high] = {curve}.range; return low + {curve}.value({frame}) * (high - low); }})()"
            ));
            assert!((shown - yaw.clamp(-60.0, 60.0)).abs() <= step / 2.0 + 1e-6, "frame {frame}: {shown} is not {yaw}");
        }
    }
    // Lines are drawn in the colours of the legend, and the legend follows the cursor.
    let row = "rows().list.find((row) => row.kind === 'curves')";
    let drawn = |left: &str, right: &str| {
        page.text(&format!(
            "(() => {{ drawAxis(); const r = devicePixelRatio, {{ y, height }} = {row}; \
             const data = timeline.getContext('2d').getImageData({left} * r, y * r, ({right} - {left}) * r, height * r).data; \
             const found = {{}}; for (let k = 0; k < data.length; k += 4) {{ const key = [data[k], data[k + 1], data[k + 2]].join(); found[key] = (found[key] || 0) + 1; }} \
             return JSON.stringify(Object.entries(found).sort()); }})()"
        ))
    };
    let plot = drawn("LEFT", "timeline.clientWidth");
    for ink in ["86,180,233", "230,159,0", "204,121,167"] {
        assert!(plot.contains(&format!("\"{ink}\"")), "no line of {ink}");
    }
    let hover = |frame: usize| {
        let [x, _] = page.on_lane(&format!("middleOf({frame})"), 0);
        let y = page.number(&format!("timeline.getBoundingClientRect().top + {row}.y + 5"));
        page.mouse(MouseMoved, [x, y], 0.0);
        assert_eq!(page.number("hovered") as usize, frame);
        drawn("0", "LEFT")
    };
    let turns = "(() => { const c = curvesOf(rows().list.find((row) => row.kind === 'curves').track); let [a, b] = [0, 0]; \
                 for (let k = 0; k <= lastFrame; k++) { const v = c[0].value(k); if (v === null) continue; if (v > (c[0].value(a) ?? -1)) a = k; if (v < (c[0].value(b) ?? 2)) b = k; } \
                 return [a, b]; })()";
    let frames: Vec<usize> =
        page.json(turns).as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect();
    assert_ne!(hover(frames[0]), hover(frames[1]), "the legend says the value under the cursor");
}

#[test]
fn events_are_edited_by_mouse_and_by_key_on_the_bundled_clip() {
    let test = "events_are_edited_by_mouse_and_by_key_on_the_bundled_clip";
    let folder = tempfile::tempdir().unwrap();
    let (labels, html) = reviewed(folder.path(), "clip.mp4");
    let Some(page) = Opened::new(&html, test) else { return };
    page.until("video.readyState >= 2");
    every_edit(&page, 1, &PARTS);
    curves_show_what_was_measured(&page, &Timeline::read(&labels).unwrap());
}

#[test]
fn events_are_edited_by_mouse_and_by_key_on_two_real_signers() {
    let test = "events_are_edited_by_mouse_and_by_key_on_two_real_signers";
    let folder = tempfile::tempdir().unwrap();
    let Some((labels, html)) = two_signers(folder.path(), test) else { return };
    let Some(page) = Opened::new(&html, test) else { return };
    page.until("video.readyState >= 2");
    // What is done to one part is done to each; here it counts whose event it is.
    every_edit(&page, 1, &PARTS[..1]);
    every_edit(&page, 2, &PARTS[3..4]);
    curves_show_what_was_measured(&page, &Timeline::read(&labels).unwrap());
    // The close-up is turned by what was measured of the head's tilt, so that the face stands upright.
    let frame = page.number("(() => { let best = 0; for (let k = 0; k <= lastFrame; k++) if (Math.abs(trackOf(1).roll(k)) > Math.abs(trackOf(1).roll(best))) best = k; return best; })()");
    assert!(page.number(&format!("Math.abs(rollAt(trackOf(1), {frame}))")) > 5.0);
    let angle = "(() => { const turned = []; const context = document.getElementById('face').getContext('2d'); const rotate = context.rotate; \
                 context.rotate = function (by) { turned.push(by); return rotate.call(this, by); }; choose(trackOf(1)); frame = FRAME; drawPicture(); context.rotate = rotate; \
                 return (turned[0] * 180) / Math.PI + rollAt(trackOf(1), FRAME); })()";
    assert!(page.number(&angle.replace("FRAME", &frame.to_string())).abs() < 1e-9);
}
