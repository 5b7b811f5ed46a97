//! One file a format, all behind one [`Writer`] trait; [`Output`] lets each appear whole or not at all.

mod ass;
mod bids;
mod boris;
mod cues;
mod json;
pub mod jsonl;
mod mark;
pub(crate) mod parquet;
mod pyfeat;
mod rows;
mod segments;
mod srt;
mod stretches;
mod table;
mod textgrid;
mod vtt;

use std::io::{self, Write};
use std::path::Path;
use std::str::FromStr;

#[cfg(feature = "video")]
pub(crate) use mark::{DrawnMark, MarkSizes};

use crate::files::{Output, WriteError};
use crate::timeline::Timeline;

/// Turns a timeline into the bytes of one format.
pub trait Writer {
    /// Writes all of `timeline` to `out`, which should be buffered; fails only where `out` does.
    fn write(&self, timeline: &Timeline, out: &mut dyn Write) -> io::Result<()>;
}

/// Declares the formats: each one's variant, its name, what its files end in, and what writes it.
macro_rules! formats {
    ($($(#[$doc:meta])* $format:ident: $name:literal, $extension:literal, $writer:expr;)*) => {
        /// The formats a timeline can be written in; a file's extension and `--format` name them alike.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Format {
            $($(#[$doc])* $format,)*
        }

        impl Format {
            /// All formats.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$format),*];

            /// What `--format` calls it, e.g. `json`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$format => $name,)*
                }
            }

            /// What files of it end in, behind a dot.
            pub fn extension(self) -> &'static str {
                match self {
                    $(Self::$format => $extension,)*
                }
            }

            /// What writes this format; nothing for one that is several files.
            pub fn writer(self) -> Option<&'static dyn Writer> {
                match self {
                    $(Self::$format => $writer,)*
                }
            }
        }
    };
}

formats! {
    /// The whole timeline, as `assets/timeline.schema.json` describes it.
    Json: "json", "json", Some(&json::Json);
    /// One row per frame and signer, comma-separated.
    Csv: "csv", "csv", Some(&table::CSV);
    /// The same, tab-separated.
    Tsv: "tsv", "tsv", Some(&table::TSV);
    /// One JSON object per frame and signer, written while running.
    Jsonl: "jsonl", "jsonl", Some(&jsonl::Jsonl);
    /// SubRip subtitles, one per segment.
    Srt: "srt", "srt", Some(&srt::Srt);
    /// WebVTT subtitles, one per segment.
    Vtt: "vtt", "vtt", Some(&vtt::Vtt);
    /// Boxes and labels that a player draws over the video.
    Ass: "ass", "ass", Some(&ass::Ass);
    /// Segments in a table, for ELAN's import and spreadsheets.
    Segments: "segments", "segments.tsv", Some(&segments::Segments);
    /// Praat's annotations, one interval tier per signer.
    TextGrid: "textgrid", "TextGrid", Some(&textgrid::TextGrid);
    /// One row per frame and signer, typed and compressed, for whole corpora.
    Parquet: "parquet", "parquet", Some(&parquet::Parquet { media: None });
    /// ELAN's annotations, with three files beside them; see [`crate::eaf::Bundle`].
    Eaf: "eaf", "eaf", None;
    /// Events for BORIS: where each stretch begins and where it ends.
    Boris: "boris", "boris.csv", Some(&boris::Boris);
    /// The Brain Imaging Data Structure's table of events, with a description of its columns beside it.
    Bids: "bids", "events.tsv", Some(&bids::Events);
    /// The table under the names that py-feat gives its columns.
    PyFeat: "py-feat", "fex.csv", Some(&pyfeat::PyFeat);
}

impl Format {
    /// What follows the name of a video in the name of its result: a dot and the extension, but for BIDS, whose files end
    /// in `_events.tsv`.
    pub fn ending(self) -> String {
        let joint = if self == Self::Bids { '_' } else { '.' };
        format!("{joint}{}", self.extension())
    }

    /// The format that the extension of `path` names.
    pub fn from_path(path: &Path) -> Result<Self, UnknownFormat> {
        let Some(extension) = path.extension() else {
            return Err(UnknownFormat::NoExtension { path: path.display().to_string() });
        };
        // Some tables are known by two extensions together.
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let is_called = |format: &Self| {
            let extension = format.extension();
            extension.contains('.')
                && (name == extension || name.ends_with(&format!(".{extension}")) || name.ends_with(&format.ending()))
        };
        match Self::ALL.into_iter().find(is_called) {
            Some(format) => Ok(format),
            None => extension.to_string_lossy().parse(),
        }
    }

