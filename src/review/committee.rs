//! What models that learnt from different parts of a corpus say about its segments. Where they differ, a person's word teaches
//! most: query by committee (Seung, Opper & Sompolinsky 1992), by the mean divergence from their mean (McCallum & Nigam 1998,
//! "Employing EM and pool-based active learning for text classification").

use std::collections::BTreeMap;
use std::path::Path;

use crate::model::{Model, ModelConfig};
use crate::pipeline::decode::DecodeError;
use crate::timeline::{Expression, Probabilities, Status, Timeline, Track, most_probable};
use crate::train::crop::{KnownCut, KnownFace};

use super::crops::decode_options;

/// Pictures of a segment that the models are asked about, at most.
const MOST: usize = 3;
/// Pictures that are asked about together.
const BATCH: usize = 64;

/// What the models say about one segment.
#[derive(Debug, Clone, PartialEq)]
pub struct CommitteeAnswer {
    /// How many say what, the class that most say first.
    pub votes: Vec<(Expression, usize)>,
    /// How far apart their probabilities are, 0 where all say the same and 1 where each is sure of something else.
    pub divergence: f64,
}

/// The answers to a timeline's segments, by track and first frame.
pub type CommitteeAnswers = BTreeMap<(u32, usize), CommitteeAnswer>;

/// Models of one start, such as those of the folds of an adaptation.
pub struct Committee {
    models: Vec<Model>,
}

/// Why a committee cannot be asked.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum CommitteeError {
    #[error("a committee has two models or more, of one kind of picture")]
    Models,
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("the device failed: {0}")]
    Device(#[from] candle_core::Error),
}

impl Committee {
    /// Of `models`, which look at the same pictures.
    ///
    /// # Errors
    /// [`CommitteeError::Models`].
    pub fn of(models: Vec<Model>) -> Result<Self, CommitteeError> {
        let sees = |config: &ModelConfig| (config.input.side, config.input.colours, config.crop);
        let is_one_kind = models.windows(2).all(|pair| sees(pair[0].config()) == sees(pair[1].config()));
        if models.len() < 2 || !is_one_kind {
            return Err(CommitteeError::Models);
        }
        Ok(Self { models })
    }

    /// How many models it has.
    pub fn count(&self) -> usize {
        self.models.len()
    }

    /// What the models say about the segments of `timeline`, by the faces that are read in a few frames of each; segments
    /// without such a face, and those after the end of `video`, are left out.
    ///
    /// # Errors
    /// If the video cannot be decoded or the device fails.
    pub fn ask(&self, timeline: &Timeline, video: &Path) -> Result<CommitteeAnswers, CommitteeError> {
        let mut wanted: Vec<(KnownFace, (u32, usize))> = timeline.tracks.iter().flat_map(faces).collect();
        wanted.sort_by_key(|(face, key)| (face.frame, *key));
        let (faces, keys): (Vec<KnownFace>, Vec<(u32, usize)>) = wanted.into_iter().unzip();
        let ModelConfig { input, crop, .. } = self.models[0].config();
        let cut = KnownCut { rule: crop, side: input.side, colours: input.colours };
        let mut sums = VoteSums { committee: self, of: BTreeMap::new() };
        let (mut pictures, mut waiting) = (Vec::new(), Vec::new());
        cut.each(video, &faces, &decode_options(timeline), |index, pixels| {
            pictures.extend(pixels);
            waiting.push(keys[index]);
            match waiting.len() < BATCH {
                true => Ok::<_, CommitteeError>(()),
                false => sums.add(std::mem::take(&mut pictures), &std::mem::take(&mut waiting)),
            }
        })?;
        sums.add(pictures, &waiting)?;
        Ok(sums.of.into_iter().map(|(key, sums)| (key, answer(&sums))).collect())
    }
}

/// Sums of probabilities over the pictures of each segment, model by model.
struct VoteSums<'a> {
    committee: &'a Committee,
    of: BTreeMap<(u32, usize), Vec<[f64; Expression::COUNT]>>,
}

impl VoteSums<'_> {
    fn add(&mut self, pictures: Vec<f32>, keys: &[(u32, usize)]) -> Result<(), CommitteeError> {
        if keys.is_empty() {
            return Ok(());
        }
        for (number, model) in self.committee.models.iter().enumerate() {
            let answers: Vec<Probabilities> = model.probabilities(pictures.clone())?;
            for (key, answer) in keys.iter().zip(answers) {
                let sums =
                    self.of.entry(*key).or_insert_with(|| vec![[0.0; Expression::COUNT]; self.committee.count()]);
                sums[number].iter_mut().zip(answer).for_each(|(sum, share)| *sum += f64::from(share));
            }
        }
        Ok(())
    }
}

