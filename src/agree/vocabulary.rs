//! Which class a human's word stands for.

use std::collections::HashMap;
use std::path::Path;

use crate::eaf::vocabulary::expression_called;
use crate::files;
use crate::timeline::Expression;

/// A mapping from words to classes, or to nothing for words that are to be left out.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    words: HashMap<String, Option<Expression>>,
}

/// Why a mapping cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum VocabularyError {
    #[error("{path}: {source}")]
    Read { path: String, source: csv::Error },
    #[error("{path}: {reason}")]
    Toml { path: String, reason: String },
    #[error(
        "{path}, line {line}: '{class}' is not one of the classes neutral, happiness, sadness, surprise, fear, disgust, \
             anger, nor '-' for words to be left out"
    )]
    Class { path: String, line: u64, class: String },
}

impl Vocabulary {
    /// Reads a CSV of `word,class`, without a header, or a TOML of `class = ["word", ...]` and `word = "class"`; the class `-`
    /// leaves a word out.
    ///
    /// # Errors
    /// If it cannot be read or names an unknown class.
    pub fn read(path: &Path) -> Result<Self, VocabularyError> {
        match path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml")) {
            true => Self::read_toml(path),
            false => Self::read_csv(path),
        }
    }

    fn read_toml(path: &Path) -> Result<Self, VocabularyError> {
        let fault = |reason: String| VocabularyError::Toml { path: path.display().to_string(), reason };
        let text = files::read_text(path, files::HANDWRITTEN).map_err(|e| fault(e.to_string()))?;
        let table: toml::Table = toml::from_str(&text).map_err(|e| fault(files::toml_fault(&text, &e)))?;
        let class = |name: &str| {
            match name {
            "-" => Ok(None),
            name => Expression::from_name(name).map(Some).ok_or_else(|| {
                fault(format!("'{name}' is not one of the classes neutral, happiness, sadness, surprise, fear, disgust, anger, nor '-'"))
            }),
        }
        };
        let mut words = HashMap::new();
        for (key, value) in &table {
            match value {
                toml::Value::String(name) => drop(words.insert(folded(key), class(name)?)),
                toml::Value::Array(list) => {
                    let expression = class(key)?;
                    for word in list {
                        let word = word.as_str().ok_or_else(|| fault(format!("'{key}': {word} is no word")))?;
                        words.insert(folded(word), expression);
                    }
                }
                _ => return Err(fault(format!("'{key}' is neither class = [\"word\", ...] nor word = \"class\""))),
            }
        }
        Ok(Self { words })
    }

    fn read_csv(path: &Path) -> Result<Self, VocabularyError> {
        let shown = || path.display().to_string();
        let fault = |source| VocabularyError::Read { path: shown(), source };
        let text = files::read(path, files::HANDWRITTEN).map_err(|e| fault(e.into()))?;
        let mut format = csv::ReaderBuilder::new();
        let mut reader = format.has_headers(false).comment(Some(b'#')).trim(csv::Trim::All).from_reader(&text[..]);
        let mut words = HashMap::new();
        for row in reader.records() {
            let row = row.map_err(fault)?;
            let class = row.get(1).unwrap_or_default();
            let expression = match class {
                "-" => None,
                name => Some(Expression::from_name(name).ok_or_else(|| VocabularyError::Class {
                    path: shown(),
                    line: row.position().map_or(0, csv::Position::line),
                    class: name.into(),
                })?),
            };
            words.insert(folded(row.get(0).unwrap_or_default()), expression);
        }
        Ok(Self { words })
    }

    /// The class `word` stands for; nothing for an empty word or one that is left out.
    ///
    /// # Errors
    /// The word itself, where it is not known.
    pub fn class_of(&self, word: &str) -> Result<Option<Expression>, String> {
        let word = word.trim();
        if word.is_empty() {
            return Ok(None);
        }
        match self.words.get(&folded(word)) {
            Some(class) => Ok(*class),
            None => expression_called(word).or_else(|| everyday(word)).map(Some).ok_or_else(|| word.to_owned()),
        }
    }
}

/// In lower case, and with umlauts as one character: Macs write them as two.
fn folded(word: &str) -> String {
    let word = word.trim().to_lowercase();
    word.replace("a\u{308}", "ä").replace("o\u{308}", "ö").replace("u\u{308}", "ü")
}

