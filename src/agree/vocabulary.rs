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
    #[error(
        "{path}, line {line}: '{class}' is none of the classes neutral, happiness, sadness, surprise, fear, disgust, \
             anger, nor '-' for words to be left out"
    )]
    Class { path: String, line: u64, class: String },
}

impl Vocabulary {
    /// Reads a CSV of `word,class`, without a header; the class `-` leaves a word out.
    ///
    /// # Errors
    /// If it cannot be read or names an unknown class.
    pub fn read(path: &Path) -> Result<Self, VocabularyError> {
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
            None => expression_called(word).map(Some).ok_or_else(|| word.to_owned()),
        }
    }
}

fn folded(word: &str) -> String {
    word.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
