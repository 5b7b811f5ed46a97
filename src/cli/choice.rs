//! The library's choices as options: help lists their words.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::choice::Choice;

/// Reads one of the words of `T`.
pub(super) fn choice<T: Choice>() -> impl TypedValueParser<Value = T> {
    let aliases = |value| T::ALIASES.iter().filter(move |(of, _)| *of == value).map(|(_, alias)| *alias);
    let values =
        T::CHOICES.iter().map(|(value, word, help)| PossibleValue::new(*word).help(*help).aliases(aliases(*value)));
    PossibleValuesParser::new(values).try_map(|word| T::from_word(&word).ok_or("no such word"))
}