    /// What lies beside a file of this format, under the same name with this extension.
    pub fn companion(self) -> Option<(&'static str, &'static dyn Writer)> {
        (self == Self::Bids).then_some(("json", &bids::Sidecar))
    }
}

impl Writer for &dyn Writer {
    fn write(&self, timeline: &Timeline, out: &mut dyn Write) -> io::Result<()> {
        (**self).write(timeline, out)
    }
}

/// What writes a video's table of a corpus: `corpus_path` is where the video lies in it, which stands in every row.
pub fn table_of_corpus(corpus_path: &Path) -> impl Writer + use<> {
    parquet::Parquet { media: Some(corpus_path.display().to_string()) }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        // As people type it: `TextGrid`, `segments.tsv`, `.csv`.
        let typed = name.strip_prefix('.').unwrap_or(name);
        let is_called =
            |format: &Self| [format.name(), format.extension()].iter().any(|n| n.eq_ignore_ascii_case(typed));
        Self::ALL.into_iter().find(is_called).ok_or_else(|| UnknownFormat::Name { found: name.into() })
    }
}

/// A name or path that tells no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum UnknownFormat {
    #[error("'{found}' is not an output format; known are {}", Format::ALL.map(Format::name).join(", "))]
    Name { found: String },
    #[error("{path}: no extension that tells the format; known are {}", Format::ALL.map(Format::name).join(", "))]
    NoExtension { path: String },
}

/// Writes `timeline` with `writer` to `output` and moves the file to its path.
pub fn write(timeline: &Timeline, writer: &dyn Writer, output: Output) -> Result<(), WriteError> {
    output.fill(|out| writer.write(timeline, out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    pub(super) fn bytes(timeline: &Timeline, format: Format) -> Vec<u8> {
        let mut bytes = Vec::new();
        format.writer().unwrap().write(timeline, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_format_is_known_by_its_name_and_extension() {
        for format in Format::ALL {
            for typed in [format.name().to_owned(), format.extension().to_owned(), format!(".{}", format.extension())] {
                assert_eq!(typed.parse(), Ok(format), "{typed}");
            }
            assert_eq!(Format::from_path(&Path::new("a.b/labels").with_extension(format.extension())), Ok(format));
        }
        assert_eq!(Format::from_path(Path::new("LABELS.JSON")), Ok(Format::Json));
        assert_eq!(Format::from_path(Path::new("sub-01_task-story_events.tsv")), Ok(Format::Bids));
        assert_eq!(Format::from_path(Path::new("current_events.csv")), Ok(Format::Csv));
        for format in Format::ALL {
            assert_eq!(Format::from_path(Path::new(&format!("x{}", format.ending()))), Ok(format));
        }
    }

    #[test]
    fn an_unknown_format_is_told_the_known_ones() {
        let message = "xml".parse::<Format>().unwrap_err().to_string();
        assert!(message.starts_with("'xml' is not an output format; known are json, csv, tsv, jsonl, "), "{message}");
        assert!(Format::ALL.iter().all(|format| message.contains(format.name())), "{message}");
        let message = Format::from_path(Path::new("out/labels")).unwrap_err().to_string();
        assert!(message.starts_with("out/labels: no extension that tells the format; known are json"), "{message}");
    }

    #[test]
    fn a_small_timeline_in_every_format() {
        for format in Format::ALL.into_iter().filter(|format| !matches!(format, Format::Parquet | Format::Eaf)) {
            let text = String::from_utf8(bytes(&sample::two_signers(), format)).unwrap();
            insta::assert_snapshot!(format.name(), text);
        }
    }

    #[test]
    fn a_file_is_what_its_writer_says() {
        let folder = tempfile::tempdir().unwrap();
        let timeline = sample::two_signers();
        for format in Format::ALL.into_iter().filter(|format| format.writer().is_some()) {
            let path = folder.path().join("labels").with_extension(format.extension());
            write(&timeline, format.writer().unwrap(), Output::create(&path).unwrap()).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), bytes(&timeline, format));
        }
    }

    #[test]
    fn a_full_disk_is_reported_with_the_path() {
        let output = Output::create(Path::new("/dev/full")).unwrap();
        let error = write(&sample::two_signers(), &json::Json, output).unwrap_err();
        assert_eq!(error.to_string(), "/dev/full: the disk is full");
    }
}
