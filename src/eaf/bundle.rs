//! The four files that open in ELAN as one: annotations, curves, and how to show them.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::link::{self, Linked};
use super::preset::Preset;
use super::tiers::DocumentTime;
use super::xml::{Element, Node};
use super::{EafReadError, curves, document, preferences, read, upgrade, xml};
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
    Merge(#[from] EafReadError),
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
    /// The file, and what is in it already; absent where that cannot be read and so is left as it is.
    preferences: Option<(PathBuf, Output, Element)>,
    existing: Option<Element>,
    preset: Preset,
}

struct Curves {
    table: (PathBuf, Output),
    configuration: (PathBuf, Output),
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
        let mut existing = options.merge_into.as_deref().map(read::root).transpose()?;
        let mut has_curves = false;
        if let (Some(root), Some(merge_into)) = (&mut existing, &options.merge_into) {
            read::document(root).map_err(|fault| EafReadError::Content { path: merge_into.clone(), fault })?;
            has_curves = settle_curves(root, merge_into);
        }
        let open = |path: PathBuf| options.existing.create(&path).map(|output| (path, output));
        let curves = if has_curves {
            tracing::warn!("the document has time series of its own; the curves are left out");
            None
        } else {
            if let Some(warning) = link::warning(folder_of(path)) {
                tracing::warn!("{}: {warning}", path.display());
            }
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let configuration = path.with_file_name(link::configuration_name(&stem));
            Some(Curves { table: open(table_path(path, &options.taken))?, configuration: open(configuration)? })
        };
        let preferences = match arranged(path, options.merge_into.as_deref()) {
            Some(content) => {
                // All that is in the file goes into the one that replaces it.
                let path = path.with_extension("pfsx");
                let output = options.existing.overwrite(true).create(&path)?;
                Some((path, output, content))
            }
            None => {
                let path = path.with_extension("pfsx");
                tracing::warn!(
                    "{}: no preferences of ELAN's; it stays as it is, and curves may not show",
                    path.display()
                );
                None
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
        Ok(Self { document, curves, preferences, existing, preset: options.preset.clone() })
    }

    /// Writes `timeline` and moves the files to their paths, the annotations last; gives their paths.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(self, timeline: &Timeline) -> Result<Vec<PathBuf>, WriteError> {
        let Self { document: (path, output), curves, preferences, existing, preset } = self;
        let folder = folder_of(&path);
        let mut files = Vec::new();
        if let Some(Curves { table, configuration }) = &curves {
            let name = |file: &Path| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push(Linked::beside(&name(&table.0), folder, "text/plain"));
            files.push(Linked::configuration(&name(&configuration.0), folder));
        }
        let media = Path::new(&timeline.media.path);
        let media = media.is_file().then(|| Linked::new(media, folder, mime_type(media)));
        let mut root = existing.unwrap_or_else(|| document::blank(timeline));
        upgrade::upgrade(&mut root);
        let known = read::document(&root).unwrap_or_default();
        let clock = DocumentTime { timeline, origin_ms: document::origin_ms(&known, timeline) };
        let added = document::add(&mut root, timeline, &preset, media.as_ref(), &files);
        let mut written = Vec::new();
        let shown = if curves.is_some() { curves::curves(timeline, &preset) } else { Vec::new() };
        if let Some(Curves { table, configuration }) = curves {
            let url = &files[0].url;
            put(table, &mut written, |out| curves::table(clock, &preset, curves::Dialect::Linked, out))?;
            put(configuration, &mut written, |out| curves::configuration(timeline, &preset, url, out))?;
        }
        if let Some((path, output, mut content)) = preferences {
            preferences::add(&mut content, &added, &shown);
            put((path, output), &mut written, |out| xml::serialise(&content, out))?;
        }
        put((path, output), &mut written, |out| xml::serialise(&root, out))?;
        written.reverse();
        Ok(written)
    }
}

fn folder_of(document: &Path) -> &Path {
    document.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// How a person has arranged the document so far, with what goes along from the one that is merged into; `None` where a
/// file of that name holds something else.
fn arranged(document: &Path, merge_into: Option<&Path>) -> Option<Element> {
    let mut content = preferences::read(&document.with_extension("pfsx"))?;
    if let Some(other) = merge_into.and_then(|other| preferences::read(&other.with_extension("pfsx"))) {
        preferences::add_missing(&mut content, &other);
    }
    Some(content)
}

/// Writes one file and moves it to its path.
fn put(
    (path, output): (PathBuf, Output),
    written: &mut Vec<PathBuf>,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), WriteError> {
    output.fill(content)?;
    written.push(path);
    Ok(())
}

/// Takes the links to curves of an earlier run out of the document at `path`, as new ones replace them; says whether
/// it has others, which stay.
fn settle_curves(root: &mut Element, path: &Path) -> bool {
    /// ELAN's configurations have some kilobytes.
    const LARGEST: u64 = 16 << 20;
    let Some(header) = root.first_mut("HEADER") else { return false };
    let beside = |url: &str| path.with_file_name(link::file_name(url));
    let is_configuration = |url: &str| url.ends_with(link::CONFIGURATION);
    let is_ours = |configuration: &str| {
        let bytes = files::read_found(&beside(configuration), LARGEST).ok();
        let Some(content) = bytes.and_then(|bytes| xml::parse(&bytes).ok()) else { return false };
        let mut tables = content.named("tracksource").map(|source| source.attribute("source-url").unwrap_or_default());
        tables.all(|table| curves::is_ours(&beside(table)))
    };
    let links = header.named("LINKED_FILE_DESCRIPTOR").filter_map(|link| link.attribute("LINK_URL"));
    let configurations: Vec<&str> = links.filter(|url| is_configuration(url)).collect();
    if configurations.is_empty() {
        return false;
    }
    if !configurations.iter().all(|configuration| is_ours(configuration)) {
        return true;
    }
    header.nodes.retain(|node| {
        let Node::Element(link) = node else { return true };
        let url = link.attribute("LINK_URL").unwrap_or_default();
        !(link.name == "LINKED_FILE_DESCRIPTOR" && (is_configuration(url) || curves::is_ours(&beside(url))))
    });
    false
}

/// `x.csv` beside `x.eaf`, or `x_elan.csv` where another program's file has that name.
fn table_path(document: &Path, taken: &[PathBuf]) -> PathBuf {
    let usual = document.with_extension("csv");
    let is_free = usual.symlink_metadata().is_err() || curves::is_ours(&usual);
    if !taken.contains(&usual) && is_free { usual } else { with_suffix(document, "_elan.csv") }
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
