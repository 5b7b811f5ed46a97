//! The words of the controlled vocabularies, in English and German.

use super::preset::Language;
use super::xml::Element;
use crate::palette::{Colour, NO_FACE, colour_of, colour_of_event};
use crate::timeline::{EventKind, Expression, FacePart, Status};

/// A controlled vocabulary of a document.
pub(super) struct ControlledVocabulary {
    /// Its name, and that of the linguistic type of tiers that hold its words.
    pub id: &'static str,
    english: &'static str,
    german: &'static str,
    words: fn() -> Vec<Word>,
}

/// An entry of a vocabulary.
pub(super) struct Word {
    /// How annotations refer to it.
    pub id: String,
    pub english: VocabularyEntry,
    pub german: VocabularyEntry,
    /// What ELAN paints its annotations with.
    pub colour: Colour,
}

/// What faces look like.
pub(super) static EXPRESSIONS: ControlledVocabulary = ControlledVocabulary {
    id: "annotate-expression",
    english: "What the face looks like: Ekman's six basic emotions and neutral",
    german: "Wie das Gesicht wirkt: Ekmans sechs Grundgefühle und neutral",
    words: || {
        let word = |class: Expression| Word {
            id: entry_id(class.name()),
            english: expression(class, Language::Eng),
            german: expression(class, Language::Deu),
            colour: colour_of(class),
        };
        Expression::ALL.map(word).into()
    },
};

/// Why faces are not read.
pub(super) static STATUSES: ControlledVocabulary = ControlledVocabulary {
    id: "annotate-status",
    english: "Why the face is not read",
    german: "Warum das Gesicht nicht gelesen ist",
    words: || {
        let word = |unread: Status| {
            let (english, german) = (status(unread, Language::Eng)?, status(unread, Language::Deu)?);
            Some(Word { id: entry_id(unread.name()), english, german, colour: NO_FACE })
        };
        let unread = [Status::NoFace, Status::LowQuality, Status::Occluded, Status::OutOfFrame, Status::TurnedAway];
        unread.into_iter().filter_map(word).collect()
    },
};

/// What parts of the face do, in the order of [`FacePart::ALL`].
static DOINGS: [ControlledVocabulary; FacePart::ALL.len()] = [
    ControlledVocabulary {
        id: "annotate-brows",
        english: "What the brows do",
        german: "Was die Brauen tun",
        words: || doings(FacePart::Brows),
    },
    ControlledVocabulary {
        id: "annotate-eyes",
        english: "What the eyes do",
        german: "Was die Augen tun",
        words: || doings(FacePart::Eyes),
    },
    ControlledVocabulary {
        id: "annotate-mouth",
        english: "What the mouth does",
        german: "Was der Mund tut",
        words: || doings(FacePart::Mouth),
    },
    ControlledVocabulary {
        id: "annotate-head",
        english: "How the head is turned and moves; left and right are the signer's",
        german: "Wie der Kopf gedreht ist und sich bewegt; links und rechts von der Person aus",
        words: || doings(FacePart::Head),
    },
    ControlledVocabulary {
        id: "annotate-hands-on-face",
        english: "Hands on the face",
        german: "Hände am Gesicht",
        words: || doings(FacePart::Hands),
    },
];

fn doings(part: FacePart) -> Vec<Word> {
    let word = |kind: EventKind| Word {
        id: entry_id(kind.name()),
        english: event(kind, Language::Eng),
        german: event(kind, Language::Deu),
        colour: colour_of_event(kind),
    };
    part.kinds().map(word).collect()
}

/// What a part of the face does.
pub(super) fn of_part(part: FacePart) -> &'static ControlledVocabulary {
    &DOINGS[part as usize]
}

impl ControlledVocabulary {
    /// Its entries in order.
    pub(super) fn words(&self) -> Vec<Word> {
        (self.words)()
    }

    /// As it stands in a document.
    pub(super) fn element(&self) -> Element {
        let description =
            |language: &str, text: &str| Element::new("DESCRIPTION").with("LANG_REF", language).text(text);
        let mut element = Element::new("CONTROLLED_VOCABULARY")
            .with("CV_ID", self.id)
            .child(description("eng", self.english))
            .child(description("deu", self.german));
        for Word { id, english, german, .. } in self.words() {
            let mut entry = Element::new("CV_ENTRY_ML").with("CVE_ID", id);
            for (language, word) in [("eng", english), ("deu", german)] {
                let value = Element::new("CVE_VALUE").with("DESCRIPTION", word.meaning).with("LANG_REF", language);
                entry.push(value.text(word.word));
            }
            element.push(entry);
        }
        element
    }
}