/// The faces that the models are shown of each segment of a track: spread over it, as far as they are read.
fn faces(track: &Track) -> Vec<(KnownFace, (u32, usize))> {
    let mut faces = Vec::new();
    for segment in &track.segments {
        let record = |frame: usize| track.frames.get(frame.checked_sub(track.first_frame)?);
        let read: Vec<KnownFace> = (segment.first_frame..=segment.last_frame)
            .filter_map(record)
            .filter(|record| record.status == Status::Ok)
            .filter_map(KnownFace::of)
            .collect();
        let count = read.len().min(MOST);
        let spread = (0..count).map(|number| read[(2 * number + 1) * read.len() / (2 * count)]);
        faces.extend(spread.map(|face| (face, (track.id, segment.first_frame))));
    }
    faces
}

/// Votes and divergence of models that gave the classes these sums.
fn answer(sums: &[[f64; Expression::COUNT]]) -> CommitteeAnswer {
    let shares: Vec<[f64; Expression::COUNT]> = sums
        .iter()
        .map(|sums| {
            let all: f64 = sums.iter().sum();
            sums.map(|sum| sum / all.max(f64::MIN_POSITIVE))
        })
        .collect();
    let mut votes: BTreeMap<usize, usize> = BTreeMap::new();
    for shares in &shares {
        *votes.entry(most_probable(&shares.map(|share| share as f32)).index()).or_default() += 1;
    }
    let mut votes: Vec<(Expression, usize)> =
        votes.into_iter().map(|(class, count)| (Expression::ALL[class], count)).collect();
    votes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let count = shares.len() as f64;
    let mean: [f64; Expression::COUNT] =
        std::array::from_fn(|class| shares.iter().map(|shares| shares[class]).sum::<f64>() / count);
    let of_model = |shares: &[f64; Expression::COUNT]| -> f64 {
        let of_class = |(share, mean): (&f64, &f64)| if *share > 0.0 { share * (share / mean).ln() } else { 0.0 };
        shares.iter().zip(&mean).map(of_class).sum()
    };
    let divergence = shares.iter().map(of_model).sum::<f64>() / count;
    // The most that so many models can differ over so many classes.
    let most = shares.len().clamp(2, Expression::COUNT) as f64;
    CommitteeAnswer { votes, divergence: (divergence / most.ln()).clamp(0.0, 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn sure(class: Expression, share: f64) -> [f64; Expression::COUNT] {
        let mut shares = [0.0; Expression::COUNT];
        shares[class.index()] = share;
        shares[Expression::Neutral.index()] += 1.0 - share;
        shares
    }

    #[test]
    fn models_that_differ_diverge_as_the_jensen_shannon_divergence_says() {
        use Expression::{Fear, Neutral, Surprise};
        // scipy.spatial.distance.jensenshannon([.9, .1], [.1, .9], base=2) ** 2
        let two = answer(&[sure(Fear, 0.9), sure(Fear, 0.1)]);
        assert!((two.divergence - 0.531_004_4).abs() < 1e-6, "{two:?}");
        assert_eq!(two.votes, [(Neutral, 1), (Fear, 1)]);
        // Sums over several pictures count as their mean.
        let doubled = answer(&[sure(Fear, 0.9).map(|s| 2.0 * s), sure(Fear, 0.1).map(|s| 2.0 * s)]);
        assert!((doubled.divergence - two.divergence).abs() < 1e-12);
        assert!(answer(&[sure(Fear, 0.7); 5]).divergence.abs() < 1e-12);
        let all_apart = answer(&[sure(Fear, 1.0), sure(Surprise, 1.0), sure(Neutral, 1.0)]);
        assert!((all_apart.divergence - 1.0).abs() < 1e-12, "{all_apart:?}");
        assert_eq!(answer(&[sure(Fear, 0.9), sure(Surprise, 0.9), sure(Fear, 0.8)]).votes[0], (Fear, 2));
    }

    #[test]
    fn only_faces_that_are_read_are_shown_and_few_of_each_segment() {
        let timeline = sample::two_signers();
        let shown: Vec<_> = timeline.tracks.iter().flat_map(faces).collect();
        for (face, (track, first_frame)) in &shown {
            let track = timeline.tracks.iter().find(|own| own.id == *track).unwrap();
            let segment = track.segments.iter().find(|segment| segment.first_frame == *first_frame).unwrap();
            assert!((segment.first_frame..=segment.last_frame).contains(&face.frame));
            assert_eq!(track.frames[face.frame - track.first_frame].status, Status::Ok);
        }
        let segments: usize = timeline.tracks.iter().map(|track| track.segments.len()).sum();
        assert!(shown.len() >= segments && shown.len() <= MOST * segments, "{shown:?}");
    }
}
