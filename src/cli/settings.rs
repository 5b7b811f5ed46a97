//! Where options come from: flag, then ANNOTATE_* variable, then ./annotate.toml, then the user's configuration, then the
//! default.
//!
//! The working folder may be a corpus from another source. Its file is therefore named when it is read, and may
//! only tighten limits.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use figment::providers::Serialized;
use figment::value::{Dict, Map};
use figment::{Figment, Metadata, Profile, Provider};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Failure;
use super::device::DeviceChoice;
use super::progress::ProgressChoice;
use crate::files;
use crate::model::registry;
use crate::pipeline::decode::Patience;
use crate::pipeline::detect::DetectorName;
use crate::pipeline::{SettingError, Settings};

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
    /// The working folder's own file, where it was read.
    #[serde(skip)]
    pub(super) read_here: Option<PathBuf>,
}

/// Whose settings are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    /// The user's own, and those of the folder that the user works in.
    WorkingFolder,
    /// The user's own alone: another program chose the working folder.
    User,
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
            read_here: None,
        }
    }
}

/// More threads than any machine has cores only take its memory.
const MOST_THREADS: usize = 1024;
/// Faces classified together; the flag takes no more either.
const MOST_TOGETHER: usize = u16::MAX as usize;
/// A year; more is a mistake.
const MOST_SECONDS: f64 = 366.0 * 24.0 * 3600.0;

/// The limit of memory that every run has at least by default, MiB.
const LEAST_USUAL_MIB: u64 = 8 << 10;

/// The file looked for in the current folder, and in `annotate/` below the user's configuration folder.
const FILE: &str = "annotate.toml";

/// A file of settings.
struct SettingsLayer {
    path: PathBuf,
    settings: Dict,
}

impl Provider for SettingsLayer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.path.display().to_string())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.settings.clone()))
    }
}

impl SettingsLayer {
    /// Reads the file at `path`; nothing where it does not exist.
    fn read(path: PathBuf) -> Result<Option<Self>, Failure> {
        let refused = |reason: String| Failure::Configuration(format!("{}: {reason}", path.display()));
        if !path.exists() {
            return Ok(None);
        }
        let bytes = files::read_found(&path, files::HANDWRITTEN).map_err(|e| refused(e.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|_| refused("it is not UTF-8".into()))?;
        let settings = toml::from_str(&text).map_err(|e| refused(files::toml_fault(&text, &e)))?;
        Ok(Some(Self { path, settings }))
    }
}

/// Variables that hold a text, and those that hold a number.
const TEXTS: [&str; 5] = ["model", "detector", "detector_model", "device", "progress"];
const NUMBERS: [&str; 4] = ["threads", "batch_size", "stall_timeout", "max_memory"];

/// The options that ANNOTATE_* variables give.
fn variables() -> Result<Value, Failure> {
    let mut given = serde_json::Map::new();
    for name in TEXTS.into_iter().chain(NUMBERS) {
        let variable = format!("ANNOTATE_{}", name.to_ascii_uppercase());
        let Some(value) = std::env::var_os(&variable) else { continue };
        let unfit = |expected: &str| Failure::Configuration(format!("{variable}: its value is no {expected}"));
        let text = value.into_string().map_err(|_| unfit("UTF-8"))?;
        let value = match NUMBERS.contains(&name) {
            true => serde_json::from_str::<serde_json::Number>(text.trim()).map_err(|_| unfit("number"))?.into(),
            false => Value::from(text),
        };
        given.insert(name.into(), value);
    }
    Ok(given.into())
}

impl Options {
    /// The options with `flags`, a tree of the ones given on the command line, on top.
    ///
    /// # Errors
    /// If a configuration file or variable holds an unknown key or an unfit value; the message names it.
    pub(super) fn layered(flags: &Value, home: Home) -> Result<Self, Failure> {
        let mut layers = Figment::from(Serialized::defaults(Self::default()));
        if let Some(layer) = user_file().map(SettingsLayer::read).transpose()?.flatten() {
            layers = layers.merge(layer);
        }
        let mut read_here = None;
        if home == Home::WorkingFolder
            && let Some(layer) = SettingsLayer::read(FILE.into())?
        {
            let (path, own) = (layer.path.clone(), extract(&layers)?);
            layers = layers.merge(layer);
            refuse_loosened(&path, &own, &extract(&layers)?)?;
            read_here = Some(path);
        }
        let variables = Serialized::defaults(variables()?);
        let options = extract(&layers.merge(variables).merge(Serialized::defaults(flags)))?;
        options.check()?;
        Ok(Self { read_here, ..options })
    }

