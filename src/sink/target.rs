//! A file to write, and the format it gets.

use std::path::{Path, PathBuf};

use crate::write::{Format, UnknownFormat};

/// A path and the format in which it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The file; `-` is standard output.
    pub path: PathBuf,
    /// The format.
    pub format: Format,
}

impl Target {
    /// The target that a path names by its extension. `-` is JSON on standard output; `-.jsonl` and the like are the other
    /// formats there.
    ///
    /// # Errors
    /// If the extension names no format.
    pub fn of(path: &Path) -> Result<Self, UnknownFormat> {
        if path == Path::new("-") {
            return Ok(Self { path: path.into(), format: Format::Json });
        }
        let format = Format::from_path(path)?;
        let is_stdout = path.file_stem() == Some("-".as_ref()) && path.parent() == Some(Path::new(""));
        Ok(Self { path: if is_stdout { "-".into() } else { path.into() }, format })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_names_the_format_and_dash_is_standard_output() {
        let of = |path: &str| Target::of(Path::new(path)).map(|target| (target.path, target.format));
        assert_eq!(of("a.json"), Ok(("a.json".into(), Format::Json)));
        assert_eq!(of("b/c.vtt"), Ok(("b/c.vtt".into(), Format::Vtt)));
        assert_eq!(of("-"), Ok(("-".into(), Format::Json)));
        assert_eq!(of("-.jsonl"), Ok(("-".into(), Format::Jsonl)));
        assert!(of("labels").is_err());
    }
}
