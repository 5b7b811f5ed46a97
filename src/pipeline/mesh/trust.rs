//! Whether what is followed is a face at all.
//!
//! Two networks say so: the tracker's, which looks at each frame's patch of luma, and the mesh's flag, which looks at the colours in
//! the mesh's square. They were trained apart, by different people on different pictures, so that an animal or a pattern that deceives
//! one for a moment seldom deceives both for long. Their logits are added, as those of independent witnesses are, and averaged over
//! a short time. The mesh's network is surer than it is right (a dog's face has 13 to 20, a hand over a face lowers it to 11), and
//! counts a tenth. What was once believed is doubted later than what never was.

/// Weight of the mesh's logit beside the tracker's.
const FLAG_WEIGHT: f64 = 0.1;
/// Time over which the sum is averaged, seconds.
const AVERAGED_S: f64 = 0.3;
/// Average from which what is followed is believed to be a face. Of 367 pictures of people, all but a few lie above it; these are one looking
/// at the floor (1.7), two small or turned ones (2.7), and one in which the mesh sees nothing. A photograph of dogs lies
/// at 1.8 to 2.8.
const BELIEVED: f64 = 3.0;
/// Average below which it is no longer believed.
const DOUBTED: f64 = 2.0;
/// Probabilities beyond these say no more, so that a network that is quite sure can be wrong.
const PROBABILITIES: std::ops::RangeInclusive<f64> = 0.001..=0.999;

/// How much two networks believe that a face is one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Trust {
    average: f64,
    time_s: f64,
    is_face: bool,
}

impl Trust {
    /// With the tracker's probability and the mesh's logit in the frame at `time_s`; a face that the tracker did not judge is neither
    /// more nor less believed than before.
    pub(super) fn after(before: Option<Self>, time_s: f64, probability: Option<f32>, flag: f32) -> Self {
        let now = probability.map(|probability| {
            let probability = f64::from(probability).clamp(*PROBABILITIES.start(), *PROBABILITIES.end());
            (probability / (1.0 - probability)).ln() + FLAG_WEIGHT * f64::from(flag)
        });
        let average = match (before, now) {
            (Some(before), Some(now)) => {
                let weight = 1.0 - (-(time_s - before.time_s).max(0.0) / AVERAGED_S).exp();
                before.average + weight * (now - before.average)
            }
            (Some(before), None) => return before,
            (None, now) => now.unwrap_or(BELIEVED),
        };
        let least = if before.is_some_and(Self::is_face) { DOUBTED } else { BELIEVED };
        Self { average, time_s, is_face: average >= least }
    }

    pub(super) fn is_face(self) -> bool {
        self.is_face
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(frames: &[(f32, f32)]) -> Vec<bool> {
        let mut trust = None;
        let after = |(index, (probability, flag)): (usize, &(f32, f32))| {
            let now = Trust::after(trust, index as f64 / 25.0, Some(*probability), *flag);
            trust = Some(now);
            now.is_face()
        };
        frames.iter().enumerate().map(after).collect()
    }

    #[test]
    fn one_sure_network_is_enough_and_two_unsure_ones_are_not() {
        assert_eq!(over(&[(0.99, 2.0), (0.7, 30.0), (0.6, 15.0)])[..2], [true, true]);
        assert_eq!(over(&[(0.6, 15.0)]), [false]);
    }

    #[test]
    fn a_moment_changes_nothing() {
        assert!(over(&[(0.99, 25.0), (0.99, 25.0), (0.3, 8.0), (0.99, 25.0)]).iter().all(|is_face| *is_face));
        assert!(over(&[(0.6, 18.0), (0.7, 19.0), (0.85, 19.0), (0.6, 18.0)]).iter().all(|is_face| !is_face));
        assert_eq!(over(&[(0.5, 15.0); 20]), [false; 20]);
        // The same doubt ends what was believed, after some time only.
        let doubted = over(&[&[(0.99, 25.0); 5][..], &[(0.3, 5.0); 25][..]].concat());
        assert!(doubted[..8].iter().all(|is_face| *is_face) && !doubted[29], "{doubted:?}");
    }

    #[test]
    fn a_frame_that_the_tracker_did_not_judge_changes_nothing() {
        let unsure = Trust::after(None, 0.0, Some(0.5), 15.0);
        assert_eq!(Trust::after(Some(unsure), 0.04, None, 30.0), unsure);
        assert!(Trust::after(None, 0.0, None, 20.0).is_face());
    }
}
