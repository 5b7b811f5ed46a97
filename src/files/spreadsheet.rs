//! Foreign text in tables that people open in spreadsheets.

use std::borrow::Cow;

/// How a text begins that a spreadsheet takes for a formula (OWASP, "CSV Injection").
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// `text` as a cell that is not taken for a formula: an apostrophe stands before one that would be, and control characters
/// are blanks. Numbers stay as they are.
pub fn spreadsheet_cell(text: &str) -> Cow<'_, str> {
    let is_formula = text.starts_with(FORMULA) && text.parse::<f64>().is_err();
    let has_control = text.contains(char::is_control);
    if !is_formula && !has_control {
        return Cow::Borrowed(text);
    }
    let clean = text.replace(char::is_control, " ");
    Cow::Owned(if is_formula { format!("'{clean}") } else { clean })
}

/// The text that [`spreadsheet_cell`] made a cell of, but for its control characters.
pub fn text_of_cell(cell: &str) -> &str {
    match cell.strip_prefix('\'') {
        Some(text) if text.starts_with(FORMULA) || text.starts_with(' ') => text,
        _ => cell,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_a_formula_and_numbers_stay_numbers() {
        for text in ["=1+1", "+49 30", "-x", "@SUM(A1)", "\t=1", "\r=1"] {
            assert!(spreadsheet_cell(text).starts_with('\''), "{text}");
        }
        for text in ["a=1", "-4.0", "+1e3", "", "a b", "ü-1"] {
            assert_eq!(spreadsheet_cell(text), text);
        }
        assert_eq!(spreadsheet_cell("a\nb\u{1b}[31m"), "a b [31m");
    }

    #[test]
    fn what_was_written_is_read_back() {
        for text in ["=a/b.png", "-1.png", "@x", "'quoted'", "plain.png", "a'b"] {
            assert_eq!(text_of_cell(&spreadsheet_cell(text)), text);
        }
    }
}
