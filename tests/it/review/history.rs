//! Steps taken back and done again after the page was closed, full storage, damaged storage, and another tab.

use serde_json::{Value, json};

use super::browser::Opened;
use super::reviewed;

#[test]
fn steps_are_taken_back_and_done_again_after_the_page_was_closed() {
    let test = "steps_are_taken_back_and_done_again_after_the_page_was_closed";
    let folder = tempfile::tempdir().unwrap();
    let (_, html) = reviewed(folder.path(), "clip.mp4");
    let Some(page) = Opened::new(&html, test) else { return };
    // Every state from the first to the last, with a file saved half way: what was saved is undone by an operation of its own.
    let mut states = vec![page.state()];
    for (frame, keys) in [(5, "a"), (60, "4"), (60, "u"), (20, "s"), (110, "i"), (116, "o"), (116, "6"), (150, "[")] {
        page.seek(frame);
        let before = page.number("work().log.length");
        page.press(keys);
        if page.number("work().log.length") > before {
            states.push(page.state());
        }
        if states.len() == 4 {
            page.value("exported = new Set(work().log.map((o) => o.id)); keepWork()");
        }
    }
    page.press("Shift+T");
    states.push(page.state());
    assert_eq!(states.len(), 8);
    let saved: Vec<Value> = page.file().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // All the way back and forward, closing the page again and again.
    for _ in 0..2 {
        for state in states.iter().rev().skip(1) {
            page.press("Ctrl+z");
            assert_eq!(&page.state(), state);
            page.reload_unsaved();
            assert_eq!(&page.state(), state, "what was undone stays undone");
        }
        page.press("Ctrl+z");
        assert!(page.message().contains("nothing to undo"), "{}", page.message());
        for (place, state) in states.iter().enumerate().skip(1) {
            page.press("Ctrl+Shift+Z");
            assert_eq!(&page.state(), state, "step {place}: {}", page.message());
            page.reload_unsaved();
            assert_eq!(&page.state(), state);
        }
        page.press("Ctrl+y");
        assert!(page.message().contains("nothing to redo"), "{}", page.message());
    }
    // The file begins with what was saved, and what the page holds is what the file says.
    let file: Vec<Value> = page.file().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(file[..3], saved[..3]);
    let state = page.state();
    let text = page.file();
    page.value("for (const key of Object.keys(localStorage)) localStorage.removeItem(key); addEventListener('pagehide', () => localStorage.clear())");
    page.value("keepWork = () => {}");
    page.reload_unsaved();
    page.value(&format!("readFile({}, 'c.jsonl')", Value::from(text)));
    assert_eq!(page.state(), state, "{}", page.message());
    // A new edit ends what could be done again.
    page.press("Ctrl+z");
    page.seek(5);
    page.press("x");
    page.reload_unsaved();
    page.press("Ctrl+y");
    assert!(page.message().contains("nothing to redo"), "{}", page.message());
}

#[test]
fn a_storage_that_is_really_full_is_said_and_heals() {
    let test = "a_storage_that_is_really_full_is_said_and_heals";
    let folder = tempfile::tempdir().unwrap();
    let (_, html) = reviewed(folder.path(), "clip.mp4");
    let Some(page) = Opened::new(&html, test) else { return };
    page.value("for (let size = 1 << 22; size; size >>= 1) try { localStorage.setItem(`full${size}`, 'x'.repeat(size)); } catch { /* it does not fit */ }");
    page.press("a");
    assert!(page.warnings().contains("storage is full"), "{}", page.warnings());
    assert!(page.file().contains("\"review\":\"accepted\""), "the file has it");
    page.value("for (const key of Object.keys(localStorage)) if (key.startsWith('full')) localStorage.removeItem(key)");
    page.press("u");
    assert_eq!(page.warnings(), "");
    let state = page.state();
    page.reload_unsaved();
    assert_eq!(page.state(), state);
}

