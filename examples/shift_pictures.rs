//! Makes real pictures that are difficult for a network trained on photographs. They show what fine-tuning gains if no
//! sign-language corpus is at hand: the test part of a manifest, with every picture altered in one of three ways.
//!
//! ```text
//! annotate data import fer2013 ../shared/data/fer2013 --out runs/ferplus.csv
//! cargo run --release --example shift_pictures -- runs/ferplus.csv runs/shifted
//! annotate train --grid pipelines/shifted --data runs/shifted/shifted.csv --folds 3 --out runs/shifted/grid
//! ```
//!
//! Of every three consecutive pictures, one is re-coloured (a dim, reddish light), one half-covered (its lower half is
//! grey) and one reduced in resolution (to a quarter of the side). Of pictures that are copies or near-copies of each
//! other, only the first is used.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use annotate::picture::Colours;
use annotate::train::dataset::{Example, load};
use annotate::train::degrade::Degradation;
use annotate::train::leakage::{Sides, fingerprints, leaks};
use annotate::train::manifest::{self, Row, Split};
use anyhow::{Context, Result};
use clap::Parser;
use image::RgbImage;

/// The share of red, green and blue that remains in a dim, reddish light.
const LIGHT: [f32; 3] = [0.3, 0.2, 0.15];
/// The grey that covers the lower half.
const GREY: u8 = 128;

/// Makes a shifted copy of a manifest's test pictures.
#[derive(Parser)]
#[allow(dead_code, reason = "a test includes this file and calls `make`")]
struct Arguments {
    /// The manifest.
    manifest: PathBuf,
    /// Folder for the pictures and their manifest, shifted.csv; it is made.
    folder: PathBuf,
}

#[allow(dead_code, reason = "a test includes this file and calls `make`")]
fn main() -> Result<()> {
    let Arguments { manifest, folder } = Arguments::parse();
    let rows = make(&manifest, &folder)?;
    eprintln!("{}: {rows} pictures", folder.join("shifted.csv").display());
    Ok(())
}

/// Makes the pictures and their manifest, and returns their number.
///
/// # Errors
///
/// If the manifest or a picture cannot be read, or the folder cannot be written.
pub fn make(manifest: &Path, folder: &Path) -> Result<usize> {
    let is_wanted = |row: &Row| row.split == Split::Test && row.label.is_some();
    let rows = without_copies(manifest::read(manifest)?.into_iter().filter(is_wanted).collect())?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut shifted = Vec::new();
    for (number, example) in load(&rows, Split::Test, Colours::Luma)?.into_iter().enumerate() {
        let path = folder.join(format!("{number:05}.png"));
        let row = rows[example.row].clone();
        shift(example, number)?.save(&path).with_context(|| format!("cannot write {}", path.display()))?;
        shifted.push(Row { path, cell: None, ..row });
    }
    manifest::put(&folder.join("shifted.csv"), &shifted, annotate::files::OutputOptions::new())?;
    Ok(shifted.len())
}

/// The rows without those whose picture occurs in an earlier row.
fn without_copies(mut rows: Vec<Row>) -> Result<Vec<Row>> {
    let prints = fingerprints(&rows)?;
    // Each row gets a split side of its own, so that every pair is compared.
    rows.iter_mut().enumerate().for_each(|(index, row)| row.fold = Some(index + 1));
    let leaks = leaks(&rows, &prints, Sides::Folds);
    let near = leaks.near.iter().map(|(pair, _)| pair);
    let later: BTreeSet<usize> = leaks.identical.iter().chain(near).map(|pair| pair[0].max(pair[1])).collect();
    let mut index = 0..;
    rows.retain(|_| !index.next().is_some_and(|index| later.contains(&index)));
    rows.iter_mut().for_each(|row| row.fold = None);
    Ok(rows)
}

fn shift(example: Example, number: usize) -> Result<RgbImage> {
    let kind = number % 3;
    let example = if kind == 2 { Degradation::Downsample4.applied(example)? } else { example };
    let picture = example.picture()?;
    let samples = picture.samples();
    let covered_from = if kind == 1 { samples.len() / 2 } else { samples.len() };
    let light = if kind == 0 { LIGHT } else { [1.0; 3] };
    let seen =
        samples[..covered_from].iter().flat_map(|sample| light.map(|share| (share * f32::from(*sample)).round() as u8));
    let pixels = seen.chain(std::iter::repeat_n(GREY, 3 * (samples.len() - covered_from))).collect();
    RgbImage::from_raw(picture.width as u32, picture.height as u32, pixels).context("a picture has a sample a pixel")
}