/// The id of the entry for a class, status or the like by its name in files.
pub(super) fn entry_id(name: &str) -> String {
    format!("cve-{name}")
}

/// A word and what it means.
pub(super) struct VocabularyEntry {
    pub word: &'static str,
    pub meaning: &'static str,
}

const fn entry(word: &'static str, meaning: &'static str) -> VocabularyEntry {
    VocabularyEntry { word, meaning }
}

pub(super) fn expression(expression: Expression, language: Language) -> VocabularyEntry {
    use Expression::{Anger, Disgust, Fear, Happiness, Neutral, Sadness, Surprise};
    match (language, expression) {
        (Language::Eng, Neutral) => entry("neutral", "no expression of emotion"),
        (Language::Eng, Happiness) => entry("happiness", "the face looks happy, e.g. smiles"),
        (Language::Eng, Sadness) => entry("sadness", "the face looks sad"),
        (Language::Eng, Surprise) => entry("surprise", "the face looks surprised"),
        (Language::Eng, Fear) => entry("fear", "the face looks afraid"),
        (Language::Eng, Disgust) => entry("disgust", "the face looks disgusted"),
        (Language::Eng, Anger) => entry("anger", "the face looks angry"),
        (Language::Deu, Neutral) => entry("neutral", "kein Ausdruck eines Gefühls"),
        (Language::Deu, Happiness) => entry("Freude", "das Gesicht wirkt froh, lächelt zum Beispiel"),
        (Language::Deu, Sadness) => entry("Trauer", "das Gesicht wirkt traurig"),
        (Language::Deu, Surprise) => entry("Überraschung", "das Gesicht wirkt überrascht"),
        (Language::Deu, Fear) => entry("Angst", "das Gesicht wirkt ängstlich"),
        (Language::Deu, Disgust) => entry("Ekel", "das Gesicht wirkt angeekelt"),
        (Language::Deu, Anger) => entry("Ärger", "das Gesicht wirkt ärgerlich"),
    }
}

/// `None` for [`Status::Ok`], which needs no word.
pub(super) fn status(status: Status, language: Language) -> Option<VocabularyEntry> {
    Some(match (language, status) {
        (_, Status::Ok) => return None,
        (Language::Eng, Status::NoFace) => entry("no face", "no face was found"),
        (Language::Eng, Status::LowQuality) => entry("low quality", "too small, blurred or damaged to read"),
        (Language::Eng, Status::Occluded) => entry("occluded", "something covers the face"),
        (Language::Eng, Status::OutOfFrame) => entry("out of frame", "the face has left the picture"),
        (Language::Eng, Status::TurnedAway) => {
            entry("turned away", "half of the face is not seen, so far is the head turned")
        }
        (Language::Deu, Status::NoFace) => entry("kein Gesicht", "kein Gesicht wurde gefunden"),
        (Language::Deu, Status::LowQuality) => entry("unleserlich", "zu klein, unscharf oder gestört"),
        (Language::Deu, Status::Occluded) => entry("verdeckt", "etwas verdeckt das Gesicht"),
        (Language::Deu, Status::OutOfFrame) => entry("außerhalb", "das Gesicht ist nicht mehr im Bild"),
        (Language::Deu, Status::TurnedAway) => {
            entry("abgewandt", "das halbe Gesicht ist nicht zu sehen, so weit ist der Kopf gedreht")
        }
    })
}

/// Words of nonmanuals.net and of the Sign Hub, where these agree.
pub(super) fn event(kind: EventKind, language: Language) -> VocabularyEntry {
    match language {
        Language::Eng => event_in_english(kind),
        Language::Deu => event_in_german(kind),
    }
}

fn event_in_english(kind: EventKind) -> VocabularyEntry {
    match kind {
        EventKind::BrowsRaised => entry("raised", "the brows are higher than at rest"),
        EventKind::BrowsFurrowed => entry("furrowed", "the brows are lowered and drawn together"),
        EventKind::Blink => entry("blink", "the eyes close and open again"),
        EventKind::EyesClosed => entry("closed", "the eyes are closed for longer than a blink"),
        EventKind::MouthOpen => entry("open", "the lips are apart"),
        EventKind::MouthRounded => entry("rounded", "the mouth is narrower than at rest"),
        EventKind::HeadLeft => entry("turned left", "the head is turned to the signer's left"),
        EventKind::HeadRight => entry("turned right", "the head is turned to the signer's right"),
        EventKind::HeadUp => entry("up", "the head is turned up"),
        EventKind::HeadDown => entry("down", "the head is turned down"),
        EventKind::TiltLeft => entry("tilted left", "the head leans to the signer's left"),
        EventKind::TiltRight => entry("tilted right", "the head leans to the signer's right"),
        EventKind::Nod => entry("nod", "the head goes up and down (unproved: no material showed any)"),
        EventKind::Shake => entry("shake", "the head goes to and fro (unproved: no material showed any)"),
        EventKind::HandOnFace => entry("hand on face", "a hand covers a part of the face"),
    }
}