/// Everyday words that annotators write for the classes, in English and German. A word that could stand for two classes
/// ('Schreck', 'upset') is left to --map.
const EVERYDAY: [(Expression, &[&str]); Expression::COUNT] = [
    (
        Expression::Neutral,
        &["calm", "no emotion", "no expression", "neutrality", "ruhig", "kein ausdruck", "kein gefühl"],
    ),
    (
        Expression::Happiness,
        &[
            "happy",
            "joy",
            "joyful",
            "glad",
            "cheerful",
            "smile",
            "smiles",
            "smiling",
            "laugh",
            "laughing",
            "laughter",
            "amused",
            "froh",
            "fröhlich",
            "freude",
            "freudig",
            "freut sich",
            "glücklich",
            "glück",
            "lächeln",
            "lächelt",
            "lachen",
            "lacht",
            "heiter",
            "erfreut",
        ],
    ),
    (
        Expression::Sadness,
        &[
            "sad",
            "unhappy",
            "sorrow",
            "sorrowful",
            "grief",
            "crying",
            "traurig",
            "traurigkeit",
            "trauer",
            "kummer",
            "betrübt",
            "bedrückt",
            "weint",
            "weinen",
        ],
    ),
    (
        Expression::Surprise,
        &[
            "surprised",
            "astonished",
            "astonishment",
            "amazed",
            "amazement",
            "überrascht",
            "überraschung",
            "ueberrascht",
            "ueberraschung",
            "erstaunt",
            "erstaunen",
            "staunen",
            "staunt",
            "verblüfft",
            "verwundert",
        ],
    ),
    (
        Expression::Fear,
        &[
            "scared",
            "afraid",
            "fearful",
            "frightened",
            "terrified",
            "anxious",
            "anxiety",
            "angst",
            "ängstlich",
            "aengstlich",
            "verängstigt",
            "furcht",
            "fürchtet sich",
            "hat angst",
        ],
    ),
    (
        Expression::Disgust,
        &["disgusted", "repulsed", "ekel", "angeekelt", "angewidert", "ekelt sich", "abscheu", "eklig"],
    ),
    (
        Expression::Anger,
        &[
            "angry",
            "furious",
            "rage",
            "mad",
            "annoyed",
            "irritated",
            "wut",
            "wütend",
            "wuetend",
            "ärger",
            "aerger",
            "ärgerlich",
            "aergerlich",
            "verärgert",
            "zorn",
            "zornig",
            "böse",
            "sauer",
            "genervt",
        ],
    ),
];

fn everyday(word: &str) -> Option<Expression> {
    let word = folded(word);
    let (class, _) = EVERYDAY.iter().find(|(_, words)| words.contains(&word.as_str()))?;
    Some(*class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyday_words_of_both_languages_are_known_each_for_one_class() {
        let vocabulary = Vocabulary::default();
        for (word, class) in [
            ("happy", Expression::Happiness),
            ("Sad", Expression::Sadness),
            ("ANGRY", Expression::Anger),
            ("surprised", Expression::Surprise),
            ("scared", Expression::Fear),
            ("disgusted", Expression::Disgust),
            ("Freude", Expression::Happiness),
            ("Trauer", Expression::Sadness),
            (" wütend ", Expression::Anger),
            ("Wut", Expression::Anger),
            ("Ekel", Expression::Disgust),
            ("Angst", Expression::Fear),
            ("U\u{308}berraschung", Expression::Surprise),
            ("no expression", Expression::Neutral),
        ] {
            assert_eq!(vocabulary.class_of(word), Ok(Some(class)), "{word}");
        }
        assert_eq!(vocabulary.class_of("Schreck"), Err("Schreck".into()));
        let words: Vec<&str> = EVERYDAY.iter().flat_map(|(_, words)| words.iter().copied()).collect();
        let distinct: std::collections::BTreeSet<&str> = words.iter().copied().collect();
        assert_eq!(words.len(), distinct.len());
        assert!(words.iter().all(|word| folded(word) == *word));
    }

    #[test]
    fn words_are_mapped_left_out_or_unknown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map.csv");
        std::fs::write(&path, "# ours\nSmile, happiness\nmouthing,-\n").unwrap();
        let vocabulary = Vocabulary::read(&path).unwrap();
        assert_eq!(vocabulary.class_of("smile"), Ok(Some(Expression::Happiness)));
        assert_eq!(vocabulary.class_of("Mouthing"), Ok(None));
        assert_eq!(vocabulary.class_of("Angst"), Ok(Some(Expression::Fear)));
        assert_eq!(vocabulary.class_of("puff"), Err("puff".into()));
        std::fs::write(&path, "a,happy\n").unwrap();
        assert!(Vocabulary::read(&path).unwrap_err().to_string().contains("line 1: 'happy'"));
        assert!(Vocabulary::read(&folder.path().join("absent")).is_err());
    }

    #[test]
    fn a_toml_says_the_same_by_class_or_by_word() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map.toml");
        std::fs::write(&path, "happiness = [\"Smile\", \"grins\"]\n\"-\" = [\"mouthing\"]\nSchreck = \"fear\"\n")
            .unwrap();
        let vocabulary = Vocabulary::read(&path).unwrap();
        for (word, class) in [
            ("smile", Some(Expression::Happiness)),
            ("GRINS", Some(Expression::Happiness)),
            ("mouthing", None),
            ("schreck", Some(Expression::Fear)),
        ] {
            assert_eq!(vocabulary.class_of(word), Ok(class), "{word}");
        }
        for (text, part) in [
            ("joy = [\"x\"]", "'joy' is not one of"),
            ("x = 3", "'x' is neither"),
            ("fear = [1]", "'fear': 1"),
            ("fear", "line 1"),
        ] {
            std::fs::write(&path, text).unwrap();
            let message = Vocabulary::read(&path).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
