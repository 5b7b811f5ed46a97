//! Whether the two sides of a split share what they must not: a person, a video, or a picture.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::dataset::{self, DatasetError};
use super::manifest::{Row, Split};
use crate::picture::Colours;
use crate::picture::Plane;
use crate::picture::{Region, resample};

/// Differing bits, of [`HASH_BITS`], up to which two pictures count as near-identical. Tuned on FER2013's
/// PrivateTest: docs/benchmarks.md.
pub const NEAR: u32 = 27;
/// Bits of a perceptual hash.
pub const HASH_BITS: usize = 256;
/// Side of the square of differences that a hash is made of.
const SIDE: usize = 16;
/// Pictures with less contrast (standard deviation of the reduced picture) have nothing to tell them apart.
const FLAT: f32 = 4.0;

/// What two pictures are compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    /// SHA-256 of size and samples.
    pub exact: [u8; 32],
    /// Difference hash (Krawetz 2013): whether each of 16x16 cells is brighter than its right neighbour; none for flat
    /// pictures.
    pub perceptual: Option<[u64; HASH_BITS / 64]>,
}

impl Fingerprint {
    /// That of a luma picture.
    pub fn of(picture: &Plane) -> Self {
        let mut digest = Sha256::new();
        digest.update((picture.width as u64).to_le_bytes());
        (0..picture.height).for_each(|row| digest.update(picture.row(row)));
        let (width, height) = (picture.width as f32, picture.height as f32);
        let whole = Region { x: width / 2.0, y: height / 2.0, width, height, angle_degrees: 0.0 };
        let reduced = resample(picture, &whole, SIDE + 1, SIDE);
        let mean = reduced.iter().sum::<f32>() / reduced.len() as f32;
        let variance = reduced.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / reduced.len() as f32;
        let perceptual = (variance.sqrt() >= FLAT).then(|| {
            let mut bits = [0; HASH_BITS / 64];
            for (index, pair) in reduced.chunks_exact(SIDE + 1).flat_map(|row| row.windows(2)).enumerate() {
                bits[index / 64] |= u64::from(pair[0] > pair[1]) << (index % 64);
            }
            bits
        });
        Self { exact: digest.finalize().into(), perceptual }
    }

    /// In how many bits the perceptual hashes differ; `None` where one is of a flat picture.
    pub fn distance(&self, other: &Self) -> Option<u32> {
        let (a, b) = (self.perceptual?, other.perceptual?);
        Some(a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum())
    }
}

/// Fingerprints of the pictures of `rows`, in their order.
///
/// # Errors
/// If a picture cannot be read; the message names the row.
pub fn fingerprints(rows: &[Row]) -> Result<Vec<Fingerprint>, DatasetError> {
    let mut found = Vec::with_capacity(rows.len());
    for split in Split::ALL {
        let examples = dataset::load(rows, split, Colours::Luma)?;
        let of = |example: &dataset::Example| {
            let picture = example.picture()?;
            let (samples, width, height) = (picture.samples(), picture.width, picture.height);
            Ok((example.row, Fingerprint::of(&Plane { samples, stride: width, width, height })))
        };
        let part: Result<Vec<_>, DatasetError> = examples.par_iter().map(of).collect();
        found.extend(part?);
    }
    found.sort_by_key(|(row, _)| *row);
    Ok(found.into_iter().map(|(_, fingerprint)| fingerprint).collect())
}

/// The sides of a split, by which leaks are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sides {
    /// Training, validation and test.
    Splits,
    /// The folds of a cross-validation.
    Folds,
}

impl Sides {
    /// Folds where every row has one, else splits.
    pub fn of(rows: &[Row]) -> Self {
        if rows.iter().all(|row| row.fold.is_some()) { Self::Folds } else { Self::Splits }
    }

    /// The name of the row's side.
    pub fn name(self, row: &Row) -> String {
        match (self, row.fold) {
            (Self::Folds, Some(fold)) => format!("fold {fold}"),
            _ => row.split.name().to_owned(),
        }
    }
}

/// What stands on two sides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leaks {
    /// Subjects and sequences (`subject anna`, `sequence 7`) and the sides they are on.
    pub groups: BTreeMap<String, BTreeSet<String>>,
    /// Pairs of rows, from 0, with the same picture.
    pub identical: Vec<[usize; 2]>,
    /// Pairs of rows with near-identical pictures, and in how many bits they differ.
    pub near: Vec<([usize; 2], u32)>,
}

impl Leaks {
    /// Training rows, from 0, whose picture stands on another side too, as it is or nearly so.
    pub fn copied_training_rows(&self, rows: &[Row]) -> BTreeSet<usize> {
        let pairs = self.identical.iter().chain(self.near.iter().map(|(pair, _)| pair));
        pairs.flatten().copied().filter(|row| rows[*row].split == Split::Train).collect()
    }

