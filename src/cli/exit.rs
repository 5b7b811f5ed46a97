//! The one table from errors to exit codes.

use std::fmt;

use crate::adapt::error::AdaptError;
use crate::adapt::head::FeatureError;
use crate::agree::{TooMuch, VocabularyError};
use crate::corpus::CorpusError;
use crate::eaf::preset::PresetError;
use crate::eaf::recognizer::RequestError;
use crate::eaf::{self, BundleError};
use crate::files::{LockError, WriteError, visible};
use crate::model::export::ExportError;
use crate::model::pull::PullError;
use crate::model::{self, ModelError};
use crate::overlay::OverlayError;
use crate::pipeline::AnnotateError;
use crate::pipeline::decode::{DecodeError, DecodeErrorKind};
use crate::pipeline::detect::DetectorError;
use crate::platform::signals::SIGINT;
use crate::review::{self, ApplyError, CorrectionError, ProxyError};
use crate::train::checkpoint::CheckpointError;
use crate::train::crossval::CrossvalError;
use crate::train::dataset::DatasetError;
use crate::train::fold::FoldError;
use crate::train::grid::GridError;
use crate::train::manifest::ManifestError;
use crate::train::recipe::RecipeError;
use crate::train::report::{EvaluationError, PredictionsError};
use crate::train::run::RunError;
use crate::train::start::StartError;
use crate::train::trainer::TrainError;
use crate::write::UnknownFormat;
use crate::{adapt, timeline, train};

/// Why the program ends without success, and the exit code that says so.
#[derive(Debug)]
pub enum Failure {
    /// 1: our bug, or something unforeseen.
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

impl Failure {
    /// The same failure with what a person can do about it behind its message.
    fn with(self, hint: &str) -> Self {
        self.saying(|text| format!("{text}{hint}"))
    }

    /// The same failure with another message; unforeseen ones keep their own.
    fn saying(self, other: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Unforeseen(error) => Self::Unforeseen(error),
            Self::Usage(text) => Self::Usage(other(text)),
            Self::Input(text) => Self::Input(other(text)),
            Self::Partial(text) => Self::Partial(other(text)),
            Self::Configuration(text) => Self::Configuration(other(text)),
            Self::Output(text) => Self::Output(other(text)),
            Self::Limit(text) => Self::Limit(other(text)),
            Self::SomeFailed(text) => Self::SomeFailed(other(text)),
            Self::Temporary(text) => Self::Temporary(other(text)),
            Self::Interrupted { signal, hint } => Self::Interrupted { signal, hint: other(hint) },
        }
    }

    /// The same failure of a file that is named as a setting.
    pub(super) fn of_setting(self) -> Self {
        match self {
            Self::Input(text) => Self::Configuration(text),
            other => other,
        }
    }

    /// Names the signal that interrupted; errors of the library do not know it.
    pub(super) fn by(self, received: Option<i32>) -> Self {
        match self {
            Self::Interrupted { signal, hint } => Self::Interrupted { signal: received.unwrap_or(signal), hint },
            other => other,
        }
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

/// What a person can do about a video that could not be decoded; also stands in the library's lists of failures.
pub(super) fn advice_on_decoding(error: &DecodeError) -> &'static str {
    match error {
        DecodeError::TooLarge { .. } => " (see --max-pixels)",
        DecodeError::OutOfMemory { .. } => " (see --max-memory)",
        DecodeError::EmptyRange { .. } => " (see --start and --end)",
        DecodeError::Silent { .. } => " (see --stall-timeout)",
        _ => "",
    }
}

/// What a person can do about an annotation that gave no picture.
pub(super) fn advice_on_left_out(reason: &adapt::Reason) -> &'static str {
    match reason {
        adapt::Reason::Word => "; --vocabulary maps words",
        adapt::Reason::TwoPeople(_) => "; --signer does",
        adapt::Reason::OneFace(_) => "; --signer says whose it is",
        _ => "",
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        let advice = advice_on_decoding(&error);
        let text = error.to_string();
        let failure = match error.kind() {
            DecodeErrorKind::EmptyRange => Self::Usage(text),
            DecodeErrorKind::Limit => Self::Limit(text),
            DecodeErrorKind::Lost => Self::Temporary(text),
            DecodeErrorKind::Input => Self::Input(text),
        };
        failure.with(advice)
    }
}

