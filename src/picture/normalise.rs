//! Colour normalisation of a cropped face, the same for annotation, `annotate data crop` and training.
//!
//! Both rules come from the EASIER classifier's image tool. The tool applies them to 8-bit pixels before it resizes the
//! picture to the network's size. Here they are applied to the network's input, rounded to 8 bits, so that a stored
//! crop and a crop made during annotation give the same result.

use serde::{Deserialize, Serialize};

use crate::choice::Choice;

/// How the colours of a face are made comparable across lights and cameras.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColourNormalisation {
    /// Pixels stay as they are.
    #[default]
    None,
    /// Each channel's histogram is made flat, on its own, as OpenCV's equalizeHist does.
    HistEq,
    /// Each channel is given one contrast about its mean.
    MeanStd,
}

impl Choice for ColourNormalisation {
    const CHOICES: &'static [(Self, &'static str, &'static str)] = &[
        (Self::None, "none", "Pixels stay as they are"),
        (Self::HistEq, "hist_eq", "Each channel's histogram is made flat, on its own, as OpenCV's equalizeHist does"),
        (Self::MeanStd, "mean_std", "Each channel is given one contrast about its mean"),
    ];
}

impl ColourNormalisation {
    /// Whether pixels stay as they are.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// Normalises `pixels`, interleaved `channels` with values 0 to 255, in place.
    pub fn apply(self, pixels: &mut [f32], channels: usize) {
        let rule: fn(&[u8]) -> [u8; 256] = match self {
            Self::None => return,
            Self::HistEq => equalise,
            Self::MeanStd => standardise,
        };
        for channel in 0..channels {
            let samples: Vec<u8> = pixels.iter().skip(channel).step_by(channels).map(|v| v.round() as u8).collect();
            let table = rule(&samples);
            for (pixel, sample) in pixels.iter_mut().skip(channel).step_by(channels).zip(&samples) {
                *pixel = f32::from(table[usize::from(*sample)]);
            }
        }
    }
}

/// Histogram equalisation as in OpenCV's `equalizeHist`: the table from old values to new ones is `round(255 * (cdf(v)
/// - cdf0) / (N - cdf0))`, where `cdf0` is the count of the least value. A constant channel stays unchanged.
pub fn equalise(samples: &[u8]) -> [u8; 256] {
    let unchanged = std::array::from_fn(|v| v as u8);
    let mut counts = [0usize; 256];
    for sample in samples {
        counts[usize::from(*sample)] += 1;
    }
    let Some(least) = counts.iter().position(|count| *count > 0) else { return unchanged };
    let above_least = samples.len() - counts[least];
    if above_least == 0 {
        return unchanged;
    }
    // OpenCV multiplies by a single-precision factor.
    let scale = 255.0 / above_least as f32;
    let mut sum = 0;
    std::array::from_fn(|v| {
        if v > least {
            sum += counts[v];
        }
        (sum as f32 * scale).round_ties_even() as u8
    })
}

/// The table from old values to new ones is `(v - mean) * 128 / (2.5 * deviation) + mean`, clamped to 0 and 255 and
/// rounded down, with the deviation of the whole population. The mean stays unchanged: the tool's description names
/// 128, but its program adds the mean. A constant channel stays unchanged.
pub fn standardise(samples: &[u8]) -> [u8; 256] {
    let count = samples.len() as f64;
    let mean = samples.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
    let variance = samples.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / count;
    let gain = 128.0 / (2.5 * variance.sqrt());
    std::array::from_fn(|v| {
        if gain.is_finite() { ((v as f64 - mean) * gain + mean).clamp(0.0, 255.0) as u8 } else { v as u8 }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A generated colour picture of 5x4 pixels and what OpenCV and NumPy make of it: tests/reference/normalise.py.
    const REFERENCE: &str = include_str!("../../tests/reference/normalise.json");

    fn reference(name: &str) -> Vec<f32> {
        let all: serde_json::Value = serde_json::from_str(REFERENCE).unwrap();
        serde_json::from_value(all[name].clone()).unwrap()
    }

    #[test]
    fn equalised_channels_are_opencvs() {
        let mut pixels = reference("pixels");
        ColourNormalisation::HistEq.apply(&mut pixels, 3);
        assert_eq!(pixels, reference("hist_eq"));
    }

    #[test]
    fn standardised_channels_are_numpys() {
        let mut pixels = reference("pixels");
        ColourNormalisation::MeanStd.apply(&mut pixels, 3);
        assert_eq!(pixels, reference("mean_std"));
    }

    #[test]
    fn the_least_value_becomes_black_and_the_greatest_white() {
        let table = equalise(&[10, 10, 20, 30]);
        assert_eq!([table[10], table[20], table[30]], [0, 128, 255]);
    }

    #[test]
    fn channels_do_not_mix() {
        let mut pixels = [0.0, 7.0, 255.0, 7.0];
        ColourNormalisation::HistEq.apply(&mut pixels, 2);
        assert_eq!(pixels, [0.0, 7.0, 255.0, 7.0]);
    }

    proptest! {
        #[test]
        fn any_channel_stays_in_range_and_order(samples in prop::collection::vec(any::<u8>(), 0..200)) {
            for table in [equalise(&samples), standardise(&samples)] {
                let mut values = samples.clone();
                values.sort_unstable();
                prop_assert!(values.iter().map(|v| table[usize::from(*v)]).is_sorted());
            }
        }

        #[test]
        fn a_constant_channel_stays(value: u8, count in 1usize..50) {
            let samples = vec![value; count];
            prop_assert_eq!(equalise(&samples)[usize::from(value)], value);
            prop_assert_eq!(standardise(&samples)[usize::from(value)], value);
        }
    }
}
