//! Tiers of what the face does: brows, eyes, mouth, head, and hands on the face, each with a vocabulary of its own.
//!
//! Events of one tier may go on at the same time, which annotations of one tier may not: then there is an annotation for each
//! stretch in which the same ones go on, with all their words.

use super::preset::{Language, Preset};
use super::tiers::{Stretch, apart};
use super::vocabulary::{Entry, entry};
use crate::timeline::{EventKind, FaceEvent, FacePart, Timeline, Track};

/// The words: after the vocabulary of nonmanuals.net and the Sign Hub's names, where these agree.
pub(super) fn event(kind: EventKind, language: Language) -> Entry {
    use EventKind::*;
    match (language, kind) {
        (Language::Eng, BrowsRaised) => entry("raised", "the brows are raised"),
        (Language::Eng, BrowsFurrowed) => entry("furrowed", "the brows are lowered and drawn together"),
        (Language::Eng, Blink) => entry("blink", "the eyes close and open again"),
        (Language::Eng, EyesClosed) => entry("closed", "the eyes are closed for longer than a blink"),
        (Language::Eng, MouthOpen) => entry("open", "the lips are apart"),
        (Language::Eng, MouthRounded) => entry("rounded", "the mouth is narrower than at rest"),
        (Language::Eng, HeadLeft) => entry("turned left", "the head is turned to the signer's left"),
        (Language::Eng, HeadRight) => entry("turned right", "the head is turned to the signer's right"),
        (Language::Eng, HeadUp) => entry("up", "the head is turned up"),
        (Language::Eng, HeadDown) => entry("down", "the head is turned down"),
        (Language::Eng, TiltLeft) => entry("tilted left", "the head leans to the signer's left"),
        (Language::Eng, TiltRight) => entry("tilted right", "the head leans to the signer's right"),
        (Language::Eng, Nod) => entry("nod", "the head goes up and down (unproved: no material to check it with)"),
        (Language::Eng, Shake) => entry("shake", "the head goes to and fro (unproved: no material to check it with)"),
        (Language::Eng, HandOnFace) => entry("hand on face", "a hand covers part of the face"),
        (Language::Deu, BrowsRaised) => entry("gehoben", "die Brauen sind gehoben"),
        (Language::Deu, BrowsFurrowed) => entry("zusammengezogen", "die Brauen sind gesenkt und zusammengezogen"),
        (Language::Deu, Blink) => entry("Blinzeln", "die Augen schließen und öffnen sich"),
        (Language::Deu, EyesClosed) => entry("geschlossen", "die Augen sind länger als bei einem Blinzeln zu"),
        (Language::Deu, MouthOpen) => entry("offen", "die Lippen sind geöffnet"),
        (Language::Deu, MouthRounded) => entry("gerundet", "der Mund ist schmaler als in Ruhe"),
        (Language::Deu, HeadLeft) => entry("nach links gedreht", "der Kopf ist zur linken Seite der Person gedreht"),
        (Language::Deu, HeadRight) => entry("nach rechts gedreht", "der Kopf ist zur rechten Seite der Person gedreht"),
        (Language::Deu, HeadUp) => entry("oben", "der Kopf ist nach oben gerichtet"),
        (Language::Deu, HeadDown) => entry("unten", "der Kopf ist nach unten gerichtet"),
        (Language::Deu, TiltLeft) => entry("nach links geneigt", "der Kopf neigt sich zur linken Seite der Person"),
        (Language::Deu, TiltRight) => entry("nach rechts geneigt", "der Kopf neigt sich zur rechten Seite der Person"),
        (Language::Deu, Nod) => entry("Nicken", "der Kopf geht auf und ab (ungeprüft: es fehlt Material)"),
        (Language::Deu, Shake) => entry("Kopfschütteln", "der Kopf geht hin und her (ungeprüft: es fehlt Material)"),
        (Language::Deu, HandOnFace) => entry("Hand am Gesicht", "eine Hand verdeckt einen Teil des Gesichts"),
    }
}