    fn check(&self) -> Result<(), Failure> {
        let unfit = |name: &str, found: String, expected: &str| {
            Err(Failure::Usage(format!("{name} is {found}; expected is {expected}")))
        };
        if self.threads > MOST_THREADS {
            return unfit("--threads", self.threads.to_string(), &format!("at most {MOST_THREADS}"));
        }
        if !(1..=MOST_TOGETHER).contains(&self.batch_size) {
            return unfit("--batch-size", self.batch_size.to_string(), &format!("1 to {MOST_TOGETHER}"));
        }
        if !(0.0..=MOST_SECONDS).contains(&self.stall_timeout) {
            return unfit("--stall-timeout", self.stall_timeout.to_string(), "a number of seconds, 0 for no limit");
        }
        self.annotation.check().map_err(|error| match error {
            // What has a flag is called by it.
            SettingError { name: "track.min_face", .. } => Failure::Usage(format!("--min-face: {error}")),
            SettingError { name: "track.max_faces", .. } => Failure::Usage(format!("--max-faces: {error}")),
            SettingError { name: "end_s", .. } => Failure::Usage(format!("--end: {error}")),
            error => Failure::Configuration(error.to_string()),
        })
    }

    /// How long a stream may keep silent, for one input.
    pub(super) fn patience(&self) -> Arc<Patience> {
        Arc::new(Patience::new(self.stall_timeout()))
    }

    /// How long a source may keep silent; zero for ever.
    pub(super) fn stall_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.stall_timeout)
    }
}

// figment's own error type.
#[expect(clippy::result_large_err, reason = "the error is turned into a text at once")]
fn try_extract(layers: &Figment) -> Result<Options, figment::Error> {
    layers.extract()
}

fn extract(layers: &Figment) -> Result<Options, Failure> {
    try_extract(layers).map_err(|error| {
        let source = error.metadata.as_ref().map(|m| m.name.to_string()).unwrap_or_default();
        Failure::Configuration(format!("{source}: {error}"))
    })
}

