//! The words of the controlled vocabularies, in English and German.

use super::preset::Language;
use crate::timeline::{Expression, Status};

/// A word and what it means.
pub(super) struct Entry {
    pub word: &'static str,
    pub meaning: &'static str,
}

pub(super) const fn entry(word: &'static str, meaning: &'static str) -> Entry {
    Entry { word, meaning }
}

pub(super) fn expression(expression: Expression, language: Language) -> Entry {
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
pub(super) fn status(status: Status, language: Language) -> Option<Entry> {
    Some(match (language, status) {
        (_, Status::Ok) => return None,
        (Language::Eng, Status::NoFace) => entry("no face", "no face was found"),
        (Language::Eng, Status::LowQuality) => entry("low quality", "too small, blurred or damaged to read"),
        (Language::Eng, Status::Occluded) => entry("occluded", "something covers the face"),
        (Language::Eng, Status::OutOfFrame) => entry("out of frame", "the face has left the picture"),
        (Language::Eng, Status::TurnedAway) => {
            entry("turned away", "the head is turned so far that half of the face is not seen")
        }
        (Language::Deu, Status::NoFace) => entry("kein Gesicht", "kein Gesicht wurde gefunden"),
        (Language::Deu, Status::LowQuality) => entry("unleserlich", "zu klein, unscharf oder gestört"),
        (Language::Deu, Status::Occluded) => entry("verdeckt", "etwas verdeckt das Gesicht"),
        (Language::Deu, Status::OutOfFrame) => entry("außerhalb", "das Gesicht ist nicht mehr im Bild"),
        (Language::Deu, Status::TurnedAway) => {
            entry("abgewandt", "der Kopf ist so weit gedreht, dass das halbe Gesicht nicht zu sehen ist")
        }
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
}