#[test]
fn damaged_storage_and_hostile_operations_break_nothing() {
    let test = "damaged_storage_and_hostile_operations_break_nothing";
    let folder = tempfile::tempdir().unwrap();
    let (_, html) = reviewed(folder.path(), "clip.mp4");
    let Some(page) = Opened::new(&html, test) else { return };
    let untouched = page.state();
    let there = page.json("brief(lanes().of(1)[0])");
    let drawn = |id: &str, first: u64, last: u64| json!({"segment": id, "track": 1, "first_frame": first, "last_frame": last, "label": "fear", "review": "drawn"});
    let line = |before: Value, after: Value, signers: Value| {
        let mut operation =
            page.json("stamped({ kind: 'label', layer: 'review', before: [], after: [], signers: [] })");
        (operation["before"], operation["after"], operation["signers"]) = (before, after, signers);
        operation.to_string()
    };
    let named = json!({"name": null, "into": null});
    let joined = |track: u64| json!({"name": null, "into": track});
    // What does not fit is left out, and its line is named.
    for text in [
        line(json!([there, there]), json!([]), json!([])),
        line(json!([there]), json!([drawn("a", 0, 5), drawn("b", 3, 9)]), json!([])),
        line(json!([there]), json!([drawn("a", 0, 5), drawn("a", 7, 9)]), json!([])),
        line(json!([]), json!([drawn("a", 0, 5)]), json!([])),
        line(json!([there]), json!([drawn("a", 9, 5)]), json!([])),
        line(json!([there]), json!([drawn("a", 5, 100_000)]), json!([])),
        line(json!([]), json!([]), json!([{"track": 1, "old": named, "now": joined(1)}])),
        line(json!([]), json!([]), json!([{"track": 1, "old": named, "now": joined(9)}])),
        line(json!([]), json!([]), json!([{"track": 1, "old": named, "now": null}])),
        line(json!([]), json!([]), json!([{"track": 7, "old": named, "now": {"name": "x", "into": null}}])),
    ] {
        page.value(&format!("readFile({}, 'c.jsonl')", Value::from(format!("\n{text}\n"))));
        assert_eq!(page.state(), untouched, "{text}");
        assert!(page.warnings().contains("left out: 2."), "{text}: {}", page.warnings());
    }
    // What is no operation refuses the file.
    for text in [
        line(json!([there]), json!([drawn("a", 0, 5)]), json!([{"track": 1, "old": null, "now": null}])),
        line(
            json!([there]),
            json!([{"segment": "a", "track": 0, "first_frame": 0, "last_frame": 1, "label": "fear"}]),
            json!([]),
        ),
        line(
            json!([there]),
            json!([{"segment": "a", "track": 1, "first_frame": 0, "last_frame": 1, "label": "fear", "review": "<b>"}]),
            json!([]),
        ),
        line(json!([]), json!([]), json!([{"track": 1, "old": named, "now": {"name": {"x": 1}, "into": null}}])),
    ] {
        page.value(&format!("readFile({}, 'c.jsonl')", Value::from(text.clone())));
        assert_eq!(page.state(), untouched, "{text}");
        assert!(page.warnings().contains("line 1: this is no correction"), "{text}: {}", page.warnings());
    }
    // A storage that somebody else has written into.
    for kept in [
        "7",
        "null",
        "[]",
        "{\"review\":7,\"exported\":{},\"history\":{\"review\":{\"undoable\":[1,\"x\"],\"redoable\":[null,7,{}]}}}",
        "{\"review\":[null,7,{\"id\":1}],\"history\":7}",
        "{",
    ] {
        page.value(&format!("localStorage.setItem(STORE, {})", Value::from(kept)));
        page.reload_unsaved();
        assert_eq!(page.state(), untouched, "{kept}");
        page.press("Ctrl+y");
        page.seek(5);
        page.press("a");
        page.press("Ctrl+z");
        assert_eq!(page.state(), untouched, "{kept}");
    }
    // Another tab of the same page.
    assert_eq!(page.text("document.getElementById('warnings').textContent"), "");
    page.value("dispatchEvent(new StorageEvent('storage', { key: STORE }))");
    assert!(page.warnings().contains("another tab"), "{}", page.warnings());
}
