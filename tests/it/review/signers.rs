//! Signers: named, joined, and added where the program never saw a face.

use annotate::eaf;
use annotate::timeline::{EventKind, Expression, Timeline};

use super::browser::Opened;
use super::{reviewed, succeeds, two_signers};

#[test]
fn somebody_whom_the_program_never_saw_is_added_and_labelled_and_comes_back_through_apply() {
    let test = "somebody_whom_the_program_never_saw_is_added_and_labelled_and_comes_back_through_apply";
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (labels, html) = reviewed(folder.path(), "clip.mp4");
    let Some(page) = Opened::new(&html, test) else { return };
    page.until("video.readyState >= 2");
    let before = page.state();
    // By key, undone, done again, undone.
    page.press("Shift+T");
    assert_eq!(page.text("signers().map(signerName).join()"), "signer A,signer B");
    assert_eq!(page.value("signer.id"), 2);
    page.press("Ctrl+z");
    assert_eq!(page.state(), before);
    assert_eq!(page.value("signer.id"), 1);
    page.press("Ctrl+y");
    page.press("Ctrl+z");
    // By mouse, in the dialog, where somebody of whom nothing is said can be taken out again.
    page.click("signersbutton");
    page.until("document.getElementById('signers').open");
    page.click("addsigner");
    page.value("document.querySelector('#signerlist tr:last-child button').id = 'takeout'");
    page.click("takeout");
    assert_eq!(page.value("signers().length"), 1);
    page.click("addsigner");
    page.value("document.querySelector('#signerlist tr:last-child input').focus()");
    page.type_text("P <09>");
    page.press("Tab");
    assert_eq!(page.text("signers().map(signerName).join()"), "signer A,P _09_");
    page.press("Escape");
    page.until("!document.getElementById('signers').open");
    assert_eq!(page.value("signer.id"), 2, "the new one is chosen");
    // Segments by mouse on the new lane, by key elsewhere, and an event.
    page.drag(&[page.on_lane("middleOf(10)", 1), page.on_lane("middleOf(15)", 1), page.on_lane("middleOf(30)", 1)]);
    page.press("4");
    for (frame, key) in [(50, "i"), (60, "o"), (60, "6")] {
        page.seek(frame);
        page.press(key);
    }
    assert_eq!(page.lane(2), ["10-30 fear drawn", "50-60 anger drawn"]);
    page.drag(&[page.on_lane("endOf(60)", 1), page.on_lane("endOf(65)", 1), page.on_lane("endOf(70)", 1)]);
    assert_eq!(page.lane(2), ["10-30 fear drawn", "50-70 anger drawn"]);
    page.drag(&[
        page.on_events(2, "eyes", "middleOf(20)", 0.5),
        page.on_events(2, "eyes", "middleOf(24)", 0.5),
        page.on_events(2, "eyes", "middleOf(25)", 0.5),
    ]);
    page.press("0");
    assert_eq!(page.events(2, "eyes"), ["20-25 blink drawn"]);
    let state = page.state();
    page.reload_unsaved();
    assert_eq!(page.state(), state, "it is kept");
    // Saved, applied, twice.
    std::fs::write(path("c.jsonl"), page.file()).unwrap();
    let (corrections, eaf, rows) = (path("c.jsonl"), path("x.eaf"), path("rows.csv"));
    let apply = || {
        succeeds(&[
            "apply".as_ref(),
            corrections.as_ref(),
            "--labels".as_ref(),
            labels.as_ref(),
            "--eaf".as_ref(),
            eaf.as_ref(),
            "--manifest".as_ref(),
            rows.as_ref(),
        ])
    };
    let talk = apply();
    assert!(talk.contains("0 in conflict") && !talk.contains("lie elsewhere"), "{talk}");
    let corrected = Timeline::read(&path("labels.corrected.json")).unwrap();
    let track = &corrected.tracks[1];
    assert_eq!((track.id, track.signer().as_str()), (2, "P _09_"));
    let segments: Vec<_> = track.segments.iter().map(|s| (s.first_frame, s.last_frame, s.label)).collect();
    assert_eq!(segments, [(10, 30, Expression::Fear), (50, 70, Expression::Anger)]);
    let events: Vec<_> = track.events.iter().map(|e| (e.kind, e.first_frame, e.last_frame)).collect();
    assert_eq!(events, [(EventKind::Blink, 20, 25)]);
    assert_eq!(annotate::review::machine_of(&corrected), Timeline::read(&labels).unwrap());
    let document = eaf::read(&eaf).unwrap();
    let tier = document.tiers.iter().find(|tier| tier.id == "expression@B").expect("a tier of the new signer");
    let values: Vec<_> = tier.annotations.iter().map(|a| (a.start_ms, a.end_ms, a.value.as_str())).collect();
    assert_eq!(values, [(400, 1240, "fear"), (2000, 2840, "anger")]);
    // Nobody knows where the face is: no picture can be cut out.
    assert!(talk.contains("0 pictures added") && !rows.is_file(), "{talk}");
    let once = std::fs::read(path("labels.corrected.json")).unwrap();
    let document = std::fs::read(&eaf).unwrap();
    assert!(apply().contains("0 applied"));
    assert_eq!(std::fs::read(path("labels.corrected.json")).unwrap(), once);
    assert_eq!(std::fs::read(&eaf).unwrap(), document);
    // A page over the result has the signer and their labels, and they can be edited on.
    let result = path("labels.corrected.json");
    succeeds(&["review".as_ref(), result.as_ref(), "--language".as_ref(), "en".as_ref()]);
    page.open(&path("labels.corrected.html"));
    assert_eq!(page.lane(2), ["10-30 fear drawn", "50-70 anger drawn"]);
    assert_eq!(page.events(2, "eyes"), ["20-25 blink drawn"]);
    assert_eq!(page.text("signerName(trackOf(2))"), "P _09_");
    page.press("t");
    page.seek(20);
    page.press("1");
    assert_eq!(page.lane(2)[0], "10-30 happiness changed");
    std::fs::write(path("d.jsonl"), page.file()).unwrap();
    let more = path("d.jsonl");
    let talk =
        succeeds(&["apply".as_ref(), more.as_ref(), "--labels".as_ref(), result.as_ref(), "--in-place".as_ref()]);
    assert!(talk.contains("0 in conflict"), "{talk}");
    let output = super::run(&["agree".as_ref(), labels.as_ref(), result.as_ref()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn signers_are_named_and_joined_by_mouse_and_keyboard_on_two_real_signers() {
    let test = "signers_are_named_and_joined_by_mouse_and_keyboard_on_two_real_signers";
    let folder = tempfile::tempdir().unwrap();
    let Some((labels, html)) = two_signers(folder.path(), test) else { return };
    let Some(page) = Opened::new(&html, test) else { return };
    let before = page.state();
    page.click("signersbutton");
    page.until("document.getElementById('signers').open");
    page.value("document.querySelector('#signerlist input').id = 'name'");
    page.click("name");
    page.type_text("VP 07");
    page.press("Tab");
    assert_eq!(page.text("signers().map(signerName).join()"), "VP 07,signer B");
    // The list of the second row, reached and worked by the keyboard: B is the same person as the first.
    page.value("document.querySelector('#signerlist tr:last-child select').focus()");
    page.press("ArrowDown");
    assert_eq!(page.text("signers().map(signerName).join()"), "VP 07");
    page.press("Escape");
    page.until("!document.getElementById('signers').open");
    assert!(!page.is("lanes().of(1).some((s, k, all) => k > 0 && all[k - 1].last_frame >= s.first_frame)"));
    let corrections = folder.path().join("c.jsonl");
    std::fs::write(&corrections, page.file()).unwrap();
    succeeds(&["apply".as_ref(), corrections.as_ref(), "--labels".as_ref(), labels.as_ref()]);
    let corrected = Timeline::read(&folder.path().join("labels.corrected.json")).unwrap();
    assert_eq!(corrected.tracks.iter().map(|track| track.signer()).collect::<Vec<_>>(), ["VP 07"]);
    page.press("Ctrl+z");
    page.press("Ctrl+z");
    assert_eq!(page.state(), before);
}