    /// Whether nothing was found.
    pub fn is_none(&self) -> bool {
        self.groups.is_empty() && self.identical.is_empty() && self.near.is_empty()
    }
}

/// Looks for leaks between the `sides` of `rows`, whose pictures have `fingerprints`.
pub fn leaks(rows: &[Row], fingerprints: &[Fingerprint], sides: Sides) -> Leaks {
    let names: Vec<String> = rows.iter().map(|row| sides.name(row)).collect();
    let mut groups: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (row, side) in rows.iter().zip(&names) {
        let subject = row.subject.as_ref().map(|name| format!("subject {name}"));
        let sequence = row.sequence.as_ref().map(|name| format!("sequence {name}"));
        for group in subject.into_iter().chain(sequence) {
            groups.entry(group).or_default().insert(side.clone());
        }
    }
    groups.retain(|_, sides| sides.len() > 1);

    let mut same: HashMap<[u8; 32], Vec<usize>> = HashMap::new();
    for (row, fingerprint) in fingerprints.iter().enumerate() {
        same.entry(fingerprint.exact).or_default().push(row);
    }
    let mut identical: Vec<[usize; 2]> = Vec::new();
    for rows in same.values() {
        // Each row with the first one on another side: all pairs of many copies would say no more.
        let elsewhere = |row: usize| rows.iter().copied().find(|other| names[*other] != names[row]);
        identical
            .extend(rows.iter().filter_map(|row| Some([(*row).min(elsewhere(*row)?), (*row).max(elsewhere(*row)?)])));
    }
    identical.sort_unstable();
    identical.dedup();

    let near: Vec<([usize; 2], u32)> = (0..fingerprints.len())
        .into_par_iter()
        .flat_map_iter(|a| {
            let names = &names;
            (a + 1..fingerprints.len()).filter_map(move |b| {
                let distance = fingerprints[a].distance(&fingerprints[b])?;
                let is_leak =
                    distance <= NEAR && names[a] != names[b] && fingerprints[a].exact != fingerprints[b].exact;
                is_leak.then_some(([a, b], distance))
            })
        })
        .collect();
    Leaks { groups, identical, near }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(paint: impl Fn(usize, usize) -> u8) -> Fingerprint {
        let samples: Vec<u8> = (0..48 * 48).map(|index| paint(index % 48, index / 48)).collect();
        Fingerprint::of(&Plane { samples: &samples, stride: 48, width: 48, height: 48 })
    }

    fn face(x: usize, y: usize) -> u8 {
        (128.0 + 100.0 * ((x as f32 / 7.0).sin() * (y as f32 / 9.0).cos())) as u8
    }

    #[test]
    fn a_brighter_smaller_or_noisy_copy_is_near_and_another_picture_is_not() {
        let original = of(face);
        let brighter = of(|x, y| face(x, y).saturating_add(15));
        let noisy = of(|x, y| face(x, y) ^ ((x * 7 + y * 3) % 3) as u8);
        let other = of(|x, y| face(y + 11, x));
        assert!(original.distance(&brighter).unwrap() <= NEAR);
        assert!(original.distance(&noisy).unwrap() <= NEAR);
        assert!(original.distance(&other).unwrap() > NEAR);
        assert_ne!(original.exact, noisy.exact);
    }

    #[test]
    fn flat_pictures_are_near_to_nothing() {
        let flat = of(|_, _| 90);
        assert_eq!(flat.distance(&flat), None);
    }

    #[test]
    fn every_kind_of_leak_is_found_and_only_across_sides() {
        let row = |split, subject: &str| {
            let mut row = Row::new("a.png".into(), split);
            row.subject = Some(subject.into());
            row
        };
        let rows = [
            row(Split::Train, "anna"),
            row(Split::Train, "anna"),
            row(Split::Test, "anna"),
            row(Split::Test, "bert"),
            row(Split::Test, "carl"),
        ];
        let fingerprints =
            [of(face), of(face), of(|x, y| face(y + 11, x)), of(face), of(|x, y| face(x, y).saturating_add(9))];
        let leaks = leaks(&rows, &fingerprints, Sides::of(&rows));
        assert_eq!(leaks.groups.keys().collect::<Vec<_>>(), ["subject anna"]);
        assert_eq!(leaks.identical, [[0, 3], [1, 3]]);
        assert_eq!(leaks.copied_training_rows(&rows), BTreeSet::from([0, 1]));
        assert_eq!(leaks.near.iter().map(|(pair, _)| *pair).collect::<Vec<_>>(), [[0, 4], [1, 4]]);
    }
}
