//! Settings that are one of a few words, on a command line and in messages.

/// A setting with few values, each of which has a word.
pub trait Choice: Copy + PartialEq + Send + Sync + 'static {
    /// Each value with its word and, in a clause, what it means.
    const CHOICES: &'static [(Self, &'static str, &'static str)];
    /// Words that are understood as well.
    const ALIASES: &'static [(Self, &'static str)] = &[];

    /// The value's word.
    fn word(self) -> &'static str {
        Self::CHOICES.iter().find(|(value, ..)| *value == self).map_or("", |(_, word, _)| word)
    }

    /// The value that `word` stands for.
    fn from_word(word: &str) -> Option<Self> {
        let own = Self::CHOICES.iter().map(|(value, own, _)| (value, own));
        let others = Self::ALIASES.iter().map(|(value, other)| (value, other));
        own.chain(others).find(|(_, known)| **known == word).map(|(value, _)| *value)
    }

    /// All words, as a list for a message.
    fn words() -> String {
        let words: Vec<&str> = Self::CHOICES.iter().map(|(_, word, _)| *word).collect();
        words.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Side {
        Left,
        Right,
    }

    impl Choice for Side {
        const CHOICES: &'static [(Self, &'static str, &'static str)] =
            &[(Self::Left, "left", "The signer's left"), (Self::Right, "right", "The signer's right")];
        const ALIASES: &'static [(Self, &'static str)] = &[(Self::Left, "sinister")];
    }

    #[test]
    fn every_word_is_read_back_and_others_are_not() {
        for (side, word, _) in Side::CHOICES {
            assert_eq!((Side::from_word(word), side.word()), (Some(*side), *word));
        }
        assert_eq!(Side::from_word("sinister"), Some(Side::Left));
        assert_eq!((Side::from_word("Left"), Side::from_word("")), (None, None));
        assert_eq!(Side::words(), "left, right");
    }
}