fn event_in_german(kind: EventKind) -> VocabularyEntry {
    match kind {
        EventKind::BrowsRaised => entry("gehoben", "die Brauen sind höher als in Ruhe"),
        EventKind::BrowsFurrowed => entry("zusammengezogen", "die Brauen sind gesenkt und zusammengezogen"),
        EventKind::Blink => entry("Blinzeln", "die Augen schließen und öffnen sich"),
        EventKind::EyesClosed => entry("geschlossen", "die Augen sind länger als bei einem Blinzeln zu"),
        EventKind::MouthOpen => entry("offen", "die Lippen sind geöffnet"),
        EventKind::MouthRounded => entry("gerundet", "der Mund ist schmaler als in Ruhe"),
        EventKind::HeadLeft => entry("links gedreht", "der Kopf ist zur linken Seite der Person gedreht"),
        EventKind::HeadRight => entry("rechts gedreht", "der Kopf ist zur rechten Seite der Person gedreht"),
        EventKind::HeadUp => entry("oben", "der Kopf ist nach oben gerichtet"),
        EventKind::HeadDown => entry("unten", "der Kopf ist nach unten gerichtet"),
        EventKind::TiltLeft => entry("links geneigt", "der Kopf neigt sich zur linken Seite der Person"),
        EventKind::TiltRight => entry("rechts geneigt", "der Kopf neigt sich zur rechten Seite der Person"),
        EventKind::Nod => entry("Nicken", "der Kopf geht auf und ab (ungeprüft: kein Material zeigte es)"),
        EventKind::Shake => entry("Kopfschütteln", "der Kopf geht hin und her (ungeprüft: kein Material zeigte es)"),
        EventKind::HandOnFace => entry("Hand am Gesicht", "eine Hand verdeckt einen Teil des Gesichts"),
    }
}

/// What an event is called where no tier says which part of the face does it: `mouth rounded`, `blink`.
pub(super) fn event_in_full(kind: EventKind, language: Language) -> String {
    let word = event(kind, language).word;
    let is_whole = matches!(kind, EventKind::Blink | EventKind::Nod | EventKind::Shake | EventKind::HandOnFace);
    let part = match (language, kind.part()) {
        _ if is_whole => return word.into(),
        (_, FacePart::Brows) => brows(language),
        (Language::Eng, FacePart::Eyes) => "eyes",
        (Language::Eng, FacePart::Mouth) => "mouth",
        (Language::Eng, _) => "head",
        (Language::Deu, FacePart::Eyes) => "Augen",
        (Language::Deu, FacePart::Mouth) => "Mund",
        (Language::Deu, _) => "Kopf",
    };
    format!("{part} {word}")
}

/// The brows.
pub(super) fn brows(language: Language) -> &'static str {
    match language {
        Language::Eng => "brows",
        Language::Deu => "Brauen",
    }
}

/// The kind of event that a word stands for, in either language or as a file's identifier, whatever its case.
pub(crate) fn event_called(word: &str) -> Option<EventKind> {
    let word = word.trim().to_lowercase();
    EventKind::ALL.into_iter().find(|kind| {
        let words = [Language::Eng, Language::Deu].map(|language| event(*kind, language).word.to_lowercase());
        kind.name() == word || words.contains(&word)
    })
}

/// The class a word stands for, in either language or as a file's identifier, whatever its case.
pub(crate) fn expression_called(word: &str) -> Option<Expression> {
    let word = word.trim().to_lowercase();
    Expression::ALL.into_iter().find(|class| {
        let words = [Language::Eng, Language::Deu].map(|language| expression(*class, language).word.to_lowercase());
        words.contains(&word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_both_languages_are_known() {
        assert_eq!(expression_called(" Überraschung"), Some(Expression::Surprise));
        assert_eq!(expression_called("HAPPINESS"), Some(Expression::Happiness));
        assert_eq!(expression_called("joy"), None);
    }

    #[test]
    fn every_kind_of_event_is_known_by_its_words_and_they_are_its_own() {
        for kind in EventKind::ALL {
            for word in [event(kind, Language::Eng).word, event(kind, Language::Deu).word, kind.name()] {
                assert_eq!(event_called(word), Some(kind), "{word}");
            }
            assert!(of_part(kind.part()).words().iter().any(|word| word.id == entry_id(kind.name())));
        }
        assert_eq!(event_called("happiness"), None);
    }
}