/// Whether the working folder's file at `path` lifts a limit that the user's `own` options have.
fn refuse_loosened(path: &Path, own: &Options, here: &Options) -> Result<(), Failure> {
    // No limit of memory means what `limits` finds sensible, which is never below this.
    let memory = |options: &Options| match options.max_memory {
        Some(0) => u64::MAX,
        memory => memory.unwrap_or(LEAST_USUAL_MIB),
    };
    let silence = |options: &Options| if options.stall_timeout == 0.0 { f64::INFINITY } else { options.stall_timeout };
    let lifted = [
        ("max_memory", memory(here) > memory(own)),
        ("stall_timeout", silence(here) > silence(own)),
        ("annotation.max_pixels", here.annotation.max_pixels > own.annotation.max_pixels),
    ];
    match lifted.into_iter().find(|(_, is_lifted)| *is_lifted) {
        Some((name, _)) => Err(Failure::Configuration(format!(
            "{}: {name} lifts a limit, which a file in the working folder may only tighten; use a flag or your own \
             configuration",
            path.display()
        ))),
        None => Ok(()),
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
            let layered = |flags| Options::layered(&flags, Home::WorkingFolder).map_err(|e| e.to_string());
            let options = layered(serde_json::json!({}))?;
            assert_eq!((options.threads, options.batch_size, options.model), (2, 4, "variable".into()));
            assert_eq!(options.annotation.smooth.lag_s, 0.7);
            assert_eq!(layered(serde_json::json!({"model": "flag"}))?.model, PathBuf::from("flag"));
            Ok(())
        });
    }

    #[test]
    fn the_working_folders_file_is_named_and_may_tighten_limits_but_not_lift_them() {
        figment::Jail::expect_with(|jail| {
            jail.set_env("XDG_CONFIG_HOME", jail.directory().join("user").display());
            let layered = || Options::layered(&serde_json::json!({}), Home::WorkingFolder).map_err(|e| e.to_string());
            assert_eq!(layered()?.read_here, None);
            jail.create_file(
                "annotate.toml",
                "max_memory = 4000\nstall_timeout = 5.0\n[annotation]\nmax_pixels = 1000",
            )?;
            let options = layered()?;
            assert_eq!(options.read_here, Some("annotate.toml".into()));
            assert_eq!((options.max_memory, options.annotation.max_pixels), (Some(4000), 1000));
            let users = Options::layered(&serde_json::json!({}), Home::User).map_err(|e| e.to_string())?;
            assert_eq!((users.read_here, users.max_memory), (None, None));
            for (text, name) in [
                ("max_memory = 0", "max_memory"),
                ("max_memory = 9000000", "max_memory"),
                ("stall_timeout = 0.0", "stall_timeout"),
                ("stall_timeout = 31.0", "stall_timeout"),
                ("[annotation]\nmax_pixels = 9000000000000", "max_pixels"),
            ] {
                jail.create_file("annotate.toml", text)?;
                let message = layered().unwrap_err();
                assert!(message.contains(name) && message.contains("annotate.toml"), "{message}");
            }
            // Where the user's own file has lifted a limit, the folder's may say the same.
            jail.create_dir("user/annotate")?;
            jail.create_file("user/annotate/annotate.toml", "max_memory = 0\nstall_timeout = 0.0")?;
            jail.create_file("annotate.toml", "max_memory = 9000000\nstall_timeout = 60.0")?;
            assert_eq!(layered()?.max_memory, Some(9_000_000));
            Ok(())
        });
    }

    #[test]
    fn a_file_of_settings_is_not_repeated_in_a_message_and_a_variable_is_a_plain_text() {
        figment::Jail::expect_with(|jail| {
            jail.set_env("XDG_CONFIG_HOME", jail.directory().join("none").display());
            jail.create_file("annotate.toml", "root:secret:0:0")?;
            let layered = || Options::layered(&serde_json::json!({}), Home::WorkingFolder).map_err(|e| e.to_string());
            let message = layered().unwrap_err();
            assert!(message.contains("annotate.toml") && !message.contains("secret"), "{message}");
            jail.create_file("annotate.toml", "")?;
            jail.set_env("ANNOTATE_MODEL", "[".repeat(100_000));
            assert_eq!(layered()?.model.as_os_str().len(), 100_000);
            jail.set_env("ANNOTATE_MODEL", "12");
            assert_eq!(layered()?.model, PathBuf::from("12"));
            for wrong in ["many", "[[", ""] {
                jail.set_env("ANNOTATE_THREADS", wrong);
                assert!(layered().unwrap_err().contains("ANNOTATE_THREADS"), "{wrong}");
            }
            jail.set_env("ANNOTATE_THREADS", "9223372036854775808");
            assert!(layered().is_err());
            Ok(())
        });
    }

    #[test]
    fn a_misspelt_key_is_named() {
        figment::Jail::expect_with(|jail| {
            jail.set_env("XDG_CONFIG_HOME", jail.directory().join("none").display());
            jail.create_file("annotate.toml", "treads = 2")?;
            let message = Options::layered(&serde_json::json!({}), Home::WorkingFolder).unwrap_err().to_string();
            assert!(message.contains("treads") && message.contains("annotate.toml"), "{message}");
            Ok(())
        });
    }
}
