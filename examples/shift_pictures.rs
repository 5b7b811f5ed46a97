//! Makes real pictures that a network trained on photographs has trouble with, so that what fine-tuning gains can be shown
//! where no sign-language corpus is at hand: the test part of a manifest, every picture in one of three ways unlike the rest.
//!
//! ```text
//! annotate data import fer2013 ../shared/data/fer2013 --out runs/ferplus.csv
//! cargo run --release --example shift_pictures -- runs/ferplus.csv runs/shifted
//! annotate train --grid pipelines/shifted --data runs/shifted/shifted.csv --folds 3 --out runs/shifted/grid
//! ```
//!
//! Of each three pictures in a row one is re-coloured (a dim, reddish light), one half-covered (its lower half is grey) and one
//! of low resolution (a quarter of the side). Of pictures that are copies of each other, or nearly so, the first stays.

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

/// The share of red, green and blue that is left in a dim, reddish light.
const LIGHT: [f32; 3] = [0.3, 0.2, 0.15];
/// What the lower half is covered with.
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

/// Makes the pictures and their manifest, and says how many there are.
///
/// # Errors
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
    manifest::put(&folder.join("shifted.csv"), &shifted)?;
    Ok(shifted.len())
}

/// The rows but for those whose picture stands in an earlier one.
fn without_copies(mut rows: Vec<Row>) -> Result<Vec<Row>> {
    let prints = fingerprints(&rows)?;
    // Each row its own side, so that every pair counts.
    rows.iter_mut().enumerate().for_each(|(place, row)| row.fold = Some(place + 1));
    let leaks = leaks(&rows, &prints, Sides::Folds);
    let near = leaks.near.iter().map(|(pair, _)| pair);
    let later: BTreeSet<usize> = leaks.identical.iter().chain(near).map(|pair| pair[0].max(pair[1])).collect();
    let mut place = 0..;
    rows.retain(|_| !place.next().is_some_and(|place| later.contains(&place)));
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
