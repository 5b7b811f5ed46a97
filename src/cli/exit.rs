//! The one table from errors to exit codes.

use std::fmt;

/// Why the program ends without success, and the exit code that says so.
#[derive(Debug)]
pub enum Failure {
    /// 1: our bug, or something nobody foresaw.
    Unforeseen(anyhow::Error),
    /// 2: the arguments make no sense together.
    Usage(String),
    /// 3: the input is refused.
    Input(String),
    /// 4: the result is written, but partial.
    Partial(String),
    /// 5: the model or the configuration is refused.
    Configuration(String),
    /// 6: the output cannot be written.
    Output(String),
    /// 7: a limit was reached.
    Limit(String),
    /// 8: several inputs, and some are refused, partial or over a limit; each has been named already.
    SomeFailed(String),
    /// 75: it could not be done now; trying again may help.
    Temporary(String),
    /// 130 or 143: ended by a signal.
    Interrupted {
        /// The signal's number: 2 (Ctrl-C) or 15 (TERM).
        signal: i32,
        /// What was kept, and how to go on.
        hint: String,
    },
}

/// The exit code of a failure; `--help` lists them.
pub fn exit_code(failure: &Failure) -> u8 {
    match failure {
        Failure::Unforeseen(_) => 1,
        Failure::Usage(_) => 2,
        Failure::Input(_) => 3,
        Failure::Partial(_) => 4,
        Failure::Configuration(_) => 5,
        Failure::Output(_) => 6,
        Failure::Limit(_) => 7,
        Failure::SomeFailed(_) => 8,
        // EX_TEMPFAIL of sysexits.h, which engines take for a reason to try again.
        Failure::Temporary(_) => 75,
        Failure::Interrupted { signal, .. } => 128 + *signal as u8,
    }
}

/// One line: control characters (a hostile file name, say) become visible escapes.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Unforeseen(error) => format!("{error:#} (this should not happen: please report it)"),
            Self::Usage(text)
            | Self::Input(text)
            | Self::Partial(text)
            | Self::Configuration(text)
            | Self::Output(text)
            | Self::Limit(text)
            | Self::SomeFailed(text)
            | Self::Temporary(text)
            | Self::Interrupted { hint: text, .. } => text.clone(),
        };
        for character in text.chars() {
            match character.is_control() {
                true => write!(f, "{}", character.escape_default())?,
                false => write!(f, "{character}")?,
            }
        }
        Ok(())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Unforeseen(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_whatever_the_file_is_called() {
        let failure = Failure::Input("a\nb\u{1b}[31m.mp4: missing".into());
        assert_eq!(failure.to_string(), "a\\nb\\u{1b}[31m.mp4: missing");
    }
}
