//! The rooms of the house stand on floors: a room imports from its own floor's rooms never, from lower floors only.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The floors from the ground up. A room may import itself and every room on a lower floor.
const FLOORS: &[&[&str]] = &[
    &["choice", "page", "platform", "vectors"],
    &["time", "random", "files", "picture", "allocator"],
    &["timeline", "kernels"],
    &["palette", "statistics"],
    &["infer"],
    &["nn"],
    &["model"],
    &["pipeline"],
    &["write", "encode"],
    &["eaf", "overlay"],
    &["sink"],
    &["train", "agree", "annotator"],
    &["review"],
    &["corpus"],
    &["adapt"],
    &["cli"],
];

/// Material for tests, which every room's tests may use.
const TEST_MATERIAL: &str = "sample";

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => rust_files(&path, found),
            false if path.extension().is_some_and(|extension| extension == "rs") => found.push(path),
            false => {}
        }
    }
}

/// The rooms that a file names after `crate::`, outside comments, with the line of each.
fn imports(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for after in code.split("crate::").skip(1) {
            let names: Vec<&str> = match after.strip_prefix('{') {
                // `use crate::{a, b::C}`
                Some(list) => list.split([',', '}']).map(str::trim).collect(),
                None => vec![after],
            };
            for name in names {
                let room: String = name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if !room.is_empty() {
                    found.push((number + 1, room));
                }
            }
        }
    }
    found
}

#[test]
fn every_room_imports_only_from_rooms_below_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let floors: BTreeMap<&str, usize> =
        FLOORS.iter().enumerate().flat_map(|(floor, rooms)| rooms.iter().map(move |room| (*room, floor))).collect();
    let mut files = Vec::new();
    rust_files(&source, &mut files);
    let mut faults = Vec::new();
    for path in files {
        let inside = path.strip_prefix(&source).unwrap();
        let room = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if matches!(room, "lib" | "main" | TEST_MATERIAL) {
            continue;
        }
        let Some(own) = floors.get(room) else {
            faults.push(format!("{}: '{room}' stands on no floor; give it one here", inside.display()));
            continue;
        };
        for (line, import) in imports(&fs::read_to_string(&path).unwrap()) {
            let below = floors.get(import.as_str()).is_some_and(|floor| floor < own);
            if import != room && import != TEST_MATERIAL && !below {
                faults.push(format!("{}:{line}: '{room}' imports '{import}', which is not below it", inside.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{} imports go up or sideways:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn the_reading_of_imports_sees_lists_and_passes_over_comments() {
    let text = "use crate::timeline::X;\nuse crate::{eaf, files::put};\n// crate::cli\nlet a = crate::model::b();";
    let rooms: Vec<String> = imports(text).into_iter().map(|(_, room)| room).collect();
    assert_eq!(rooms, ["timeline", "eaf", "files", "model"]);
}