impl From<AnnotateError> for Failure {
    fn from(error: AnnotateError) -> Self {
        let text = error.to_string();
        match error {
            AnnotateError::Decode(error) => error.into(),
            AnnotateError::Setting(_) | AnnotateError::Classify { .. } => Self::Configuration(text),
            AnnotateError::Output(error) => error.into(),
            // What a small limit of memory or of processes leads to.
            AnnotateError::Thread { .. } => Self::Limit(text),
            AnnotateError::Detector(_)
            | AnnotateError::FaceMesh(_)
            | AnnotateError::Hands(_)
            | AnnotateError::Panicked { .. } => Self::Unforeseen(error.into()),
        }
    }
}

impl From<CorpusError> for Failure {
    fn from(error: CorpusError) -> Self {
        let text = error.to_string();
        match error {
            CorpusError::Input { .. } | CorpusError::Plan { .. } | CorpusError::NoVideo => Self::Input(text),
            CorpusError::Pattern { .. } | CorpusError::SharedName { .. } | CorpusError::ReservedName { .. } => {
                Self::Usage(text)
            }
            CorpusError::OtherVersion { .. }
            | CorpusError::OtherModel { .. }
            | CorpusError::OtherDetector { .. }
            | CorpusError::OtherPart { .. } => Self::Configuration(text),
            CorpusError::Lock(error) => error.into(),
            CorpusError::Output(error) => error.into(),
            CorpusError::Bundle(error) => error.into(),
            CorpusError::Overlay(error) => error.into(),
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
            OverlayError::FaceMesh(_) => Self::Unforeseen(error.into()),
            OverlayError::NoH264 { .. } | OverlayError::NoEncoder { .. } | OverlayError::Encode { .. } => {
                Self::Output(text)
            }
        }
    }
}

impl From<DetectorError> for Failure {
    fn from(error: DetectorError) -> Self {
        let text = error.to_string();
        match error {
            DetectorError::Model(_) => Self::Configuration(text),
            DetectorError::NoModel => Self::Usage(text).with("; name the ONNX file with --detector-model FILE"),
            DetectorError::NeedlessModel(_) => {
                Self::Usage(text).with("; add --detector yunet, or leave out --detector-model")
            }
        }
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        let hint = if matches!(error, ModelError::Precision { .. }) { "; use --precision f32" } else { "" };
        Self::Configuration(error.to_string()).with(hint)
    }
}

impl From<model::import::ModelImportError> for Failure {
    fn from(error: model::import::ModelImportError) -> Self {
        use model::import::ModelImportError as Error;
        let text = error.to_string();
        match error {
            Error::Unreadable { .. } => Self::Input(text),
            Error::Outputs { .. } => Self::Configuration(text).with("; name another order with --classes"),
            Error::Device(_) | Error::Unforeseen(_) => Self::Unforeseen(error.into()),
            _ => Self::Configuration(text),
        }
    }
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Device(error) => Self::Unforeseen(error.into()),
            error => Self::Configuration(error.to_string()),
        }
    }
}

impl From<PullError> for Failure {
    fn from(error: PullError) -> Self {
        let text = error.to_string();
        match error {
            PullError::Broken { .. } => Self::Temporary(text),
            PullError::File { .. } => Self::Output(text),
            PullError::Scheme { .. } => Self::Usage(text),
            PullError::TooLarge { .. } => Self::Limit(text),
            _ => Self::Input(text),
        }
    }
}

impl From<train::import::DataImportError> for Failure {
    fn from(error: train::import::DataImportError) -> Self {
        use train::import::DataImportError as Error;
        let text = error.to_string();
        match error {
            Error::Write { .. } => Self::Output(text),
            Error::Picture { .. } => Self::Input(text).with("; --broken skip leaves such files out"),
            Error::NumberedClass { .. } => Self::Input(text).with("; say what numbers mean with --classes"),
            _ => Self::Input(text),
        }
    }
}

