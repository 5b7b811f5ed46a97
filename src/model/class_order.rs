//! The orders and names in which others list the expressions, and what each entry means here.

use serde::{Deserialize, Serialize};

use crate::choice::Choice;
use crate::timeline::Expression;
use Expression::{Anger, Disgust, Fear, Happiness, Neutral, Sadness, Surprise};
use Meaning::{Contempt, Nothing, Other, Seven};

/// What a class of another's network means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// One of the seven expressions.
    Seven(Expression),
    /// Contempt, which is not one of the seven.
    Contempt,
    /// Some other expression.
    Other,
    /// The annotators saw no expression.
    Nothing,
}

/// A published order of classes: of a network's outputs, or of the numbers in a data set's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClassOrder {
    /// Ours: neutral, happiness, sadness, surprise, fear, disgust, anger
    Canonical,
    /// SLTAT 2022 and the 7-class networks it builds on: anger, disgust, fear, happiness, neutral, sadness, surprise
    Seed,
    /// The 8-class networks of EmotiEffLib: anger, contempt, disgust, fear, happiness, neutral, sadness, surprise
    Emotieff8,
    /// The same with valence and arousal after them, which are no classes
    Emotieff8Va,
    /// FePh's files: neutral, anger, disgust, fear, happiness, sadness, surprise, none
    Feph,
    /// AffectNet's files: neutral, happiness, sadness, surprise, fear, disgust, anger, contempt
    Affectnet,
    /// EASIER: happiness, sadness, surprise, fear, anger, disgust, contempt, other, neutral
    Easier,
    /// FER2013's files: anger, disgust, fear, happiness, sadness, surprise, neutral
    Fer2013,
}

impl Choice for ClassOrder {
    const CHOICES: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Canonical, "canonical", "Ours: neutral, happiness, sadness, surprise, fear, disgust, anger"),
        (
            Self::Seed,
            "seed",
            "SLTAT 2022 and the 7-class networks it builds on: anger, disgust, fear, happiness, neutral, sadness, surprise",
        ),
        (
            Self::Emotieff8,
            "emotieff8",
            "The 8-class networks of EmotiEffLib: anger, contempt, disgust, fear, happiness, neutral, sadness, surprise",
        ),
        (Self::Emotieff8Va, "emotieff8-va", "The same with valence and arousal after them, which are no classes"),
        (Self::Feph, "feph", "FePh's files: neutral, anger, disgust, fear, happiness, sadness, surprise, none"),
        (
            Self::Affectnet,
            "affectnet",
            "AffectNet's files: neutral, happiness, sadness, surprise, fear, disgust, anger, contempt",
        ),
        (
            Self::Easier,
            "easier",
            "EASIER: happiness, sadness, surprise, fear, anger, disgust, contempt, other, neutral",
        ),
        (Self::Fer2013, "fer2013", "FER2013's files: anger, disgust, fear, happiness, sadness, surprise, neutral"),
    ];
}

impl ClassOrder {
    /// What the entries mean, from number 0.
    pub fn meanings(self) -> &'static [Meaning] {
        match self {
            Self::Canonical => &[
                Seven(Neutral),
                Seven(Happiness),
                Seven(Sadness),
                Seven(Surprise),
                Seven(Fear),
                Seven(Disgust),
                Seven(Anger),
            ],
            Self::Seed => &[
                Seven(Anger),
                Seven(Disgust),
                Seven(Fear),
                Seven(Happiness),
                Seven(Neutral),
                Seven(Sadness),
                Seven(Surprise),
            ],
            Self::Emotieff8 => &[
                Seven(Anger),
                Contempt,
                Seven(Disgust),
                Seven(Fear),
                Seven(Happiness),
                Seven(Neutral),
                Seven(Sadness),
                Seven(Surprise),
            ],
            Self::Emotieff8Va => &[
                Seven(Anger),
                Contempt,
                Seven(Disgust),
                Seven(Fear),
                Seven(Happiness),
                Seven(Neutral),
                Seven(Sadness),
                Seven(Surprise),
                Other,
                Other,
            ],
            Self::Feph => &[
                Seven(Neutral),
                Seven(Anger),
                Seven(Disgust),
                Seven(Fear),
                Seven(Happiness),
                Seven(Sadness),
                Seven(Surprise),
                Nothing,
            ],
            Self::Affectnet => &[
                Seven(Neutral),
                Seven(Happiness),
                Seven(Sadness),
                Seven(Surprise),
                Seven(Fear),
                Seven(Disgust),
                Seven(Anger),
                Contempt,
            ],
            Self::Easier => &[
                Seven(Happiness),
                Seven(Sadness),
                Seven(Surprise),
                Seven(Fear),
                Seven(Anger),
                Seven(Disgust),
                Contempt,
                Other,
                Seven(Neutral),
            ],
            Self::Fer2013 => &[
                Seven(Anger),
                Seven(Disgust),
                Seven(Fear),
                Seven(Happiness),
                Seven(Sadness),
                Seven(Surprise),
                Seven(Neutral),
            ],
        }
    }

    /// The index of an expression in this order; every order has all seven.
    pub fn index_of(self, expression: Expression) -> usize {
        self.meanings().iter().position(|m| *m == Seven(expression)).unwrap_or_default()
    }
}

/// What a class's name means, in the spellings that data sets use; `None` for others.
pub fn meaning(word: &str) -> Option<Meaning> {
    Some(match word.trim().to_ascii_lowercase().as_str() {
        "neutral" => Seven(Neutral),
        "happiness" | "happy" => Seven(Happiness),
        "sadness" | "sad" => Seven(Sadness),
        "surprise" | "surprised" => Seven(Surprise),
        "fear" | "fearful" => Seven(Fear),
        "disgust" | "disgusted" => Seven(Disgust),
        "anger" | "angry" => Seven(Anger),
        "contempt" => Contempt,
        "other" | "others" => Other,
        "none" | "unknown" => Nothing,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_has_each_expression_once() {
        for order in ClassOrder::CHOICES.iter().map(|(order, ..)| *order) {
            for expression in Expression::ALL {
                let count = order.meanings().iter().filter(|m| **m == Seven(expression)).count();
                assert_eq!(count, 1, "{order:?} {expression:?}");
                assert_eq!(order.meanings()[order.index_of(expression)], Seven(expression));
            }
        }
        assert_eq!(ClassOrder::Canonical.meanings(), Expression::ALL.map(Seven));
    }

    #[test]
    fn orders_are_those_of_the_reference() {
        // The five columns of the reference's table of label orders, by one row each.
        let fourth = |order: ClassOrder| order.meanings()[4];
        assert_eq!(fourth(ClassOrder::Seed), Seven(Neutral));
        assert_eq!(fourth(ClassOrder::Emotieff8), Seven(Happiness));
        assert_eq!(fourth(ClassOrder::Feph), Seven(Happiness));
        assert_eq!(fourth(ClassOrder::Affectnet), Seven(Fear));
        assert_eq!(fourth(ClassOrder::Easier), Seven(Anger));
        assert_eq!(ClassOrder::Feph.meanings()[7], Nothing);
    }

    #[test]
    fn names_of_data_sets_are_known_in_any_case() {
        assert_eq!(meaning("Happy"), Some(Seven(Happiness)));
        assert_eq!(meaning("ANGER"), Some(Seven(Anger)));
        assert_eq!(meaning("joyful"), None);
    }
}
