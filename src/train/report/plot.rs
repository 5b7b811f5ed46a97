//! Plots as SVG elements.

use std::fmt::Write as _;

use super::document::escaped;
use crate::palette::colour_of;
use crate::timeline::Expression;
use crate::train::metrics::{Confusion, ReliabilityBin};
use crate::train::progress::EpochRecord;

/// What lines are drawn in: Okabe and Ito's blue, vermillion, green, purple, orange, sky blue, black.
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#222222"];

/// A rectangle in which values are drawn.
struct Axes {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
    x: [f64; 2],
    y: [f64; 2],
}

impl Axes {
    fn place(&self, x: f64, y: f64) -> (f64, f64) {
        let share = |value: f64, [low, high]: [f64; 2]| (value - low) / (high - low).max(1e-12);
        let y = 1.0 - share(y, self.y).clamp(0.0, 1.0);
        (self.left + self.width * share(x, self.x), self.top + self.height * y)
    }

    /// The frame with its ticks, and what the axes show.
    fn frame(&self, title: &str, x_name: &str, tick: impl Fn(f64) -> String) -> String {
        let Self { left, top, width, height, x, y } = self;
        let mut svg = format!(
            "<rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" fill=\"none\" stroke=\"#999\"/>\
             <text x=\"{left}\" y=\"{}\" font-weight=\"bold\">{}</text>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            top - 8.0,
            escaped(title),
            left + width / 2.0,
            top + height + 32.0,
            escaped(x_name)
        );
        for step in 0..=4 {
            let value = y[0] + (y[1] - y[0]) * f64::from(step) / 4.0;
            let (_, at) = self.place(x[0], value);
            let _ = write!(
                svg,
                "<path d=\"M{left} {at:.1}h{width}\" stroke=\"#eee\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                left - 5.0,
                at + 4.0,
                tick(value)
            );
        }
        svg
    }

    fn line(&self, points: impl Iterator<Item = (f64, f64)>, colour: &str, is_dashed: bool) -> String {
        let points: Vec<String> = points
            .filter(|(x, y)| x.is_finite() && y.is_finite())
            .map(|(x, y)| self.place(x, y))
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let dashes = if is_dashed { " stroke-dasharray=\"4 3\"" } else { "" };
        format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\"{dashes}/>",
            points.join(" ")
        )
    }
}

fn svg(width: f64, height: f64, name: &str, content: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\" aria-label=\"{}\">{content}</svg>",
        escaped(name)
    )
}

/// Losses and accuracies over the epochs of runs, each by its name.
pub fn curves(runs: &[(String, &[EpochRecord])]) -> String {
    let records = || runs.iter().flat_map(|(_, history)| history.iter());
    let last = records().map(|r| r.epoch).max().unwrap_or(1) as f64;
    let losses = records().flat_map(|r| [r.training_loss, r.validation_loss]).filter(|loss| loss.is_finite());
    let highest = losses.fold(0.1, f64::max);
    let axes =
        |left: f64, y: [f64; 2]| Axes { left, top: 30.0, width: 340.0, height: 200.0, x: [1.0, last.max(2.0)], y };
    let (loss, accuracy) = (axes(50.0, [0.0, highest]), axes(460.0, [0.0, 1.0]));
    let mut content = loss.frame("Loss (dashed: training)", "epoch", |value| format!("{value:.2}"));
    content += &accuracy.frame("Validation accuracy (dashed: balanced)", "epoch", |v| format!("{:.0} %", 100.0 * v));
    for axes in [&loss, &accuracy] {
        for (epoch, anchor) in [(1.0, "start"), (last, "end")] {
            let (x, y) = axes.place(epoch, axes.y[0]);
            let _ = write!(content, "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{epoch}</text>", y + 16.0);
        }
    }
    for (place, (name, history)) in runs.iter().enumerate() {
        let colour = COLOURS[place % COLOURS.len()];
        let points = |value: fn(&EpochRecord) -> f64| history.iter().map(move |r| (r.epoch as f64, value(r)));
        content += &loss.line(points(|r| r.training_loss), colour, true);
        content += &loss.line(points(|r| r.validation_loss), colour, false);
        content += &accuracy.line(points(|r| r.validation_balanced_accuracy), colour, true);
        content += &accuracy.line(points(|r| r.validation_accuracy), colour, false);
        if !name.is_empty() {
            let (x, y) = (60.0 + 110.0 * (place % 7) as f64, 280.0 + 18.0 * (place / 7) as f64);
            let _ = write!(content, "<text x=\"{x}\" y=\"{y}\" style=\"fill:{colour}\">{}</text>", escaped(name));
        }
    }
    svg(820.0, 300.0 + 18.0 * (runs.len() / 7) as f64, "Learning curves", &content)
}

/// The confusion, each row in shares of the truth.
pub fn matrix(confusion: &Confusion) -> String {
    const CELL: f64 = 62.0;
    let mut content = "<text x=\"100\" y=\"16\" font-weight=\"bold\">Confusion (shares of each row)</text>".to_owned();
    for (row, counts) in confusion.iter().enumerate() {
        let name = Expression::ALL[row].name();
        let y = 46.0 + CELL * row as f64;
        let _ = write!(content, "<text x=\"94\" y=\"{}\" text-anchor=\"end\">{name}</text>", y + CELL / 2.0 + 4.0);
        let x = 100.0 + CELL * (row as f64 + 0.5);
        let _ = write!(content, "<text x=\"{x}\" y=\"38\" text-anchor=\"middle\">{name}</text>");
        let sum = counts.iter().sum::<u64>().max(1) as f64;
        for (column, count) in counts.iter().enumerate() {
            let share = *count as f64 / sum;
            let colour = if row == column { "0,114,178" } else { "213,94,0" };
            let x = 100.0 + CELL * column as f64;
            let _ = write!(
                content,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{CELL}\" height=\"{CELL}\" stroke=\"#ddd\" \
                 fill=\"rgba({colour},{:.3})\"/><text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{:.0} %</text>",
                0.8 * share,
                x + CELL / 2.0,
                y + CELL / 2.0 + 4.0,
                100.0 * share
            );
        }
    }
    svg(110.0 + 7.0 * CELL, 56.0 + 7.0 * CELL, "Confusion", &content)
}

