//! Chooses the FER2013 pictures of a composite: those on which the FER+ crowd agrees.

use std::path::Path;

use annotate::timeline::Expression;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// Width and height of a FER2013 picture.
pub const SIDE: usize = 48;

/// `fer_label_status` of a picture for which the joined labels list no exact or near duplicates.
const ONE_OF_A_KIND: u8 = 0;
/// Votes out of ten from which a picture counts as agreed.
const AGREED: u8 = 8;
/// If fewer pictures than this are agreed, one vote less suffices, and so on down to half of the votes: fear and
/// disgust are rare.
const AT_LEAST: usize = 200;
/// Half of the votes.
const HALF: u8 = 5;
/// With more pictures than this, an average does not get sharper.
const AT_MOST: usize = 900;

/// One picture, luma 0 to 255, `SIDE * SIDE` samples, row-major.
pub type Picture = Vec<f32>;

/// The pictures chosen for one expression.
pub struct Choice {
    pub expression: Expression,
    /// Of ten votes, those for the expression on the chosen picture with the least agreement.
    pub least_votes: u8,
    pub pictures: Vec<Picture>,
}

#[derive(Deserialize)]
struct Row {
    split: String,
    pos: usize,
    fer_label_status: u8,
    fp_neutral: u8,
    fp_happiness: u8,
    fp_surprise: u8,
    fp_sadness: u8,
    fp_anger: u8,
    fp_disgust: u8,
    fp_fear: u8,
    #[serde(rename = "fp_NF")]
    fp_not_a_face: u8,
}

impl Row {
    fn votes(&self, expression: Expression) -> u8 {
        match expression {
            Expression::Neutral => self.fp_neutral,
            Expression::Happiness => self.fp_happiness,
            Expression::Sadness => self.fp_sadness,
            Expression::Surprise => self.fp_surprise,
            Expression::Fear => self.fp_fear,
            Expression::Disgust => self.fp_disgust,
            Expression::Anger => self.fp_anger,
        }
    }
}

/// Chooses the pictures of every expression from the training part of FER2013 in `folder`, best agreed first. Leaves
/// out pictures that occur more than once and those that any voter held to be no face.
pub fn choose(folder: &Path) -> Result<Vec<Choice>> {
    let labels = folder.join("fer2013_labels.csv");
    let mut reader = csv::Reader::from_path(&labels).with_context(|| format!("cannot read {}", labels.display()))?;
    let mut rows = Vec::new();
    for row in reader.deserialize() {
        let row: Row = row.with_context(|| format!("in {}", labels.display()))?;
        if row.split == "Training" && row.fer_label_status == ONE_OF_A_KIND && row.fp_not_a_face == 0 {
            rows.push(row);
        }
    }

    let mut strip = strip(&folder.join("training_a.png"))?;
    strip.extend(self::strip(&folder.join("training_b.png"))?);
    Expression::ALL
        .into_iter()
        .map(|expression| {
            rows.sort_by_key(|row| (std::cmp::Reverse(row.votes(expression)), row.pos));
            let with = |votes| rows.iter().take_while(|row| row.votes(expression) >= votes).count();
            let agreed = (HALF..=AGREED).rev().map(with).find(|&agreed| agreed >= AT_LEAST).unwrap_or(with(HALF));
            let chosen = &rows[..agreed.min(AT_MOST)];
            let pictures = chosen
                .iter()
                .map(|row| {
                    let samples = strip.get(row.pos * SIDE * SIDE..(row.pos + 1) * SIDE * SIDE);
                    let samples = samples.with_context(|| format!("the strips hold no picture {}", row.pos))?;
                    Ok(samples.iter().map(|&sample| f32::from(sample)).collect())
                })
                .collect::<Result<_>>()?;
            let least_votes = chosen.last().map_or(0, |row| row.votes(expression));
            Ok(Choice { expression, least_votes, pictures })
        })
        .collect()
}

/// The samples of a strip of pictures, stacked vertically.
fn strip(path: &Path) -> Result<Vec<u8>> {
    let mut reader = image::ImageReader::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    // A strip has hundreds of thousands of rows, more than the default limits for untrusted pictures allow.
    reader.no_limits();
    let strip = reader.decode().with_context(|| format!("cannot decode {}", path.display()))?.into_luma8();
    ensure!(strip.width() as usize == SIDE, "{} is {} wide, expected {SIDE}", path.display(), strip.width());
    Ok(strip.into_raw())
}
