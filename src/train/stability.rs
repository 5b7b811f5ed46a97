//! How far a model says the same of the same face under changes that change no expression: mirrored, smaller, compressed,
//! lighter, and with a box that lies a little otherwise.

use serde::{Deserialize, Serialize};

use super::dataset::{DatasetError, Example, ImageSource, Picture};
use super::degrade::{compressed, downsampled};
use super::manifest::Row;
use super::report::{self, EvaluationError, Prediction, ReportBlock, ReportTable};
use crate::choice::Choice as _;
use crate::model::Model;
use crate::picture::{Plane, Region, resample};
use crate::statistics::kappa;
use crate::timeline::most_probable;

/// A change that leaves the expression as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Left for right.
    Mirrored,
    /// Half as large, and enlarged again.
    HalfSize,
    /// Compressed as JPEG of quality 30: the block noise of a video at a low bit rate.
    Compressed,
    /// A sixth of the range lighter.
    Brighter,
    /// A sixth of the range darker.
    Darker,
    /// Contrast about the mean times 1.3.
    MoreContrast,
    /// Contrast about the mean divided by 1.3.
    LessContrast,
    /// The square 5 % of its side to the right and down.
    Shifted,
    /// The square 5 % larger.
    Wider,
    /// The square 5 % smaller.
    Tighter,
}

impl crate::choice::Choice for Change {
    const CHOICES: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Mirrored, "mirrored", "Left for right"),
        (Self::HalfSize, "half size", "Half as large, and enlarged again"),
        (Self::Compressed, "compressed", "JPEG of quality 30"),
        (Self::Brighter, "brighter", "A sixth of the range lighter"),
        (Self::Darker, "darker", "A sixth of the range darker"),
        (Self::MoreContrast, "more contrast", "Contrast times 1.3"),
        (Self::LessContrast, "less contrast", "Contrast divided by 1.3"),
        (Self::Shifted, "shifted box", "The square 5 % of its side to the right and down"),
        (Self::Wider, "wider box", "The square 5 % larger"),
        (Self::Tighter, "tighter box", "The square 5 % smaller"),
    ];
}

impl Change {
    /// The example with a changed picture.
    ///
    /// # Errors
    /// If its picture cannot be decoded.
    pub fn applied(self, example: Example) -> Result<Example, DatasetError> {
        let picture = example.picture()?;
        let samples = self.samples(&picture);
        let source = ImageSource::Kept(Picture::new(samples, picture.colours, picture.width, picture.height));
        Ok(Example { source, ..example })
    }

    fn samples(self, picture: &Picture) -> Vec<u8> {
        match self {
            Self::Mirrored => {
                let channels = picture.colours.count();
                let rows = picture.samples().chunks_exact(picture.width * channels);
                rows.flat_map(|row| row.chunks_exact(channels).rev().flatten().copied()).collect()
            }
            Self::HalfSize => downsampled(picture, 2),
            Self::Compressed => compressed(picture, 30),
            Self::Brighter => toned(picture, 1.0, 255.0 / 6.0),
            Self::Darker => toned(picture, 1.0, -255.0 / 6.0),
            Self::MoreContrast => toned(picture, 1.3, 0.0),
            Self::LessContrast => toned(picture, 1.0 / 1.3, 0.0),
            Self::Shifted => boxed(picture, 0.05, 1.0),
            Self::Wider => boxed(picture, 0.0, 1.05),
            Self::Tighter => boxed(picture, 0.0, 0.95),
        }
    }
}

fn toned(picture: &Picture, contrast: f32, brightness: f32) -> Vec<u8> {
    let samples = picture.samples();
    let mean = samples.iter().map(|v| f32::from(*v)).sum::<f32>() / samples.len() as f32;
    let tone = |value: &u8| ((f32::from(*value) - mean) * contrast + mean + brightness).round().clamp(0.0, 255.0) as u8;
    samples.iter().map(tone).collect()
}

/// What a square sees that lies `shift` sides to the right and down and is `scale` times as large; the edge is repeated.
fn boxed(picture: &Picture, shift: f32, scale: f32) -> Vec<u8> {
    let channels = picture.colours.count();
    let (width, height) = (picture.width as f32, picture.height as f32);
    let region = Region {
        x: width * (0.5 + shift),
        y: height * (0.5 + shift),
        width: width * scale,
        height: height * scale,
        angle_degrees: 0.0,
    };
    let mut changed = vec![0; picture.samples().len()];
    for channel in 0..channels {
        let samples: Vec<u8> = picture.samples().iter().copied().skip(channel).step_by(channels).collect();
        let plane = Plane { samples: &samples, stride: picture.width, width: picture.width, height: picture.height };
        let seen = resample(&plane, &region, picture.width, picture.height);
        changed.iter_mut().skip(channel).step_by(channels).zip(seen).for_each(|(to, from)| *to = from.round() as u8);
    }
    changed
}

