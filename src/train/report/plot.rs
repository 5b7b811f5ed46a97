//! Plots as SVG elements.

use maud::{Markup, html};

use crate::page::printable;
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
    /// The position of a pair of values, pixels; a value beyond the vertical axis is drawn at its end.
    fn position(&self, x: f64, y: f64) -> (f64, f64) {
        let share = |value: f64, [low, high]: [f64; 2]| (value - low) / (high - low).max(1e-12);
        let y = 1.0 - share(y, self.y).clamp(0.0, 1.0);
        (self.left + self.width * share(x, self.x), self.top + self.height * y)
    }

    /// The frame with its ticks, and what the axes show.
    fn frame(&self, title: &str, x_name: &str, tick: impl Fn(f64) -> String) -> Markup {
        let Self { left, top, width, height, x, y } = self;
        let ticks = (0..=4).map(|step| y[0] + (y[1] - y[0]) * f64::from(step) / 4.0);
        html! {
            rect x=(left) y=(top) width=(width) height=(height) fill="none" stroke="#999" {}
            text x=(left) y=(top - 8.0) font-weight="bold" { (printable(title)) }
            text x=(left + width / 2.0) y=(top + height + 32.0) text-anchor="middle" { (printable(x_name)) }
            @for value in ticks {
                @let at = self.position(x[0], value).1;
                path d=(format!("M{left} {at:.1}h{width}")) stroke="#eee" {}
                text x=(left - 5.0) y=(pixels(at + 4.0)) text-anchor="end" { (tick(value)) }
            }
        }
    }

    fn line(&self, points: impl Iterator<Item = (f64, f64)>, colour: &str, is_dashed: bool) -> Markup {
        let points: Vec<String> = points
            .filter(|(x, y)| x.is_finite() && y.is_finite())
            .map(|(x, y)| self.position(x, y))
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        html! {
            polyline points=(points.join(" ")) fill="none" stroke=(colour) stroke-width="1.6"
                stroke-dasharray=[is_dashed.then_some("4 3")] {}
        }
    }
}

/// A length to a tenth of a pixel.
fn pixels(length: f64) -> String {
    format!("{length:.1}")
}

fn svg(width: f64, height: f64, name: &str, content: &Markup) -> Markup {
    html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox=(format!("0 0 {width} {height}")) width=(width) height=(height)
            role="img" aria-label=(printable(name)) { (content) }
    }
}

/// Losses and accuracies over the epochs of runs, each by its name.
pub fn curves(runs: &[(String, &[EpochRecord])]) -> Markup {
    let records = || runs.iter().flat_map(|(_, history)| history.iter());
    let last = records().map(|r| r.epoch).max().unwrap_or(1) as f64;
    let losses = records().flat_map(|r| [r.training_loss, r.validation_loss]).filter(|loss| loss.is_finite());
    let highest = losses.fold(0.1, f64::max);
    let axes =
        |left: f64, y: [f64; 2]| Axes { left, top: 30.0, width: 340.0, height: 200.0, x: [1.0, last.max(2.0)], y };
    let (loss, accuracy) = (axes(50.0, [0.0, highest]), axes(460.0, [0.0, 1.0]));
    let content = html! {
        (loss.frame("Loss (dashed: training)", "epoch", |value| format!("{value:.2}")))
        (accuracy.frame("Validation accuracy (dashed: balanced)", "epoch", |v| format!("{:.0} %", 100.0 * v)))
        @for axes in [&loss, &accuracy] {
            @for (epoch, anchor) in [(1.0, "start"), (last, "end")] {
                @let (x, y) = axes.position(epoch, axes.y[0]);
                text x=(pixels(x)) y=(pixels(y + 16.0)) text-anchor=(anchor) { (epoch) }
            }
        }
        @for (index, (name, history)) in runs.iter().enumerate() {
            (run_lines(&loss, &accuracy, index, name, history))
        }
    };
    svg(820.0, 300.0 + 18.0 * (runs.len() / 7) as f64, "Learning curves", &content)
}

