//! The one table from errors to exit codes.

use std::fmt;

use crate::agree::{TooMuch, VocabularyError};
use crate::corpus::CorpusError;
use crate::eaf::preset::PresetError;
use crate::eaf::{self, BundleError};
use crate::files::{WriteError, visible};
use crate::model::ModelError;
use crate::overlay::OverlayError;
use crate::pipeline::AnnotateError;
use crate::pipeline::detect::DetectorError;
use crate::timeline;
use crate::train::manifest::ManifestError;
use crate::write::UnknownFormat;

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
    /// 129, 130 or 143: ended by a signal.
    Interrupted {
        /// The signal's number: 1 (HUP), 2 (Ctrl-C) or 15 (TERM).
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

/// One line of bounded length, whatever a hostile name or file says.
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
        f.write_str(&visible(&text))
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Unforeseen(error)
    }
}

/// What to do where a file is kept because somebody has touched it.
fn way_out(error: &WriteError) -> &'static str {
    match error {
        WriteError::Touched { path } if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("eaf")) => {
            " (--merge-into it adds our tiers to it, --overwrite replaces it, another name keeps both)"
        }
        WriteError::Touched { .. } => " (--overwrite replaces it, another name keeps both)",
        _ => "",
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        let text = format!("{error}{}", way_out(&error));
        match error {
            WriteError::IsInput { .. } => Self::Usage(text),
            _ => Self::Output(text),
        }
    }
}

impl From<AnnotateError> for Failure {
    fn from(error: AnnotateError) -> Self {
        let text = error.to_string();
        match error {
            AnnotateError::Decode(error) => match error.exit_code() {
                2 => Self::Usage(text),
                7 => Self::Limit(text),
                75 => Self::Temporary(text),
                _ => Self::Input(text),
            },
            AnnotateError::Setting(_) | AnnotateError::Classify { .. } => Self::Configuration(text),
            AnnotateError::Output(error) => error.into(),
            // What a small limit of memory or of processes leads to.
            AnnotateError::Thread { .. } => Self::Limit(text),
            AnnotateError::Detector(_) | AnnotateError::FaceMesh(_) | AnnotateError::Panicked { .. } => {
                Self::Unforeseen(error.into())
            }
        }
    }
}

impl From<CorpusError> for Failure {
    fn from(error: CorpusError) -> Self {
        let text = error.to_string();
        match error {
            CorpusError::Input { .. } | CorpusError::Plan { .. } => Self::Input(text),
            CorpusError::Usage(_) => Self::Usage(text),
            CorpusError::Mixed(_) => Self::Configuration(text),
            CorpusError::Output(error) => error.into(),
            CorpusError::Busy(_) | CorpusError::Temporary(_) => Self::Temporary(text),
            CorpusError::Annotate(error) => error.into(),
        }
    }
}

impl From<BundleError> for Failure {
    fn from(error: BundleError) -> Self {
        let text = error.to_string();
        match error {
            BundleError::Merge(_) => Self::Input(text),
            BundleError::Write(error) => error.into(),
            BundleError::Stdout => Self::Usage(text),
        }
    }
}

impl From<OverlayError> for Failure {
    fn from(error: OverlayError) -> Self {
        let text = error.to_string();
        match error {
            OverlayError::Decode(_) => Self::Input(text),
            OverlayError::Container { .. } | OverlayError::Name { .. } => Self::Usage(text),
            OverlayError::Output(error) => error.into(),
            OverlayError::Temporary { .. } | OverlayError::Lacks(_) | OverlayError::Encode { .. } => Self::Output(text),
        }
    }
}

impl From<DetectorError> for Failure {
    fn from(error: DetectorError) -> Self {
        match error {
            DetectorError::Model(_) => Self::Configuration(error.to_string()),
            DetectorError::NoModel | DetectorError::NeedlessModel(_) => Self::Usage(error.to_string()),
        }
    }
}

/// Errors that always mean the same class.
macro_rules! always {
    ($($error:ty => $class:ident),* $(,)?) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::$class(error.to_string())
            }
        })*
    };
}

always! {
    timeline::ReadError => Input,
    eaf::ReadError => Input,
    ManifestError => Input,
    ModelError => Configuration,
    PresetError => Configuration,
    TooMuch => Limit,
    UnknownFormat => Usage,
    VocabularyError => Configuration,
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
