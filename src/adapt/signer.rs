//! Whose face an annotation is about.

use super::annotation::AnnotatedTier;
use super::left_out::Reason;
use crate::timeline::{FrameRecord, Timeline, Track};

/// Whose face is meant where several are seen, or tiers do not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignerChoice {
    /// The signer called so, as in `expression@A`.
    Called(String),
    /// The one whose face is the largest.
    Largest,
}

impl std::str::FromStr for SignerChoice {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text == "largest" { Self::Largest } else { Self::Called(text.into()) })
    }
}

/// A face that is there for this share of a span while no other is for more than the rest is the one that is meant.
const MOST_OF_THE_TIME: f64 = 0.8;

/// The track that an annotation of `tier` is about: the one that the file names; that of `--signer`; the one that is called
/// like the tier's end; the only one that is seen in its span.
pub(super) fn track_of(
    tier: &AnnotatedTier,
    timeline: &Timeline,
    frames: &[usize],
    choice: Option<&SignerChoice>,
) -> Result<u32, Reason> {
    if let Some(track) = tier.track {
        return Ok(track);
    }
    if let Some(SignerChoice::Called(wanted)) = choice {
        return called(timeline, wanted).map(|track| track.id).ok_or_else(|| {
            let found: Vec<String> = timeline.tracks.iter().map(Track::signer).collect();
            let found = if found.is_empty() { "nobody".to_owned() } else { found.join(", ") };
            Reason::NoSigner { wanted: wanted.clone(), found }
        });
    }
    let mut seen: Vec<(f64, f64, u32)> = timeline.tracks.iter().filter_map(|track| seen(track, frames)).collect();
    if choice == Some(&SignerChoice::Largest) {
        let largest = seen.iter().max_by(|a, b| (a.1 * a.0).total_cmp(&(b.1 * b.0)));
        return largest.map(|(.., track)| *track).ok_or(Reason::NoFace);
    }
    let names = [tier.participant.as_deref(), tier.suffix()];
    if let Some(track) = names.into_iter().flatten().find_map(|name| called(timeline, name)) {
        return Ok(track.id);
    }
    seen.sort_by(|a, b| b.0.total_cmp(&a.0));
    match &seen[..] {
        [] => Err(Reason::NoFace),
        [(.., only)] => Ok(*only),
        [first, second, ..] if first.0 >= MOST_OF_THE_TIME && second.0 <= 1.0 - MOST_OF_THE_TIME => Ok(first.2),
        several => Err(Reason::TwoPeople(several.len())),
    }
}

fn called<'a>(timeline: &'a Timeline, name: &str) -> Option<&'a Track> {
    timeline.tracks.iter().find(|track| track.signer() == name)
}

/// The share of `frames` in which a track's face is seen, and its mean width there; none where it never is.
fn seen(track: &Track, frames: &[usize]) -> Option<(f64, f64, u32)> {
    let record = |frame: &usize| -> Option<&FrameRecord> { track.frames.get(frame.checked_sub(track.first_frame)?) };
    let widths: Vec<f64> =
        frames.iter().filter_map(record).filter_map(|record| Some(f64::from(record.face?.w))).collect();
    let count = widths.len() as f64;
    (count > 0.0).then(|| (count / frames.len() as f64, widths.iter().sum::<f64>() / count, track.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn tier(name: &str) -> AnnotatedTier {
        AnnotatedTier { name: name.into(), ..AnnotatedTier::default() }
    }

    fn of(tier: &AnnotatedTier, frames: &[usize], choice: Option<SignerChoice>) -> Result<u32, Reason> {
        track_of(tier, &sample::two_signers(), frames, choice.as_ref())
    }

    #[test]
    fn the_tiers_end_says_whose_face_is_meant_else_the_only_one_that_is_seen() {
        assert_eq!(of(&tier("expression@B"), &[0, 1], None), Ok(2));
        assert_eq!(of(&tier("mimik"), &[4, 5], None), Ok(1));
        assert_eq!(of(&tier("mimik"), &[3], None), Err(Reason::NoFace));
        assert_eq!(of(&tier("mimik"), &[1, 2], None), Err(Reason::TwoPeople(2)));
        assert_eq!(of(&tier("mimik"), &[0, 1, 2, 4, 5, 5, 5, 5, 5, 5, 5], None), Ok(1), "the other passes by");
        assert_eq!(of(&AnnotatedTier { track: Some(2), ..tier("expression@A") }, &[0], None), Ok(2));
    }

    #[test]
    fn the_choice_stands_above_names_and_names_who_is_there() {
        let called = |name: &str| Some(SignerChoice::Called(name.into()));
        assert_eq!(of(&tier("expression@B"), &[1], called("A")), Ok(1));
        assert_eq!(of(&tier("mimik"), &[1, 2], Some(SignerChoice::Largest)), Ok(1));
        let absent = Reason::NoSigner { wanted: "Ann".into(), found: "A, B".into() };
        assert_eq!(of(&tier("mimik"), &[1], called("Ann")), Err(absent));
    }
}
