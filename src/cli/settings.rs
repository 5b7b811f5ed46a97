//! Where options come from: flag, then ANNOTATE_* variable, then ./annotate.toml, then the user's configuration, then the
//! default.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use figment::Figment;
use figment::providers::{Env, Format as _, Serialized, Toml};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Failure;
use super::device::DeviceChoice;
use super::progress::ProgressChoice;
use crate::model::registry;
use crate::pipeline::Settings;
use crate::pipeline::decode::Patience;
use crate::pipeline::detect::DetectorName;

/// What can be set once and for all in a configuration file; its keys are this struct's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Options {
    pub(super) model: PathBuf,
    pub(super) detector: DetectorName,
    /// The detector's model, where it has one.
    pub(super) detector_model: Option<PathBuf>,
    pub(super) device: DeviceChoice,
    /// Threads that classify; 0 for one a core.
    pub(super) threads: usize,
    pub(super) batch_size: usize,
    pub(super) progress: ProgressChoice,
    /// How long a stream may keep silent, seconds; 0 for ever.
    pub(super) stall_timeout: f64,
    /// Most memory, MiB of address space; 0 for no limit. None for what [`limits`](super::limits) finds sensible.
    pub(super) max_memory: Option<u64>,
    /// What changes the result; recorded in every output.
    pub(super) annotation: Settings,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            model: registry::DEFAULT.into(),
            detector: DetectorName::default(),
            detector_model: None,
            device: DeviceChoice::default(),
            threads: 0,
            batch_size: 16,
            progress: ProgressChoice::default(),
            stall_timeout: 30.0,
            max_memory: None,
            annotation: Settings::default(),
        }
    }
}

/// More threads than any machine has cores only take its memory.
const MOST_THREADS: usize = 1024;
/// A year: beyond it, nobody is waiting.
const MOST_SECONDS: f64 = 366.0 * 24.0 * 3600.0;

/// The file looked for in the current folder, and in `annotate/` below the user's configuration folder.
const FILE: &str = "annotate.toml";

impl Options {
    /// The options with `flags`, a tree of the ones given on the command line, on top.
    ///
    /// # Errors
    /// If a configuration file or variable holds an unknown key or an unfit value; the message names it.
    pub(super) fn layered(flags: &Value) -> Result<Self, Failure> {
        let mut layers = Figment::from(Serialized::defaults(Self::default()));
        for file in user_file().into_iter().chain([PathBuf::from(FILE)]) {
            if file.is_file() {
                layers = layers.merge(Toml::file_exact(file));
            }
        }
        let names = [
            "model",
            "detector",
            "detector_model",
            "device",
            "threads",
            "batch_size",
            "progress",
            "stall_timeout",
            "max_memory",
        ];
        let layers = layers.merge(Env::prefixed("ANNOTATE_").only(&names)).merge(Serialized::defaults(flags));
        let options: Self = layers.extract().map_err(|error| {
            let source = error.metadata.as_ref().map(|m| m.name.to_string()).unwrap_or_default();
            Failure::Configuration(format!("{source}: {error}"))
        })?;
        options.check()?;
        Ok(options)
    }

    fn check(&self) -> Result<(), Failure> {
        let unfit = |name: &str, found: String, expected: &str| {
            Err(Failure::Usage(format!("{name} is {found}; expected is {expected}")))
        };
        let min_face = self.annotation.track.min_face;
        if self.threads > MOST_THREADS {
            return unfit("--threads", self.threads.to_string(), &format!("at most {MOST_THREADS}"));
        }
        if !(0.0..=MOST_SECONDS).contains(&self.stall_timeout) {
            return unfit("--stall-timeout", self.stall_timeout.to_string(), "a number of seconds, 0 for no limit");
        }
        if !(min_face > 0.0 && min_face <= 1.0) {
            return unfit("--min-face", min_face.to_string(), "above 0 and at most 1");
        }
        if self.annotation.track.max_faces == 0 {
            return unfit("--max-faces", "0".into(), "at least 1");
        }
        Ok(())
    }

    /// How long a stream may keep silent, for one input.
    pub(super) fn patience(&self) -> Arc<Patience> {
        Arc::new(Patience::new(Duration::from_secs_f64(self.stall_timeout)))
    }
}

/// `$XDG_CONFIG_HOME/annotate/annotate.toml`, by default below `~/.config` (XDG Base Directory Specification).
fn user_file() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")))?;
    Some(folder.join("annotate").join(FILE))
}

#[cfg(test)]
// figment's own error type.
#[allow(clippy::result_large_err, reason = "figment's error is large")]
mod tests {
    use super::*;

    #[test]
    fn a_flag_beats_a_variable_beats_a_file_beats_the_default() {
        figment::Jail::expect_with(|jail| {
            jail.set_env("XDG_CONFIG_HOME", jail.directory().join("user").display());
            jail.create_dir("user/annotate")?;
            jail.create_file(
                "user/annotate/annotate.toml",
                "threads = 2\nbatch_size = 3\n[annotation.smooth]\nlag_s = 0.7",
            )?;
            jail.create_file("annotate.toml", "batch_size = 4\nmodel = 'file'")?;
            jail.set_env("ANNOTATE_MODEL", "variable");
            jail.set_env("ANNOTATE_DATA", "not an option");
            let layered = |flags| Options::layered(&flags).map_err(|e| e.to_string());
            let options = layered(serde_json::json!({}))?;
            assert_eq!((options.threads, options.batch_size, options.model), (2, 4, "variable".into()));
            assert_eq!(options.annotation.smooth.lag_s, 0.7);
            assert_eq!(layered(serde_json::json!({"model": "flag"}))?.model, PathBuf::from("flag"));
            Ok(())
        });
    }

    #[test]
    fn a_misspelt_key_is_named() {
        figment::Jail::expect_with(|jail| {
            jail.set_env("XDG_CONFIG_HOME", jail.directory().join("none").display());
            jail.create_file("annotate.toml", "treads = 2")?;
            let message = Options::layered(&serde_json::json!({})).unwrap_err().to_string();
            assert!(message.contains("treads") && message.contains("annotate.toml"), "{message}");
            Ok(())
        });
    }
}