/// What a change does to a model's labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stability {
    /// The change.
    pub change: Change,
    /// How many pictures.
    pub images: usize,
    /// Share of them that keep their label.
    pub same: f64,
    /// Cohen's kappa between the labels before and after; absent where one label is all there is.
    pub kappa: Option<f64>,
    /// Share of right labels after the change.
    pub accuracy: f64,
}

/// What each change does to the labels of `examples`, which without a change are `plain`.
///
/// # Errors
/// If a picture cannot be decoded or the device fails.
pub fn stability(
    model: &Model,
    rows: &[Row],
    examples: &[Example],
    plain: &[Prediction],
) -> Result<Vec<Stability>, EvaluationError> {
    let label = |prediction: &Prediction| most_probable(&prediction.judged.probabilities);
    let under = |change: Change| -> Result<Stability, EvaluationError> {
        let changed = report::predict(model, rows, examples, |example| change.applied(example))?;
        let pairs = || plain.iter().zip(&changed);
        let share = |count: usize| count as f64 / plain.len().max(1) as f64;
        let cells = pairs().map(|(before, after)| (label(before).index(), label(after).index()));
        Ok(Stability {
            change,
            images: plain.len(),
            same: share(pairs().filter(|(before, after)| label(before) == label(after)).count()),
            kappa: kappa::cohens_kappa(&kappa::of_units(cells)),
            accuracy: share(changed.iter().filter(|after| label(after) == after.judged.truth).count()),
        })
    };
    Change::CHOICES.iter().map(|(change, ..)| under(*change)).collect()
}

/// As parts of a report.
pub fn blocks(stability: &[Stability]) -> Vec<ReportBlock> {
    let caption = "Labels of the same pictures before and after a change that changes no expression";
    let mut table = ReportTable::new(caption, &["change", "images", "same label", "kappa", "right after it"]);
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    for of in stability {
        let kappa = of.kappa.map_or("not defined".to_owned(), |kappa| format!("{kappa:.2}"));
        let change = of.change.word().to_owned();
        table.row([change, of.images.to_string(), percent(of.same), kappa, percent(of.accuracy)]);
    }
    vec![ReportBlock::Heading("Stability".into()), ReportBlock::Table(table)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::Colours;

    fn picture(colours: Colours) -> Picture {
        let samples = (0..12 * 12 * colours.count()).map(|i| (60 + i * 37 % 130) as u8).collect();
        Picture::new(samples, colours, 12, 12)
    }

    #[test]
    fn every_change_keeps_the_size_and_changes_the_picture() {
        for colours in [Colours::Luma, Colours::Rgb] {
            let before = picture(colours);
            for (change, word, _) in Change::CHOICES {
                let after = change.samples(&before);
                assert_eq!(after.len(), before.samples().len(), "{word}");
                assert_ne!(after, before.samples(), "{word}");
            }
        }
    }

    #[test]
    fn mirrored_twice_is_as_before_and_tones_move_the_mean() {
        let before = picture(Colours::Rgb);
        let once = Picture::new(Change::Mirrored.samples(&before), Colours::Rgb, 12, 12);
        assert_eq!(once.samples()[..3], before.samples()[11 * 3..12 * 3]);
        assert_eq!(Change::Mirrored.samples(&once), before.samples());
        let mean = |samples: &[u8]| samples.iter().map(|v| f32::from(*v)).sum::<f32>() / samples.len() as f32;
        let plain = mean(before.samples());
        assert!((mean(&Change::Brighter.samples(&before)) - plain - 42.5).abs() < 1.0);
        assert!((mean(&Change::LessContrast.samples(&before)) - plain).abs() < 1.0);
    }

    #[test]
    fn a_wider_box_sees_an_inner_edge_nearer_to_the_centre() {
        let samples = (0..40 * 40).map(|i| if i % 40 < 10 { 0 } else { 200 }).collect();
        let edge = Picture::new(samples, Colours::Luma, 40, 40);
        let dark = |samples: Vec<u8>| samples[20 * 40..21 * 40].iter().filter(|v| **v < 100).count();
        // (10 - 20) / 1.05 + 20 = 10.5; (10 - 20) / 0.95 + 20 = 9.5; shifted by 2 pixels: 8.
        assert!(dark(Change::Wider.samples(&edge)) >= dark(Change::Tighter.samples(&edge)));
        assert_eq!(dark(Change::Shifted.samples(&edge)), 8);
    }
}
