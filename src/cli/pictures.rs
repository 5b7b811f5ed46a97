//! `annotate pictures`: answers another program's questions about pictures, over pipes. The Python package asks here.
//!
//! A question is one line of JSON and then the samples, 8 bits each, row by row, channels interleaved:
//!
//! ```text
//! {"do":"classify","count":16,"width":112,"height":112,"channels":3}    pictures of faces, cut out already
//! {"do":"detect","width":1280,"height":720,"channels":1,"min_face":0.1}    one whole picture
//! ```
//!
//! The answer is one line of JSON: `{"probabilities":BYTES,"compute_s":S}` and then so many bytes, seven little-endian 32-bit
//! floats a picture in the classes' order; or `{"faces":[{"box":[x,y,w,h],"score":S,"roll_degrees":R}],"compute_s":S}`, boxes
//! in pixels; or `{"error":"..."}`. The program ends with its input.

use std::io::{self, BufRead, Read, Write};
use std::time::Instant;

use clap::Args;
use rayon::{ThreadPool, ThreadPoolBuilder};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Failure;
use super::settings::Options;
use super::shared::{self, AnnotationArguments, ExecutionArguments};
use crate::model::Model;
use crate::picture::{Colours, Plane};
use crate::pipeline::detect::{FaceDetector, SearchWindow};
use crate::timeline::Expression;
use crate::train::dataset::{Example, ImageSource, Picture};
use crate::train::loader::plain_pictures;

/// Arguments of `annotate pictures`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    annotation: AnnotationArguments,
    #[command(flatten)]
    execution: ExecutionArguments,
}

/// Longest line of a question, bytes.
const LONGEST_LINE: u64 = 4 << 10;
/// Most samples of one question, bytes; more are asked in several.
const MOST_SAMPLES: usize = 256 << 20;

/// Smallest face that is ever looked for, pixels, as in videos.
const LEAST_FACE: f32 = 8.0;

/// What is asked.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Question {
    Classify {
        count: usize,
        #[serde(flatten)]
        shape: QuestionForm,
    },
    Detect {
        #[serde(flatten)]
        shape: QuestionForm,
        /// Share of the picture's shorter side; the setting `min_face` if not given.
        min_face: Option<f32>,
    },
}

/// The form of every picture of a question.
#[derive(Debug, Clone, Copy, Deserialize)]
struct QuestionForm {
    width: usize,
    height: usize,
    /// 1 for grey, 3 for red, green, blue.
    channels: usize,
}

impl QuestionForm {
    fn colours(self) -> Option<Colours> {
        [Colours::Luma, Colours::Rgb].into_iter().find(|colours| colours.count() == self.channels)
    }

    /// Samples of `count` pictures.
    fn samples(self, count: usize) -> Option<usize> {
        let row = self.width.checked_mul(self.channels)?;
        row.checked_mul(self.height)?.checked_mul(count).filter(|samples| *samples <= MOST_SAMPLES)
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    arguments.execution.init_logging();
    let mut options = shared::options(Some(&arguments.annotation), Some(&arguments.execution), Default::default())?;
    let device = options.device.open()?;
    let model = shared::open_model(&mut options, &device)?.alone();
    let detector = shared::open_detectors(&mut options)?.make().map_err(anyhow::Error::from)?;
    let pool = ThreadPoolBuilder::new().num_threads(options.threads).build().map_err(anyhow::Error::from)?;
    let mut answerer = Answerer { model, detector, pool, options };
    answerer.answer_all(&mut io::stdin().lock(), &mut io::stdout().lock())
}

struct Answerer {
    model: Model,
    detector: Box<dyn FaceDetector>,
    pool: ThreadPool,
    options: Options,
}

impl Answerer {
    fn answer_all(&mut self, input: &mut impl BufRead, output: &mut impl Write) -> Result<(), Failure> {
        let unread = |e: io::Error| Failure::Input(format!("standard input: {e}"));
        let mut line = Vec::new();
        loop {
            line.clear();
            if input.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line).map_err(unread)? == 0 {
                return Ok(());
            }
            // Where a question is not understood, neither is where the next one begins.
            let question: Question = serde_json::from_slice(&line)
                .map_err(|e| Failure::Input(format!("standard input: no question about pictures: {e}")))?;
            let (shape, count) = match &question {
                Question::Classify { shape, count } => (*shape, *count),
                Question::Detect { shape, .. } => (*shape, 1),
            };
            let size = shape.samples(count).ok_or_else(|| {
                Failure::Limit(format!("standard input: more than {MOST_SAMPLES} samples in one question"))
            })?;
            let mut samples = vec![0; size];
            input.read_exact(&mut samples).map_err(unread)?;
            let started = Instant::now();
            let (mut answer, bytes) = match self.answer(&question, samples) {
                Ok(answer) => answer,
                Err(reason) => (json!({ "error": reason }), Vec::new()),
            };
            answer["compute_s"] = json!(started.elapsed().as_secs_f64());
            let sent =
                writeln!(output, "{answer}").and_then(|()| output.write_all(&bytes)).and_then(|()| output.flush());
            match sent {
                // Whoever asked has gone.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                Err(error) => return Err(Failure::Output(format!("standard output: {error}"))),
                Ok(()) => {}
            }
        }
    }