/// What a tier's vocabulary is about, in English and German.
pub(super) fn about(part: FacePart) -> [&'static str; 2] {
    match part {
        FacePart::Brows => ["What the brows do", "Was die Brauen tun"],
        FacePart::Eyes => ["What the eyes do", "Was die Augen tun"],
        FacePart::Mouth => ["What the mouth does", "Was der Mund tut"],
        FacePart::Head => ["How the head is turned and moves", "Wie der Kopf gedreht ist und sich bewegt"],
        FacePart::Hands => ["Hands on the face", "Hände am Gesicht"],
    }
}

/// Stretches in which a part of the face does the same things.
pub(super) fn stretches(track: &Track, timeline: &Timeline, part: FacePart) -> Vec<Stretch<Vec<EventKind>>> {
    let events: Vec<&FaceEvent> = track.events.iter().filter(|event| event.kind.part() == part).collect();
    let mut bounds: Vec<usize> = events.iter().flat_map(|event| [event.first_frame, event.last_frame + 1]).collect();
    bounds.sort_unstable();
    bounds.dedup();
    let times = &timeline.frames;
    let end_s = timeline.end_s();
    let pieces = bounds.windows(2).filter_map(|pair| {
        let (first, last) = (pair[0], pair[1] - 1);
        let going_on = |event: &&&FaceEvent| event.first_frame <= first && last <= event.last_frame;
        let kinds: Vec<EventKind> = events.iter().filter(going_on).map(|event| event.kind).collect();
        (!kinds.is_empty()).then(|| (times.time_s[first], times.end_s(last, end_s), kinds))
    });
    apart(pieces)
}

/// An annotation's value: the words of all that goes on.
pub(super) fn value(kinds: &[EventKind], preset: &Preset) -> String {
    kinds.iter().map(|kind| event(*kind, preset.language).word).collect::<Vec<_>>().join(" + ")
}

/// Whether a tier of this part is wanted: where something is in it for anybody.
pub(super) fn parts(timeline: &Timeline) -> impl Iterator<Item = FacePart> {
    let was_measured = timeline.tracks.iter().any(|track| track.neutral.is_some());
    FacePart::ALL.into_iter().filter(move |_| was_measured)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn event(kind: EventKind, first_frame: usize, last_frame: usize) -> FaceEvent {
        FaceEvent { kind, first_frame, last_frame, start_s: 0.0, end_s: 0.0, peak: 1.0 }
    }

    #[test]
    fn what_goes_on_at_once_stands_in_one_annotation() {
        let mut timeline = sample::two_signers();
        timeline.tracks[0].events =
            vec![event(EventKind::HeadLeft, 0, 3), event(EventKind::TiltLeft, 2, 4), event(EventKind::Blink, 1, 1)];
        let found = stretches(&timeline.tracks[0], &timeline, FacePart::Head);
        let kinds: Vec<_> = found.iter().map(|stretch| value(&stretch.what, &Preset::default())).collect();
        assert_eq!(kinds, ["turned left", "turned left + tilted left", "tilted left"]);
        let times: Vec<_> = found.iter().map(|stretch| (stretch.start_ms, stretch.end_ms)).collect();
        assert_eq!(times, [(200, 280), (280, 360), (360, 400)]);
        assert_eq!(stretches(&timeline.tracks[0], &timeline, FacePart::Eyes).len(), 1);
        assert_eq!(stretches(&timeline.tracks[1], &timeline, FacePart::Head), []);
    }

    #[test]
    fn every_kind_has_a_word_of_its_own_in_either_language() {
        for language in [Language::Eng, Language::Deu] {
            let words: std::collections::BTreeSet<_> =
                EventKind::ALL.map(|kind| super::event(kind, language).word).into_iter().collect();
            assert_eq!(words.len(), EventKind::ALL.len());
        }
    }
}
