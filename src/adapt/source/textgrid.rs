//! Praat's TextGrids, long and short (Boersma & Weenink, Praat manual, "TextGrid file formats"): the numbers and texts are the
//! same in both, in the same order; all else is there for people.

use std::path::Path;

use super::super::annotation::{Annotated, AnnotatedTier, AnnotationDocument};
use super::super::left_out::Reason;
use super::named_like;
use crate::files;

/// A day of speech in words has a few megabytes.
const LARGEST: u64 = 64 << 20;

/// Reads a grid's interval tiers; points have no length and are left out.
pub(super) fn read(path: &Path) -> Result<AnnotationDocument, Reason> {
    let unusable = |reason: String| Reason::Unreadable(format!("{}: {reason}", path.display()));
    let bytes = files::read(path, LARGEST).map_err(|e| unusable(e.to_string()))?;
    let text = files::table::text_of(&bytes).map_err(|e| unusable(e.to_string()))?;
    let tiers = tiers(&text).ok_or_else(|| unusable("no TextGrid, or one that is cut off".into()))?;
    Ok(AnnotationDocument { path: path.into(), media: named_like(path), tiers, timeline: None })
}

/// What counts in a grid.
#[derive(Debug, Clone, PartialEq)]
enum Token {
    Text(String),
    Number(f64),
}

/// The texts and numbers in order. Indices (`intervals [3]:`) are not among them.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        match first {
            '"' => {
                let mut content = String::new();
                let mut after = &rest[1..];
                while let Some((inside, behind)) = after.split_once('"') {
                    content.push_str(inside);
                    after = behind;
                    // A doubled quote is one in the text.
                    let Some(more) = after.strip_prefix('"') else { break };
                    content.push('"');
                    after = more;
                }
                tokens.push(Token::Text(content));
                rest = after;
            }
            '[' => rest = rest.split_once(']').map_or("", |(_, behind)| behind),
            _ if first.is_whitespace() => rest = &rest[first.len_utf8()..],
            _ => {
                let end = rest.find(|c: char| c.is_whitespace() || c == '"' || c == '[').unwrap_or(rest.len());
                tokens.extend(rest[..end].parse().ok().filter(|n: &f64| n.is_finite()).map(Token::Number));
                rest = &rest[end..];
            }
        }
    }
    tokens
}

fn tiers(text: &str) -> Option<Vec<AnnotatedTier>> {
    let mut tokens = tokens(text);
    tokens.reverse();
    let tokens = &mut tokens;
    if !text_of(tokens)?.starts_with("ooTextFile") || text_of(tokens)? != "TextGrid" {
        return None;
    }
    let _span = (number_of(tokens)?, number_of(tokens)?);
    let count = number_of(tokens)? as usize;
    let mut found = Vec::new();
    for _ in 0..count {
        found.extend(tier(tokens)?);
    }
    Some(found)
}

/// The next of `tokens`, of which the last comes first, where it is a text.
fn text_of(tokens: &mut Vec<Token>) -> Option<String> {
    match tokens.pop()? {
        Token::Text(text) => Some(text),
        Token::Number(_) => None,
    }
}

/// Likewise a number.
fn number_of(tokens: &mut Vec<Token>) -> Option<f64> {
    match tokens.pop()? {
        Token::Number(number) => Some(number),
        Token::Text(_) => None,
    }
}

/// The next tier; nothing inside for a tier of points.
fn tier(tokens: &mut Vec<Token>) -> Option<Option<AnnotatedTier>> {
    let (kind, name) = (text_of(tokens)?, text_of(tokens)?);
    let is_interval = kind == "IntervalTier";
    let _span = (number_of(tokens)?, number_of(tokens)?);
    let count = number_of(tokens)? as usize;
    let mut annotations = Vec::new();
    for _ in 0..count {
        let start_s = number_of(tokens)?;
        let end_s = if is_interval { number_of(tokens)? } else { start_s };
        let word = text_of(tokens)?;
        if !word.trim().is_empty() {
            annotations.push(Annotated { start_s, end_s, word });
        }
    }
    Some(is_interval.then(|| AnnotatedTier { name, annotations, ..AnnotatedTier::default() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use crate::write::Format;

    const SHORT: &str = "File type = \"ooTextFile\"\nObject class = \"TextGrid\"\n\n0\n3.5\n<exists>\n2\n\"IntervalTier\"\n\
                         \"a \"\"b\"\"\"\n0\n3.5\n2\n0\n1.25\n\"joy\"\n1.25\n3.5\n\"\"\n\"TextTier\"\n\"p\"\n0\n3.5\n1\n2\n\"x\"\n";

    #[test]
    fn short_grids_are_read_without_their_points_and_empty_intervals() {
        let tiers = tiers(SHORT).unwrap();
        assert_eq!(tiers.len(), 1);
        assert_eq!(tiers[0].name, "a \"b\"");
        assert_eq!(tiers[0].annotations, [Annotated { start_s: 0.0, end_s: 1.25, word: "joy".into() }]);
    }

    #[test]
    fn what_this_program_writes_is_read_back() {
        let timeline = sample::two_signers();
        let mut bytes = Vec::new();
        Format::TextGrid.writer().unwrap().write(&timeline, &mut bytes).unwrap();
        let mut tiers = tiers(std::str::from_utf8(&bytes).unwrap()).unwrap();
        // Others hold what the face does.
        tiers.retain(|tier| tier.name.starts_with("expression@"));
        assert_eq!(tiers.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["expression@A", "expression@B"]);
        let words: Vec<&str> = tiers[0].annotations.iter().map(|a| a.word.as_str()).collect();
        assert_eq!(words, ["happiness", "anger"]);
        assert_eq!(tiers[0].annotations[0].start_s, 0.2);
    }

    #[test]
    fn a_grid_that_is_cut_off_is_none() {
        assert_eq!(tiers(&SHORT[..SHORT.len() - 20]), None);
        assert_eq!(tiers("x"), None);
    }
}
