//! `annotate pictures`: another program asks about pictures over pipes, as the Python package does.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use annotate::Device;
use annotate::model::registry;
use annotate::timeline::BoundingBox;
use serde_json::{Value, json};

use crate::material::{ffmpeg, program};

struct Asked {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Asked {
    fn start(arguments: &[&str]) -> Self {
        let mut command = program();
        command.arg("pictures").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (questions, answers) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, questions, answers }
    }

    fn ask(&mut self, question: &Value, samples: &[u8]) -> Value {
        let to = self.questions.as_mut().unwrap();
        writeln!(to, "{question}").and_then(|()| to.write_all(samples)).unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn probabilities(&mut self, question: &Value, samples: &[u8]) -> Vec<[f32; 7]> {
        let answer = self.ask(question, samples);
        let mut bytes = vec![0; answer["probabilities"].as_u64().unwrap() as usize];
        self.answers.read_exact(&mut bytes).unwrap();
        let floats: Vec<f32> = bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        floats.chunks_exact(7).map(|row| row.try_into().unwrap()).collect()
    }

    /// Ends the questions; the exit code and what was said.
    fn end(mut self) -> (Option<i32>, String) {
        drop(self.questions.take());
        let output = self.child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }
}

/// Pictures that differ from each other, `side` pixels wide and high.
fn pictures(count: usize, side: usize) -> Vec<u8> {
    (0..count * side * side).map(|i| ((i * 31 + i / side * 17 + i / (side * side) * 53) % 251) as u8).collect()
}

#[test]
fn faces_are_classified_as_the_library_does_it_whatever_the_batch() {
    let model = registry::open(Path::new(registry::DEFAULT), &Device::Cpu).unwrap();
    let side = model.config().input.side;
    let samples = pictures(5, side);
    let expected = model.probabilities(samples.iter().map(|v| f32::from(*v)).collect()).unwrap();
    let question = json!({"do": "classify", "count": 5, "width": side, "height": side, "channels": 1});
    for batch in ["1", "16"] {
        let mut asked = Asked::start(&["--batch-size", batch]);
        assert_eq!(asked.probabilities(&question, &samples), expected);
        // The process stays, and answers again.
        let one = json!({"do": "classify", "count": 1, "width": side, "height": side, "channels": 1});
        assert_eq!(asked.probabilities(&one, &samples[..side * side]), expected[..1]);
        assert_eq!(asked.end(), (Some(0), String::new()));
    }
}

#[test]
fn grey_pictures_are_the_same_in_three_channels_and_no_picture_is_none() {
    let samples = pictures(2, 60);
    let in_colour: Vec<u8> = samples.iter().flat_map(|v| [*v; 3]).collect();
    let mut asked = Asked::start(&[]);
    let grey =
        asked.probabilities(&json!({"do": "classify", "count": 2, "width": 60, "height": 60, "channels": 1}), &samples);
    let colour = asked
        .probabilities(&json!({"do": "classify", "count": 2, "width": 60, "height": 60, "channels": 3}), &in_colour);
    assert_eq!(grey, colour);
    assert!(
        asked
            .probabilities(&json!({"do": "classify", "count": 0, "width": 9, "height": 9, "channels": 1}), &[])
            .is_empty()
    );
    assert_eq!(asked.end().0, Some(0));
}

#[test]
fn the_face_of_the_bundled_clip_is_found_where_it_was_put() {
    let folder = tempfile::tempdir().unwrap();
    let frame = folder.path().join("frame.gray");
    ffmpeg("-i assets/demo/demo.mp4 -frames:v 1 -pix_fmt gray -f rawvideo", &frame);
    let truth: Value = serde_json::from_slice(&std::fs::read("assets/demo/truth.json").unwrap()).unwrap();
    let truth: BoundingBox = serde_json::from_value(truth["faces"][0].clone()).unwrap();
    let mut asked = Asked::start(&[]);
    let question = json!({"do": "detect", "width": 1280, "height": 720, "channels": 1});
    let answer = asked.ask(&question, &std::fs::read(&frame).unwrap());
    let face: BoundingBox = serde_json::from_value(answer["faces"][0]["box"].clone()).unwrap();
    assert!(face.iou(&truth) > 0.5, "{answer}");
    // A face that must be as large as the picture is not there.
    let question = json!({"do": "detect", "width": 1280, "height": 720, "channels": 1, "min_face": 1.0});
    assert_eq!(asked.ask(&question, &std::fs::read(&frame).unwrap())["faces"], json!([]));
    assert_eq!(asked.end().0, Some(0));
}

#[test]
fn what_cannot_be_answered_is_refused_and_the_next_question_is_answered() {
    let mut asked = Asked::start(&[]);
    for (question, size, says) in [
        (json!({"do": "classify", "count": 1, "width": 4, "height": 4, "channels": 2}), 32, "2 channels"),
        (json!({"do": "detect", "width": 0, "height": 4, "channels": 1}), 0, "shows nothing"),
        (json!({"do": "detect", "width": 4, "height": 4, "channels": 1, "min_face": 0.0}), 16, "min_face"),
    ] {
        let answer = asked.ask(&question, &vec![0; size]);
        assert!(answer["error"].as_str().unwrap().contains(says), "{answer}");
    }
    let samples = pictures(1, 48);
    let question = json!({"do": "classify", "count": 1, "width": 48, "height": 48, "channels": 1});
    assert_eq!(asked.probabilities(&question, &samples).len(), 1);
    assert_eq!(asked.end().0, Some(0));
}

#[test]
fn a_question_that_would_fill_memory_or_means_nothing_ends_the_conversation() {
    for (question, code) in [
        (r#"{"do":"classify","count":99999999,"width":9999,"height":9999,"channels":3}"#, 7),
        (r#"{"do":"classify","count":18446744073709551615,"width":9999,"height":9999,"channels":3}"#, 7),
        (r#"{"do":"paint"}"#, 3),
        ("no json", 3),
        (r#"{"do":"detect","width":40,"height":40,"channels":1}"#, 3),
    ] {
        let mut asked = Asked::start(&[]);
        // It may have gone before all is written.
        let _ = writeln!(asked.questions.as_mut().unwrap(), "{question}");
        let (found, talk) = asked.end();
        assert_eq!(found, Some(code), "{question}: {talk}");
        assert!(talk.starts_with("annotate: standard input: "), "{talk}");
    }
}