impl From<train::crop::CropError> for Failure {
    fn from(error: train::crop::CropError) -> Self {
        use train::crop::CropError as Error;
        let text = error.to_string();
        match error {
            Error::Write { .. } => Self::Output(text),
            Error::Detector(_) => Self::Unforeseen(error.into()),
            _ => Self::Input(text),
        }
    }
}

impl From<EvaluationError> for Failure {
    fn from(error: EvaluationError) -> Self {
        match error {
            EvaluationError::Image(error) => error.into(),
            EvaluationError::Device(error) => Self::Unforeseen(error.into()),
        }
    }
}

impl From<FoldError> for Failure {
    fn from(error: FoldError) -> Self {
        match error {
            FoldError::TooFewParts { .. } => Self::Usage(error.to_string()),
            FoldError::TooFewGroups { .. } => Self::Input(error.to_string()),
        }
    }
}

impl From<CheckpointError> for Failure {
    fn from(error: CheckpointError) -> Self {
        let text = error.to_string();
        match error {
            CheckpointError::OtherRun { .. } => Self::Configuration(text).with("; give another --out or remove it"),
            CheckpointError::Broken { .. } => Self::Configuration(text),
            CheckpointError::Write(_) => Self::Output(text),
        }
    }
}

impl From<AdaptError> for Failure {
    fn from(error: AdaptError) -> Self {
        let text = error.to_string();
        match error {
            AdaptError::TooLittle(_) | AdaptError::Image(_) => Self::Input(text),
            AdaptError::OtherRule { .. } => Self::Input(text).with("; cut them out again for it (--model)"),
            AdaptError::Folds(error) => error.into(),
            AdaptError::Features(error) => error.into(),
            AdaptError::Write(error) => error.into(),
            AdaptError::Start(_) | AdaptError::Model(_) | AdaptError::Recipe(_) | AdaptError::NoHead(_) => {
                Self::Configuration(text)
            }
            AdaptError::Train(TrainError::Interrupted { .. }) | AdaptError::Interrupted => {
                Self::Interrupted { signal: SIGINT, hint: "interrupted; the same command goes on where it was".into() }
            }
            AdaptError::Train(error) => error.into(),
            AdaptError::Device(error) => of_device(error),
        }
    }
}

impl From<FeatureError> for Failure {
    fn from(error: FeatureError) -> Self {
        let text = error.to_string();
        match error {
            FeatureError::Image(_) => Self::Input(text),
            FeatureError::Write(error) => error.into(),
            FeatureError::Device(error) => of_device(error),
            FeatureError::Weights(_) => Self::Configuration(text),
        }
    }
}

impl From<adapt::AnnotationImportError> for Failure {
    fn from(error: adapt::AnnotationImportError) -> Self {
        use adapt::AnnotationImportError as Error;
        let text = error.to_string();
        match error {
            Error::NoSource { .. } | Error::Nothing { .. } | Error::Read { .. } => Self::Input(text),
            Error::Interrupted => Self::Interrupted { signal: SIGINT, hint: text },
            Error::Annotate(error) => error.into(),
            Error::Crop(error) => error.into(),
            Error::Write(error) => error.into(),
        }
    }
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Busy { .. } => Self::Temporary(error.to_string()),
            LockError::Output(error) => error.into(),
        }
    }
}

impl From<TrainError> for Failure {
    fn from(error: TrainError) -> Self {
        let text = error.to_string();
        match error {
            TrainError::TooFew { .. } | TrainError::OneClass(_) | TrainError::Image(_) => Self::Input(text),
            TrainError::NoValidation => Self::Input(text).with("; `annotate data split` makes a validation part"),
            TrainError::NotFinite { .. } | TrainError::Start(_) => Self::Configuration(text),
            TrainError::Lock(error) => error.into(),
            TrainError::Checkpoint(error) => error.into(),
            TrainError::Log(_) => Self::Output(text),
            TrainError::Interrupted { .. } => Self::Interrupted { signal: SIGINT, hint: text },
            TrainError::Device(error) => of_device(error),
            TrainError::Unforeseen(error) => Self::Unforeseen(error),
        }
    }
}

