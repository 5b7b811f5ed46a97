//! How far the work is, on a terminal or in plain lines.

use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::{Deserialize, Serialize};

use crate::timeline::SettledFrame;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(super) enum ProgressChoice {
    /// A bar on a terminal, nothing otherwise.
    #[default]
    Auto,
    /// A bar.
    Bar,
    /// A line every few seconds.
    Plain,
    /// Nothing.
    None,
}

/// Time between plain lines.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Tells a person how far one video is.
pub(super) enum Progress {
    Bar(ProgressBar),
    Plain { name: String, started: Instant, told: Instant, frames: Option<u64> },
    None,
}

impl Progress {
    pub(super) fn new(choice: ProgressChoice, name: &str, frames: Option<u64>) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        match choice {
            ProgressChoice::Auto if !is_terminal => Self::None,
            ProgressChoice::None => Self::None,
            ProgressChoice::Plain => {
                let now = Instant::now();
                Self::Plain { name: name.into(), started: now, told: now, frames }
            }
            ProgressChoice::Auto | ProgressChoice::Bar => {
                let (bar, template) = match frames {
                    Some(frames) => {
                        (ProgressBar::new(frames), "{prefix} {wide_bar} {pos}/{len} frames  {msg}  {eta} left")
                    }
                    None => (ProgressBar::new_spinner(), "{prefix} {spinner} {pos} frames  {msg}"),
                };
                bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
                if let Ok(style) = ProgressStyle::with_template(template) {
                    bar.set_style(style);
                }
                bar.set_prefix(name.chars().filter(|c| !c.is_control()).collect::<String>());
                Self::Bar(bar)
            }
        }
    }

    /// A frame is finished.
    pub(super) fn frame(&mut self, frame: &SettledFrame) {
        let done = frame.frame as u64 + 1;
        match self {
            Self::Bar(bar) => {
                bar.set_position(done);
                bar.set_message(speed(done, frame.time_s, bar.elapsed()));
            }
            Self::Plain { name, started, told, frames } => {
                if told.elapsed() >= LINE_EVERY {
                    *told = Instant::now();
                    let of = frames.map(|f| format!("/{f}")).unwrap_or_default();
                    talk!("{name}: {done}{of} frames, {}", speed(done, frame.time_s, started.elapsed()));
                }
            }
            Self::None => {}
        }
    }

    pub(super) fn finish(self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// Tells a person how far a corpus is; the sizes of the files stand for the work they make.
pub(super) struct CorpusProgress {
    shown: Presentation,
    started: Instant,
    items: usize,
    bytes: u64,
    state: Mutex<ProgressState>,
}

enum Presentation {
    Bar(ProgressBar),
    Plain,
    None,
}

struct ProgressState {
    bytes: f64,
    ended: usize,
    failed: usize,
    told: Instant,
}

impl CorpusProgress {
    /// For so many files of so many bytes together.
    pub(super) fn new(choice: ProgressChoice, items: usize, bytes: u64) -> Self {
        let shown = match choice {
            ProgressChoice::Auto if !std::io::stderr().is_terminal() => Presentation::None,
            ProgressChoice::None => Presentation::None,
            ProgressChoice::Plain => Presentation::Plain,
            ProgressChoice::Auto | ProgressChoice::Bar => {
                let length = if bytes > 0 { bytes } else { items as u64 };
                let bar = ProgressBar::new(length).with_message(format!("0/{items}"));
                bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
                if let Ok(style) = ProgressStyle::with_template("{wide_bar} {percent} %  {msg}  {eta} left") {
                    bar.set_style(style);
                }
                Presentation::Bar(bar)
            }
        };
        let now = Instant::now();
        let state = Mutex::new(ProgressState { bytes: 0.0, ended: 0, failed: 0, told: now });
        Self { shown, started: now, items, bytes, state }
    }

    /// Work on a file of so many bytes begins.
    pub(super) fn begin(&self, bytes: u64) -> PartProgress<'_> {
        PartProgress { of: self, bytes: bytes as f64, told: 0.0, a_frame: 0.0 }
    }

    /// A line between the bars.
    pub(super) fn say(&self, line: &str) {
        match &self.shown {
            Presentation::Bar(bar) => bar.suspend(|| talk!("annotate: {line}")),
            _ => talk!("annotate: {line}"),
        }
    }

    fn advance(&self, bytes: f64, ended: Option<bool>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.bytes += bytes;
        state.ended += usize::from(ended.is_some());
        state.failed += usize::from(ended == Some(false));
        let (items, failed) = (self.items, state.failed);
        let failed = if failed > 0 { format!(", {failed} not complete") } else { String::new() };
        let message = format!("{}/{items}{failed}", state.ended);
        match &self.shown {
            Presentation::Bar(bar) => {
                bar.set_position(if self.bytes > 0 { state.bytes as u64 } else { state.ended as u64 });
                if ended.is_some() {
                    bar.set_message(message);
                }
            }
            Presentation::Plain if state.told.elapsed() >= LINE_EVERY => {
                state.told = Instant::now();
                let share =
                    if self.bytes > 0 { state.bytes / self.bytes as f64 } else { state.ended as f64 / items as f64 };
                let left_s = self.started.elapsed().as_secs_f64() * (1.0 / share.max(1e-6) - 1.0);
                talk!("{message}, {:.1} %, {left_s:.0} s left", 100.0 * share);
            }
            _ => {}
        }
    }

    pub(super) fn finish(&self) {
        if let Presentation::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

/// How far one file of a corpus is.
pub(super) struct PartProgress<'a> {
    of: &'a CorpusProgress,
    bytes: f64,
    told: f64,
    /// Bytes a frame stands for.
    a_frame: f64,
}

impl PartProgress<'_> {
    /// The file has so many frames.
    pub(super) fn opened(&mut self, frames: Option<u64>) {
        self.a_frame = frames.filter(|frames| *frames > 0).map_or(0.0, |frames| self.bytes / frames as f64);
    }

    /// A frame is finished.
    pub(super) fn frame(&mut self) {
        let step = self.a_frame.min(self.bytes - self.told);
        self.told += step;
        if step > 0.0 {
            self.of.advance(step, None);
        }
    }

    /// The file is finished, completely or not.
    pub(super) fn end(&mut self, is_complete: bool) {
        self.of.advance(self.bytes - self.told, Some(is_complete));
        self.told = self.bytes;
    }
}

/// Frames a second, and media time over wall time.
fn speed(frames: u64, media_s: f64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(1e-3);
    format!("{:.0} frames/s, {:.1}x real time", frames as f64 / seconds, media_s / seconds)
}