/// The curves of one run, and its name where it has one.
fn run_lines(loss: &Axes, accuracy: &Axes, index: usize, name: &str, history: &[EpochRecord]) -> Markup {
    let colour = COLOURS[index % COLOURS.len()];
    let points = |value: fn(&EpochRecord) -> f64| history.iter().map(move |r| (r.epoch as f64, value(r)));
    html! {
        (loss.line(points(|r| r.training_loss), colour, true))
        (loss.line(points(|r| r.validation_loss), colour, false))
        (accuracy.line(points(|r| r.validation_balanced_accuracy), colour, true))
        (accuracy.line(points(|r| r.validation_accuracy), colour, false))
        @if !name.is_empty() {
            text x=(60.0 + 110.0 * (index % 7) as f64) y=(280.0 + 18.0 * (index / 7) as f64)
                style=(format!("fill:{colour}")) { (printable(name)) }
        }
    }
}

/// The confusion, each row in shares of the truth.
pub fn matrix(confusion: &Confusion) -> Markup {
    const CELL: f64 = 62.0;
    let content = html! {
        text x="100" y="16" font-weight="bold" { "Confusion (shares of each row)" }
        @for (row, counts) in confusion.iter().enumerate() {
            @let name = Expression::ALL[row].name();
            @let y = 46.0 + CELL * row as f64;
            @let sum = counts.iter().sum::<u64>().max(1) as f64;
            text x="94" y=(y + CELL / 2.0 + 4.0) text-anchor="end" { (name) }
            text x=(100.0 + CELL * (row as f64 + 0.5)) y="38" text-anchor="middle" { (name) }
            @for (column, count) in counts.iter().enumerate() {
                @let share = *count as f64 / sum;
                @let colour = if row == column { "0,114,178" } else { "213,94,0" };
                @let x = 100.0 + CELL * column as f64;
                rect x=(x) y=(y) width=(CELL) height=(CELL) stroke="#ddd"
                    fill=(format!("rgba({colour},{:.3})", 0.8 * share)) {}
                text x=(x + CELL / 2.0) y=(y + CELL / 2.0 + 4.0) text-anchor="middle" { (format!("{:.0} %", 100.0 * share)) }
            }
        }
    };
    svg(110.0 + 7.0 * CELL, 56.0 + 7.0 * CELL, "Confusion", &content)
}

/// Accuracy over confidence; the area of a point goes with the number of its images.
pub fn reliability(bins: &[ReliabilityBin]) -> Markup {
    let axes = Axes { left: 50.0, top: 30.0, width: 260.0, height: 260.0, x: [0.0, 1.0], y: [0.0, 1.0] };
    let most = bins.iter().map(|bin| bin.images).max().unwrap_or(1) as f64;
    let content = html! {
        (axes.frame("Reliability", "confidence: 0 to 1; above: accuracy", |v| format!("{v:.2}")))
        (axes.line([(0.0, 0.0), (1.0, 1.0)].into_iter(), "#999999", true))
        (axes.line(bins.iter().map(|bin| (bin.confidence, bin.accuracy)), COLOURS[0], false))
        @for bin in bins {
            @let (x, y) = axes.position(bin.confidence, bin.accuracy);
            circle cx=(pixels(x)) cy=(pixels(y)) r=(pixels(2.0 + 7.0 * (bin.images as f64 / most).sqrt()))
                fill=(COLOURS[0]) fill-opacity="0.6" { title { (bin.images) " images" } }
        }
    };
    svg(330.0, 340.0, "Reliability", &content)
}

/// A share at a size, with its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeasuredShare {
    /// The size.
    pub size: f64,
    /// The share.
    pub share: f64,
    /// How sure it is.
    pub interval: [f64; 2],
}

/// Shares over sizes, with an interval about each point; sizes lie as their logarithms do, 0 at the left.
pub fn rising(title: &str, x_name: &str, series: &[(&str, Vec<MeasuredShare>)]) -> Markup {
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
    let content = html! {
        (axes.frame(title, x_name, |v| format!("{:.0} %", 100.0 * v)))
        @if let Some((_, points)) = series.first() {
            @for point in points {
                @let (x, bottom) = axes.position(at(point.size), axes.y[0]);
                text x=(pixels(x)) y=(pixels(bottom + 16.0)) text-anchor="middle" { (point.size) }
            }
        }
        @for (index, (name, points)) in series.iter().enumerate() {
            @let colour = COLOURS[index % COLOURS.len()];
            // Side by side, so that intervals do not cover each other.
            @let beside = 0.08 * (index as f64 - (series.len() as f64 - 1.0) / 2.0);
            (axes.line(points.iter().map(|point| (at(point.size) + beside, point.share)), colour, false))
            @for MeasuredShare { size, share, interval: [low, high] } in points {
                @let (left, top) = axes.position(at(*size) + beside, *high);
                @let (_, bottom) = axes.position(0.0, *low);
                @let (_, middle) = axes.position(0.0, *share);
                path d=(format!("M{left:.1} {top:.1}V{bottom:.1}")) stroke=(colour) stroke-opacity="0.5" {}
                circle cx=(pixels(left)) cy=(pixels(middle)) r="3" fill=(colour) {}
            }
            text x=(60.0 + 160.0 * index as f64) y="322" style=(format!("fill:{colour}")) { (printable(name)) }
        }
    };
    svg(630.0, 332.0, title, &content)
}

