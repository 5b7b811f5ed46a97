//! How far the work is, on a terminal or in plain lines.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::{Deserialize, Serialize};

use crate::annotate::Row;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum ProgressChoice {
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
    pub(super) fn frame(&mut self, row: &Row) {
        let done = row.frame as u64 + 1;
        match self {
            Self::Bar(bar) => {
                bar.set_position(done);
                bar.set_message(speed(done, row.time_s, bar.elapsed()));
            }
            Self::Plain { name, started, told, frames } => {
                if told.elapsed() >= LINE_EVERY {
                    *told = Instant::now();
                    let of = frames.map(|f| format!("/{f}")).unwrap_or_default();
                    anstream::eprintln!("{name}: {done}{of} frames, {}", speed(done, row.time_s, started.elapsed()));
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

/// Frames a second, and media time over wall time.
fn speed(frames: u64, media_s: f64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(1e-3);
    format!("{:.0} frames/s, {:.1}x real time", frames as f64 / seconds, media_s / seconds)
}
