//! A file to write, and the format it gets.

use std::path::{Path, PathBuf};

use crate::write::{Format, UnknownFormat, Writer};

/// A path and the format in which it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The file; `-` is standard output.
    pub path: PathBuf,
    /// The format.
    pub format: Format,
    /// Where the video lies in its corpus, which then stands in every row of a table; none outside of one.
    pub corpus_path: Option<PathBuf>,
}

impl Target {
    /// The target that a path names by its extension. `-` is JSON on standard output; `-.jsonl` and the like are the other
    /// formats there.
    ///
    /// # Errors
    /// If the extension names no format.
    pub fn of(path: &Path) -> Result<Self, UnknownFormat> {
        if path == Path::new("-") {
            return Ok(Self { path: path.into(), format: Format::Json, corpus_path: None });
        }
        let format = Format::from_path(path)?;
        let is_stdout = path.file_stem() == Some("-".as_ref()) && path.parent() == Some(Path::new(""));
        Ok(Self { path: if is_stdout { "-".into() } else { path.into() }, format, corpus_path: None })
    }

    /// The files that are written: the path, and what lies beside it.
    pub fn files(&self) -> Vec<PathBuf> {
        let beside = self.companion().map(|(path, _)| path);
        std::iter::once(self.path.clone()).chain(beside).collect()
    }

    /// The file that lies beside it, and what writes it; none beside standard output.
    pub(super) fn companion(&self) -> Option<(PathBuf, &'static dyn Writer)> {
        let (extension, writer) = self.format.companion()?;
        (self.path != Path::new("-")).then(|| (self.path.with_extension(extension), writer))
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