/// Accuracy over confidence; the area of a point goes with the number of its images.
pub fn reliability(bins: &[ReliabilityBin]) -> String {
    let axes = Axes { left: 50.0, top: 30.0, width: 260.0, height: 260.0, x: [0.0, 1.0], y: [0.0, 1.0] };
    let mut content = axes.frame("Reliability", "confidence: 0 to 1; above: accuracy", |v| format!("{v:.2}"));
    content += &axes.line([(0.0, 0.0), (1.0, 1.0)].into_iter(), "#999999", true);
    content += &axes.line(bins.iter().map(|bin| (bin.confidence, bin.accuracy)), COLOURS[0], false);
    let most = bins.iter().map(|bin| bin.images).max().unwrap_or(1) as f64;
    for bin in bins {
        let (x, y) = axes.place(bin.confidence, bin.accuracy);
        let radius = 2.0 + 7.0 * (bin.images as f64 / most).sqrt();
        let _ = write!(
            content,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\" fill=\"{}\" fill-opacity=\"0.6\"><title>{} images</title></circle>",
            COLOURS[0], bin.images
        );
    }
    svg(330.0, 340.0, "Reliability", &content)
}

/// A share at a size, with its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// The size.
    pub size: f64,
    /// The share.
    pub share: f64,
    /// How sure it is.
    pub interval: [f64; 2],
}

/// Shares over sizes, with an interval about each point; sizes lie as their logarithms do, 0 at the left.
pub fn rising(title: &str, x_name: &str, series: &[(&str, Vec<Measured>)]) -> String {
    let points = || series.iter().flat_map(|(_, points)| points);
    let least = points().map(|point| point.size).filter(|size| *size > 0.0).fold(f64::INFINITY, f64::min).min(1e9);
    // The start stands a doubling ahead of the smallest size.
    let at = |x: f64| if x > 0.0 { (x / least).log2() + 1.0 } else { 0.0 };
    let last = points().map(|point| at(point.size)).fold(1.0, f64::max);
    let values = || points().flat_map(|p| [p.share, p.interval[0], p.interval[1]]).filter(|y| y.is_finite());
    let low = (values().fold(1.0, f64::min) * 20.0).floor() / 20.0;
    let high = (values().fold(0.0, f64::max) * 20.0).ceil() / 20.0;
    let axes = Axes {
        left: 50.0,
        top: 30.0,
        width: 560.0,
        height: 240.0,
        x: [-0.3, last + 0.3],
        y: [low, high.max(low + 0.05)],
    };
    let mut content = axes.frame(title, x_name, |v| format!("{:.0} %", 100.0 * v));
    if let Some((_, points)) = series.first() {
        for Measured { size: x, .. } in points {
            let (place, bottom) = axes.place(at(*x), axes.y[0]);
            let _ =
                write!(content, "<text x=\"{place:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{x}</text>", bottom + 16.0);
        }
    }
    for (place, (name, points)) in series.iter().enumerate() {
        let colour = COLOURS[place % COLOURS.len()];
        // Side by side, so that intervals do not cover each other.
        let beside = 0.08 * (place as f64 - (series.len() as f64 - 1.0) / 2.0);
        content += &axes.line(points.iter().map(|point| (at(point.size) + beside, point.share)), colour, false);
        for Measured { size: x, share: y, interval: [low, high] } in points {
            let ((left, top), (_, bottom)) = (axes.place(at(*x) + beside, *high), axes.place(at(*x) + beside, *low));
            let (_, middle) = axes.place(0.0, *y);
            let _ = write!(
                content,
                "<path d=\"M{left:.1} {top:.1}V{bottom:.1}\" stroke=\"{colour}\" stroke-opacity=\"0.5\"/>\
                 <circle cx=\"{left:.1}\" cy=\"{middle:.1}\" r=\"3\" fill=\"{colour}\"/>"
            );
        }
        let x = 60.0 + 160.0 * place as f64;
        let _ = write!(content, "<text x=\"{x}\" y=\"322\" style=\"fill:{colour}\">{}</text>", escaped(name));
    }
    svg(630.0, 332.0, title, &content)
}

/// Shares by name as bars, each class's in its colour where `names` are those of the classes.
pub fn bars(title: &str, names: &[String], values: &[f64]) -> String {
    let axes = Axes { left: 50.0, top: 30.0, width: 620.0, height: 180.0, x: [0.0, names.len() as f64], y: [0.0, 1.0] };
    let mut content = axes.frame(title, "", |v| format!("{:.0} %", 100.0 * v));
    for (place, (name, value)) in names.iter().zip(values).enumerate() {
        let colour = Expression::from_name(name).map_or(COLOURS[0].to_owned(), |class| colour_of(class).hex());
        let (left, top) = axes.place(place as f64 + 0.2, *value);
        let (right, bottom) = axes.place(place as f64 + 0.8, 0.0);
        let middle = (left + right) / 2.0;
        let _ = write!(
            content,
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>\
             <text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{:.1}</text>\
             <text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            right - left,
            bottom - top,
            top - 4.0,
            100.0 * value,
            bottom + 16.0,
            escaped(name)
        );
    }
    svg(690.0, 250.0, title, &content)
}