/// A difference of two shares by name, with its interval.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedDifference {
    /// What it is of.
    pub name: String,
    /// The difference, as a share.
    pub difference: f64,
    /// How sure it is; an end that is not known may be infinite.
    pub interval: [f64; 2],
}

/// Differences one below the other, each as a point in its interval: what lies right of the line at 0 is a gain that is shown.
pub fn differences(title: &str, rows: &[NamedDifference]) -> Markup {
    const ROW: f64 = 24.0;
    let ends = rows.iter().flat_map(|row| [row.difference, row.interval[0], row.interval[1]]);
    let reach = ends.filter(|end| end.is_finite()).fold(0.05, |reach: f64, end| reach.max(end.abs())).min(1.0);
    let reach = (reach * 20.0).ceil() / 20.0;
    let height = ROW * rows.len() as f64;
    let axes = Axes { left: 160.0, top: 30.0, width: 480.0, height, x: [-reach, reach], y: [0.0, 1.0] };
    let at = |share: f64| axes.position(share.clamp(-reach, reach), 0.0).0;
    let bottom = axes.top + height;
    let content = html! {
        text x="0" y="16" font-weight="bold" { (printable(title)) }
        rect x=(axes.left) y=(axes.top) width=(axes.width) height=(height) fill="none" stroke="#999" {}
        @for step in -2..=2 {
            @let share = reach * f64::from(step) / 2.0;
            @let colour = if step == 0 { "#666" } else { "#eee" };
            path d=(format!("M{:.1} {:.1}v{height:.1}", at(share), axes.top)) stroke=(colour) {}
            text x=(pixels(at(share))) y=(pixels(bottom + 16.0)) text-anchor="middle" { (format!("{:+.0}", 100.0 * share)) }
        }
        text x=(axes.left + axes.width / 2.0) y=(pixels(bottom + 34.0)) text-anchor="middle" { "points, after less before; lines: 95 %" }
        @for (index, NamedDifference { name, difference, interval: [low, high] }) in rows.iter().enumerate() {
            @let y = axes.top + ROW * (index as f64 + 0.5);
            @let colour = if *low > 0.0 { COLOURS[2] } else if *high < 0.0 { COLOURS[1] } else { "#555" };
            text x=(axes.left - 8.0) y=(pixels(y + 4.0)) text-anchor="end" { (printable(name)) }
            path d=(format!("M{:.1} {y:.1}H{:.1}", at(*low), at(*high))) stroke=(colour) stroke-width="2" {}
            circle cx=(pixels(at(*difference))) cy=(pixels(y)) r="4.5" fill=(colour) {}
        }
    };
    svg(660.0, bottom + 44.0, title, &content)
}

/// Shares by name as bars, each class's in its colour where `names` are those of the classes.
pub fn bars(title: &str, names: &[String], values: &[f64]) -> Markup {
    let axes = Axes { left: 50.0, top: 30.0, width: 620.0, height: 180.0, x: [0.0, names.len() as f64], y: [0.0, 1.0] };
    let content = html! {
        (axes.frame(title, "", |v| format!("{:.0} %", 100.0 * v)))
        @for (index, (name, value)) in names.iter().zip(values).enumerate() {
            @let colour = Expression::from_name(name).map_or(COLOURS[0].to_owned(), |class| colour_of(class).hex());
            @let (left, top) = axes.position(index as f64 + 0.2, *value);
            @let (right, bottom) = axes.position(index as f64 + 0.8, 0.0);
            @let middle = pixels((left + right) / 2.0);
            rect x=(pixels(left)) y=(pixels(top)) width=(pixels(right - left)) height=(pixels(bottom - top)) fill=(colour) {}
            text x=(middle) y=(pixels(top - 4.0)) text-anchor="middle" { (pixels(100.0 * value)) }
            text x=(middle) y=(pixels(bottom + 16.0)) text-anchor="middle" { (printable(name)) }
        }
    };
    svg(690.0, 250.0, title, &content)
}