    fn answer(&mut self, question: &Question, samples: Vec<u8>) -> Result<(Value, Vec<u8>), String> {
        match *question {
            Question::Classify { shape, count } => {
                let bytes = self.probabilities(&samples, shape, count)?;
                Ok((json!({ "probabilities": bytes.len() }), bytes))
            }
            Question::Detect { shape, min_face } => Ok((self.faces(samples, shape, min_face)?, Vec::new())),
        }
    }

    /// Pictures pass where `annotate evaluate`'s do.
    fn probabilities(&self, samples: &[u8], shape: QuestionForm, count: usize) -> Result<Vec<u8>, String> {
        let colours = check(shape)?;
        let (model, input) = (&self.model, &self.model.config().input);
        let size = shape.samples(1).unwrap_or(0);
        let example = |(row, samples): (usize, &[u8])| Example {
            row,
            source: ImageSource::Kept(
                Picture::new(samples.to_vec(), colours, shape.width, shape.height).in_colours(input.colours),
            ),
            target: [0.0; Expression::COUNT],
            label: None,
            weight: 1.0,
        };
        let examples: Vec<Example> = samples.chunks_exact(size).take(count).enumerate().map(example).collect();
        let mut bytes = Vec::with_capacity(count * Expression::COUNT * size_of::<f32>());
        for batch in examples.chunks(self.options.batch_size) {
            let batch: Vec<&Example> = batch.iter().collect();
            let given = self.pool.install(|| {
                let pictures = plain_pictures(&batch, input.side, input.colours).map_err(|e| e.to_string())?;
                model.probabilities(pictures).map_err(|e| e.to_string())
            })?;
            bytes.extend(given.iter().flatten().flat_map(|p| p.to_le_bytes()));
        }
        Ok(bytes)
    }

    fn faces(&mut self, samples: Vec<u8>, shape: QuestionForm, min_face: Option<f32>) -> Result<Value, String> {
        let picture = Picture::new(samples, check(shape)?, shape.width, shape.height).in_colours(Colours::Luma);
        let luma = Plane { samples: picture.samples(), stride: shape.width, width: shape.width, height: shape.height };
        let share = min_face.unwrap_or(self.options.annotation.track.min_face);
        if !(share > 0.0 && share <= 1.0) {
            return Err(format!("min_face {share} is not above 0 and at most 1"));
        }
        let smallest = (share * shape.width.min(shape.height) as f32).max(LEAST_FACE);
        let faces = self.detector.detect(&luma, &SearchWindow::whole(&luma, smallest));
        let face = |found: &crate::pipeline::detect::Detection| {
            let b = found.face;
            json!({"box": [b.x, b.y, b.w, b.h], "score": found.score, "roll_degrees": found.roll_degrees})
        };
        Ok(json!({ "faces": faces.iter().map(face).collect::<Vec<_>>() }))
    }
}

fn check(shape: QuestionForm) -> Result<Colours, String> {
    if shape.width == 0 || shape.height == 0 {
        return Err(format!("a picture of {} x {} pixels shows nothing", shape.width, shape.height));
    }
    shape
        .colours()
        .ok_or_else(|| format!("{} channels; 1 (grey) or 3 (red, green, blue) are understood", shape.channels))
}
