//! The four files that open in ELAN as one: annotations, curves, and how to show them.

use std::io::{self, BufRead as _, BufReader, Write};
use std::path::{Path, PathBuf};

use super::document::{self, Linked};
use super::preset::Preset;
use super::xml::Element;
use super::{ReadError, curves, read, xml};
use crate::files::{self, Output, OutputOptions, WriteError};
use crate::timeline::Timeline;

/// How annotations are written for ELAN.
#[derive(Debug, Clone, Default)]
pub struct BundleOptions {
    /// Names of the tiers and what goes with them.
    pub preset: Preset,
    /// A document whose content goes along; it stays as it is.
    pub merge_into: Option<PathBuf>,
    /// Names that others of this run's outputs have.
    pub taken: Vec<PathBuf>,
    /// What becomes of files that are there.
    pub existing: OutputOptions,
}

/// Why a bundle cannot be written.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum BundleError {
    #[error(transparent)]
    Merge(#[from] ReadError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("an .eaf comes with three more files beside it; name a file and not standard output")]
    Stdout,
}

/// A bundle being written. Dropped without [`write`](Self::write), it leaves no trace.
pub struct Bundle {
    document: (PathBuf, Output),
    /// Absent where the document that is merged into has curves of its own.
    curves: Option<Curves>,
    existing: Option<Element>,
    preset: Preset,
}

struct Curves {
    table: (PathBuf, Output),
    configuration: (PathBuf, Output),
    /// Absent where there is such a file: it holds how a person has arranged things.
    preferences: Option<(PathBuf, Output)>,
}

impl Bundle {
    /// Opens `path` and the files beside it.
    ///
    /// # Errors
    /// If the document to merge into cannot be read, or a file cannot be written.
    pub fn create(path: &Path, options: &BundleOptions) -> Result<Self, BundleError> {
        if path == Path::new("-") {
            return Err(BundleError::Stdout);
        }
        let existing = options.merge_into.as_deref().map(read::root).transpose()?;
        if let (Some(root), Some(merge_into)) = (&existing, &options.merge_into) {
            read::document(root).map_err(|fault| ReadError::Content { path: merge_into.clone(), fault })?;
        }
        let open = |path: PathBuf| options.existing.create(&path).map(|output| (path, output));
        let has_curves = existing.as_ref().is_some_and(has_curves);
        let curves = match has_curves {
            true => {
                tracing::warn!("the document has time series of its own; the curves are left out");
                None
            }
            false => {
                let preferences = path.with_extension("pfsx");
                Some(Curves {
                    table: open(table_path(path, &options.taken))?,
                    configuration: open(with_suffix(path, "_tsconf.xml"))?,
                    preferences: if preferences.exists() { None } else { Some(open(preferences)?) },
                })
            }
        };
        let document = match &options.merge_into {
            // All of the document that is replaced is in the one that replaces it.
            Some(merge_into) if files::is_same_file(merge_into, path) => {
                let in_place = options.existing.overwrite(true).holds_hand_work(true);
                (path.into(), in_place.create(path)?)
            }
            _ => open(path.into())?,
        };
        Ok(Self { document, curves, existing, preset: options.preset.clone() })
    }

    /// Writes `timeline` and puts the files in place, the annotations last; gives their paths.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(self, timeline: &Timeline) -> Result<Vec<PathBuf>, WriteError> {
        let Self { document: (path, output), curves, existing, preset } = self;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let linked = |file: &Path, kind| {
            // The file is not in its place yet; its folder is.
            let folder_url = Linked::new(folder, folder, kind);
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let url = format!("{}/{name}", folder_url.url.trim_end_matches('/'));
            Linked { url, relative_url: format!("./{name}"), mime_type: kind }
        };
        let mut files = Vec::new();
        if let Some(curves) = &curves {
            files.push(linked(&curves.table.0, "text/plain"));
            files.push(linked(&curves.configuration.0, "text/xml"));
        }
        let media = Path::new(&timeline.media.path);
        let media = media.is_file().then(|| Linked::new(media, folder, mime_type(media)));
        let mut root = existing.unwrap_or_else(|| document::blank(timeline));
        document::upgrade(&mut root);
        let tiers = document::add(&mut root, timeline, &preset, media.as_ref(), &files);
        let mut written = Vec::new();
        if let Some(Curves { table, configuration, preferences }) = curves {
            let url = &files[0].url;
            put(table, &mut written, |out| curves::table(timeline, &preset, curves::Dialect::Linked, out))?;
            put(configuration, &mut written, |out| curves::configuration(timeline, &preset, url, out))?;
            if let Some(preferences) = preferences {
                put(preferences, &mut written, |out| curves::preferences(timeline, &preset, &tiers, out))?;
            }
        }
        put((path, output), &mut written, |out| xml::serialise(&root, out))?;
        written.reverse();
        Ok(written)
    }
}

/// Writes one file and puts it in its place.
fn put(
    (path, output): (PathBuf, Output),
    written: &mut Vec<PathBuf>,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), WriteError> {
    output.fill(content)?;
    written.push(path);
    Ok(())
}

fn has_curves(root: &Element) -> bool {
    let linked = root.first("HEADER").into_iter().flat_map(|header| header.named("LINKED_FILE_DESCRIPTOR"));
    let mut urls = linked.filter_map(|file| file.attribute("LINK_URL"));
    urls.any(|url| url.ends_with("_tsconf.xml"))
}

/// `x.csv` beside `x.eaf`, or `x_elan.csv` where that name is somebody else's.
fn table_path(document: &Path, taken: &[PathBuf]) -> PathBuf {
    let usual = document.with_extension("csv");
    let is_ours = || {
        let Ok(file) = std::fs::File::open(&usual) else { return true };
        let mut line = Vec::new();
        let read = BufReader::new(io::Read::take(file, curves::MARK.len() as u64 + 1)).read_until(b'\n', &mut line);
        read.is_ok() && line.trim_ascii_end() == curves::MARK.as_bytes()
    };
    if !taken.contains(&usual) && is_ours() { usual } else { with_suffix(document, "_elan.csv") }
}

/// `x.eaf` to `x` and the suffix.
fn with_suffix(document: &Path, suffix: &str) -> PathBuf {
    let mut name = document.file_stem().unwrap_or_default().to_os_string();
    name.push(suffix);
    document.with_file_name(name)
}

/// As ELAN names them; by extension, which is what it goes by as well.
fn mime_type(media: &Path) -> &'static str {
    let extension = media.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    match extension.as_str() {
        "mp4" | "m4v" => "video/mp4",
        "mpg" | "mpeg" => "video/mpeg",
        "mov" | "qt" => "video/quicktime",
        "avi" => "video/x-msvideo",
        "mkv" => "video/x-matroska",
        "webm" => "video/webm",
        _ => "unknown",
    }
}