/// Of an error of the arithmetic. It comes from the system only where a thread is to be started.
fn of_device(error: candle_core::Error) -> Failure {
    match error {
        candle_core::Error::Io(error) => Failure::Limit(format!("no thread to load pictures with: {error}")),
        error => Failure::Unforeseen(error.into()),
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let text = error.to_string();
        match error {
            RunError::Manifest(_) | RunError::Image(_) | RunError::Data(_) => Self::Input(text),
            RunError::Folds(error) => error.into(),
            RunError::Start(_) => Self::Configuration(text),
            RunError::Output(_) => Self::Output(text),
            RunError::Model(_) => Self::Unforeseen(anyhow::anyhow!(text)),
            RunError::Device(error) => of_device(error),
            RunError::Train(error) => error.into(),
        }
    }
}

impl From<CrossvalError> for Failure {
    fn from(error: CrossvalError) -> Self {
        let text = error.to_string();
        match error {
            CrossvalError::Fold { fold, source } => Self::from(source).saying(|text| format!("fold {fold}: {text}")),
            CrossvalError::Run(source) => source.into(),
            CrossvalError::NoFolds { .. } => Self::Usage(text).with("; give --folds"),
            CrossvalError::NoSuchFold { .. } | CrossvalError::OtherFolds { .. } => Self::Usage(text),
            CrossvalError::WithoutFold { .. } | CrossvalError::EmptyFold { .. } => Self::Input(text),
            CrossvalError::Missing { fold, .. } => Self::Input(text).with(&format!("; run it first (--fold {fold})")),
            CrossvalError::OtherTask { .. } => Self::Configuration(text).with("; give another --out or remove it"),
            CrossvalError::Broken { .. } => Self::Configuration(text),
            CrossvalError::Threads(_) => Self::Limit(text),
        }
    }
}

impl From<ProxyError> for Failure {
    fn from(error: ProxyError) -> Self {
        let text = error.to_string();
        match error {
            ProxyError::Decode(_) | ProxyError::OtherVideo { .. } => Self::Input(text),
            ProxyError::NoEncoder => Self::Configuration(text),
            ProxyError::Write(error) => error.into(),
            ProxyError::Encode { .. } => Self::Output(text),
        }
    }
}

impl From<review::CropsError> for Failure {
    fn from(error: review::CropsError) -> Self {
        let text = error.to_string();
        match error {
            review::CropsError::Write { .. } => Self::Output(text),
            review::CropsError::Decode(_) | review::CropsError::OtherVideo { .. } => Self::Input(text),
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
    timeline::TimelineReadError => Input,
    eaf::EafReadError => Input,
    RequestError => Input,
    ManifestError => Input,
    DatasetError => Input,
    PredictionsError => Input,
    CorrectionError => Input,
    ApplyError => Input,
    PresetError => Configuration,
    RecipeError => Configuration,
    StartError => Configuration,
    GridError => Configuration,
    VocabularyError => Configuration,
    TooMuch => Limit,
    UnknownFormat => Usage,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Verdict;

    #[test]
    fn a_verdict_in_a_file_has_the_number_that_the_program_would_have_ended_with() {
        let text = String::new;
        let pairs = [
            (Verdict::Unforeseen, Failure::Unforeseen(anyhow::anyhow!("a fault"))),
            (Verdict::NothingWanted, Failure::Usage(text())),
            (Verdict::Refused, Failure::Input(text())),
            (Verdict::Partial, Failure::Partial(text())),
            (Verdict::Configuration, Failure::Configuration(text())),
            (Verdict::NotWritten, Failure::Output(text())),
            (Verdict::Limit, Failure::Limit(text())),
            (Verdict::Temporary, Failure::Temporary(text())),
            (Verdict::LeftOff { signal: 15 }, Failure::Interrupted { signal: 15, hint: text() }),
        ];
        for (verdict, failure) in pairs {
            assert_eq!(verdict.number(), exit_code(&failure), "{verdict:?}");
        }
        assert_eq!(crate::corpus::batch::ending(1, None), exit_code(&Failure::SomeFailed(text())));
    }

    #[test]
    fn a_message_is_one_line_whatever_the_file_is_called() {
        let failure = Failure::Input("a\nb\u{1b}[31m.mp4: missing".into());
        assert_eq!(failure.to_string(), "a\\nb\\u{1b}[31m.mp4: missing");
    }
}
