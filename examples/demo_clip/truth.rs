//! The truth about the clip, as JSON with one line for each span.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::composite::Composite;
use crate::scene::{FRAME_RATE, HEIGHT, Scene, Shown, WIDTH};

/// Writes the truth about the clip. The spans follow each other without gaps. `label` is null except in held spans;
/// `start_s` and `end_s` are the start of the first and the end of the last frame. `faces` has one entry for each
/// frame: the square `[x, y, w, h]` that the face fills, or null if it is absent.
pub fn write(path: &Path, scene: &Scene, composites: &[Composite], seed: u64) -> Result<()> {
    let faces: Vec<Value> = (0..scene.frames())
        .map(|index| match scene.shown(index) {
            Shown::Absent => Value::Null,
            _ => json!(scene.face(index).map(|pixels| (f64::from(pixels) * 10.0).round() / 10.0)),
        })
        .collect();
    let composites: Vec<Value> = composites
        .iter()
        .map(|composite| {
            json!({
                "label": composite.expression, "pictures": composite.pictures,
                "candidates": composite.candidates, "least_votes_of_ten": composite.least_votes,
            })
        })
        .collect();
    let fields: [(&str, Value); 11] = [
        ("schema", json!("annotate/demo-truth/1")),
        ("video", json!("demo.mp4")),
        ("made_by", json!("cargo run --example demo_clip")),
        ("seed", json!(seed)),
        ("width", json!(WIDTH)),
        ("height", json!(HEIGHT)),
        ("frame_rate", json!([FRAME_RATE, 1])),
        ("frames", json!(scene.frames())),
        ("composites", Value::Array(composites)),
        ("spans", Value::Array(spans(scene))),
        ("faces", Value::Array(faces)),
    ];
    let lines: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\": {}", laid_out(value))).collect();
    let text = format!("{{\n{}\n}}\n", lines.join(",\n"));
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// JSON with one line for each entry if the value is a list of objects, and on one line otherwise.
fn laid_out(value: &Value) -> String {
    match value {
        Value::Array(entries) if entries.iter().all(Value::is_object) => {
            let lines: Vec<String> = entries.iter().map(|entry| format!("  {entry}")).collect();
            format!("[\n{}\n]", lines.join(",\n"))
        }
        other => other.to_string(),
    }
}

fn spans(scene: &Scene) -> Vec<Value> {
    let mut spans = Vec::new();
    let mut first = 0;
    for next in 1..=scene.frames() {
        let shown = scene.shown(first);
        if next < scene.frames() && scene.shown(next) == shown {
            continue;
        }
        let (kind, label, from, to) = match shown {
            Shown::Held(label) => ("held", Some(label), None, None),
            Shown::Fading(from, to) => ("fade", None, Some(from), Some(to)),
            Shown::Cut => ("cut", None, None, None),
            Shown::Absent => ("absent", None, None, None),
        };
        let mut span = json!({
            "kind": kind, "label": label, "first_frame": first, "last_frame": next - 1,
            "start_s": first as f64 / FRAME_RATE as f64, "end_s": next as f64 / FRAME_RATE as f64,
        });
        if let (Some(from), Some(to)) = (from, to) {
            span["from"] = json!(from);
            span["to"] = json!(to);
        }
        spans.push(span);
        first = next;
    }
    spans
}
