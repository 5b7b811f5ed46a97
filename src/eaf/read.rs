//! From an annotation file to tiers with times.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::xml::{self, Element, XmlError};
use super::{Annotation, Document, LinkedMedia, Tier, link};
use crate::files;

/// Why an annotation file cannot be used. Each message names the file.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum EafReadError {
    #[error("{path}: cannot be read: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path}: {source}")]
    Xml { path: PathBuf, source: XmlError },
    #[error("{path}: {fault}")]
    Content { path: PathBuf, fault: Fault },
}

/// What is wrong in a well-formed file.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum Fault {
    #[error("its root is <{0}>, not <ANNOTATION_DOCUMENT>: no ELAN annotation file")]
    Root(String),
    #[error("it is of EAF version {0}; versions 2.x and 3.0 are read")]
    Version(String),
    #[error("it counts time in {0}; milliseconds are read")]
    Units(String),
    #[error("<{element}> lacks its attribute {attribute}")]
    Attribute { element: String, attribute: &'static str },
    #[error("time slot {id} has the time '{value}', which is not a number of milliseconds")]
    Time { id: String, value: String },
    #[error("a video has the time origin '{value}', which is no sensible number of milliseconds")]
    TimeOrigin { value: String },
    #[error("annotation {annotation} refers to time slot {slot}, which is not there")]
    Slot { annotation: String, slot: String },
    #[error("annotation {annotation} refers to annotation {parent}, which is not there")]
    Parent { annotation: String, parent: String },
    #[error("annotation {0} hangs on itself")]
    Cycle(String),
    #[error("annotation {annotation} ends at {end_ms} ms, before it starts at {start_ms} ms")]
    Backwards { annotation: String, start_ms: u64, end_ms: u64 },
    #[error("{0} is there twice")]
    Twice(String),
}

/// Reads an annotation file. Its times are those of its first video, whose clock may run ahead of the document's
/// (`TIME_ORIGIN`).
///
/// Time slots without a time lie evenly between their neighbours, as ELAN shows them; annotations that hang on others take
/// their times, and share them evenly where several hang on one.
///
/// # Errors
/// As [`EafReadError`] lists; nothing in a file makes it panic.
pub fn read(path: &Path) -> Result<Document, EafReadError> {
    read_for(path, None)
}

/// The same with the times of one of its videos, known by its file's name; of the first one where it is not one of them.
///
/// # Errors
/// As [`read`].
pub fn read_for(path: &Path, video: Option<&str>) -> Result<Document, EafReadError> {
    let root = root(path)?;
    document(&root)
        .map(|read| read.in_time_of(video))
        .map_err(|fault| EafReadError::Content { path: path.into(), fault })
}

/// Reads the bytes of an annotation file; `path` is what messages call it.
///
/// # Errors
/// As [`read`].
pub fn parse(bytes: &[u8], path: &Path) -> Result<Document, EafReadError> {
    let root = root_of(bytes, path)?;
    document(&root)
        .map(|read| read.in_time_of(None))
        .map_err(|fault| EafReadError::Content { path: path.into(), fault })
}

impl Document {
    /// The video with this path or URL, by its file's name.
    pub(super) fn video(&self, path: &str) -> Option<&LinkedMedia> {
        let wanted = link::file_name(path);
        let is_it =
            |url: &str| link::file_name(url) == wanted || percent_decoded(link::file_name(url)) == wanted.as_bytes();
        self.media.iter().find(|media| is_it(&media.url) || media.relative_url.as_deref().is_some_and(is_it))
    }

    /// From the document's time to that of a video.
    fn in_time_of(mut self, video: Option<&str>) -> Self {
        let media = video.and_then(|video| self.video(video)).or(self.media.first());
        let origin_ms = media.map_or(0, |media| media.time_origin_ms);
        for annotation in self.tiers.iter_mut().flat_map(|tier| &mut tier.annotations) {
            annotation.start_ms = annotation.start_ms.saturating_add_signed(origin_ms);
            annotation.end_ms = annotation.end_ms.saturating_add_signed(origin_ms);
        }
        self
    }
}

/// The bytes of a percent-encoded name: ELAN writes none, other programs do.
pub(crate) fn percent_decoded(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = name.as_bytes();
    while let [first, after @ ..] = rest {
        let code =
            after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok()).and_then(|h| u8::from_str_radix(h, 16).ok());
        match (first, code) {
            (b'%', Some(code)) => {
                bytes.push(code);
                rest = &after[2..];
            }
            (byte, _) => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    bytes
}

/// The tree of an annotation file.
pub(super) fn root(path: &Path) -> Result<Element, EafReadError> {
    let most = xml::LARGEST as u64;
    let bytes = files::read(path, most).map_err(|source| EafReadError::Io { path: path.into(), source })?;
    root_of(&bytes, path)
}

fn root_of(bytes: &[u8], path: &Path) -> Result<Element, EafReadError> {
    let root = xml::parse(bytes).map_err(|source| EafReadError::Xml { path: path.into(), source })?;
    check_kind(&root).map_err(|fault| EafReadError::Content { path: path.into(), fault })?;
    Ok(root)
}

fn check_kind(root: &Element) -> Result<(), Fault> {
    if root.name != "ANNOTATION_DOCUMENT" {
        return Err(Fault::Root(root.name.clone()));
    }
    let version = required(root, "VERSION")?;
    if !(version.starts_with("2.") || version == "3.0") {
        return Err(Fault::Version(version.into()));
    }
    let units = root.first("HEADER").and_then(|header| header.attribute("TIME_UNITS")).unwrap_or("milliseconds");
    match units {
        "milliseconds" => Ok(()),
        other => Err(Fault::Units(other.into())),
    }
}

fn required<'a>(element: &'a Element, attribute: &'static str) -> Result<&'a str, Fault> {
    element.attribute(attribute).ok_or_else(|| Fault::Attribute { element: element.name.clone(), attribute })
}

/// What is in the tree, in the document's own time.
pub(super) fn document(root: &Element) -> Result<Document, Fault> {
    let media = root.first("HEADER").into_iter().flat_map(|header| header.named("MEDIA_DESCRIPTOR"));
    let media = media
        .map(|descriptor| {
            Ok(LinkedMedia {
                url: required(descriptor, "MEDIA_URL")?.into(),
                relative_url: descriptor.attribute("RELATIVE_MEDIA_URL").map(str::to_owned),
                time_origin_ms: time_origin(descriptor)?,
            })
        })
        .collect::<Result<_, Fault>>()?;
    let slots = slots(root)?;
    let mut spans = Spans::default();
    for tier in root.named("TIER") {
        spans.add_aligned(tier, &slots)?;
    }
    spans.add_hanging(root)?;
    let mut tiers: Vec<Tier> = Vec::new();
    let mut ids = HashSet::new();
    for tier in root.named("TIER") {
        let id = required(tier, "TIER_ID")?;
        if !ids.insert(id) {
            return Err(Fault::Twice(format!("tier {id}")));
        }
        let mut annotations = Vec::new();
        for annotation in annotations_of(tier) {
            let (start_ms, end_ms) = spans.of(required(annotation, "ANNOTATION_ID")?);
            let value = annotation.first("ANNOTATION_VALUE").map(Element::content).unwrap_or_default();
            annotations.push(Annotation { start_ms, end_ms, value });
        }
        annotations.sort_by_key(|annotation| (annotation.start_ms, annotation.end_ms));
        tiers.push(Tier {
            id: id.into(),
            participant: tier.attribute("PARTICIPANT").filter(|name| !name.is_empty()).map(str::to_owned),
            parent: tier.attribute("PARENT_REF").map(str::to_owned),
            annotations,
        });
    }
    Ok(Document { media, tiers })
}

/// Where the document's zero lies in a video, milliseconds.
fn time_origin(descriptor: &Element) -> Result<i64, Fault> {
    /// No recording is longer than a month.
    const LARGEST_MS: i64 = 31 * 24 * 3_600_000;
    let Some(value) = descriptor.attribute("TIME_ORIGIN").map(str::trim).filter(|value| !value.is_empty()) else {
        return Ok(0);
    };
    let found = value.parse().ok().filter(|origin_ms: &i64| origin_ms.abs() <= LARGEST_MS);
    found.ok_or_else(|| Fault::TimeOrigin { value: value.into() })
}

/// A tier's annotations, of either kind.
fn annotations_of(tier: &Element) -> impl Iterator<Item = &Element> {
    tier.named("ANNOTATION").flat_map(Element::elements)
}

/// Times of the time slots, in milliseconds; `None` for those without.
fn slots(root: &Element) -> Result<HashMap<&str, Option<u64>>, Fault> {
    let mut slots = HashMap::new();
    for slot in root.first("TIME_ORDER").into_iter().flat_map(|order| order.named("TIME_SLOT")) {
        let id = required(slot, "TIME_SLOT_ID")?;
        let time = slot
            .attribute("TIME_VALUE")
            .map(|value| value.parse::<u32>().map_err(|_| Fault::Time { id: id.into(), value: value.into() }))
            .transpose()?;
        if slots.insert(id, time.map(u64::from)).is_some() {
            return Err(Fault::Twice(format!("time slot {id}")));
        }
    }
    Ok(slots)
}

/// Start and end of every annotation, by id.
#[derive(Default)]
struct Spans<'a>(HashMap<&'a str, (u64, u64)>);

impl<'a> Spans<'a> {
    fn of(&self, id: &str) -> (u64, u64) {
        self.0.get(id).copied().unwrap_or_default()
    }

    fn insert(&mut self, id: &'a str, span: (u64, u64)) -> Result<(), Fault> {
        match self.0.insert(id, span) {
            Some(_) => Err(Fault::Twice(format!("annotation {id}"))),
            None => Ok(()),
        }
    }

    /// Adds the annotations of a tier that have time slots.
    fn add_aligned(&mut self, tier: &'a Element, slots: &HashMap<&'a str, Option<u64>>) -> Result<(), Fault> {
        let aligned: Vec<&Element> =
            annotations_of(tier).filter(|annotation| annotation.name == "ALIGNABLE_ANNOTATION").collect();
        // The slots as they follow one another along the tier.
        let mut chain: Vec<(&str, Option<u64>)> = Vec::new();
        for annotation in &aligned {
            for attribute in ["TIME_SLOT_REF1", "TIME_SLOT_REF2"] {
                let slot = required(annotation, attribute)?;
                let Some(time) = slots.get(slot) else {
                    let annotation = required(annotation, "ANNOTATION_ID")?.into();
                    return Err(Fault::Slot { annotation, slot: slot.into() });
                };
                if chain.last().is_none_or(|(last, _)| *last != slot) {
                    chain.push((slot, *time));
                }
            }
        }
        let times = filled(&chain);
        for annotation in aligned {
            let id = required(annotation, "ANNOTATION_ID")?;
            let time = |attribute| required(annotation, attribute).map(|slot| times.get(slot).copied().unwrap_or(0));
            let (start_ms, end_ms) = (time("TIME_SLOT_REF1")?, time("TIME_SLOT_REF2")?);
            if end_ms < start_ms {
                return Err(Fault::Backwards { annotation: id.into(), start_ms, end_ms });
            }
            self.insert(id, (start_ms, end_ms))?;
        }
        Ok(())
    }

    /// Adds the annotations that hang on others.
    fn add_hanging(&mut self, root: &'a Element) -> Result<(), Fault> {
        // By parent, in the order in which they stand.
        let mut waiting: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for tier in root.named("TIER") {
            let mut here: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for annotation in annotations_of(tier).filter(|annotation| annotation.name == "REF_ANNOTATION") {
                let parent = required(annotation, "ANNOTATION_REF")?;
                here.entry(parent).or_default().push(required(annotation, "ANNOTATION_ID")?);
            }
            // Each tier divides its parents on its own.
            for (parent, children) in here {
                let children_of = waiting.entry(parent).or_default();
                children_of.push("");
                children_of.extend(children);
            }
        }
        let mut ready: Vec<&str> = self.0.keys().copied().collect();
        while let Some(parent) = ready.pop() {
            let Some(children) = waiting.remove(parent) else { continue };
            let (start_ms, end_ms) = self.of(parent);
            for children in children.split(|child| child.is_empty()) {
                let count = children.len() as u64;
                let at = |index: u64| start_ms + (end_ms - start_ms) * index / count;
                for (index, child) in (0..).zip(children) {
                    self.insert(child, (at(index), at(index + 1)))?;
                    ready.push(child);
                }
            }
        }
        // What is left hangs on nothing that has a time.
        let Some((parent, children)) = waiting.into_iter().next() else { return Ok(()) };
        let annotation = children.into_iter().find(|child| !child.is_empty()).unwrap_or_default().to_owned();
        let exists = root.named("TIER").flat_map(annotations_of).any(|a| a.attribute("ANNOTATION_ID") == Some(parent));
        Err(match exists {
            true => Fault::Cycle(annotation),
            false => Fault::Parent { annotation, parent: parent.into() },
        })
    }
}

/// The times of the slots of a chain, those without one evenly between their neighbours.
fn filled<'a>(chain: &[(&'a str, Option<u64>)]) -> HashMap<&'a str, u64> {
    let mut times = HashMap::new();
    let mut last_ms = 0;
    let mut index = 0;
    while index < chain.len() {
        let unknown = chain[index..].iter().take_while(|(_, time)| time.is_none()).count();
        let next_ms = chain.get(index + unknown).and_then(|(_, time)| *time).unwrap_or(last_ms).max(last_ms);
        for (step, (slot, _)) in (1..).zip(&chain[index..index + unknown]) {
            times.insert(*slot, last_ms + (next_ms - last_ms) * step / (unknown as u64 + 1));
        }
        index += unknown;
        if let Some((slot, Some(time))) = chain.get(index) {
            times.insert(*slot, *time);
            last_ms = *time;
            index += 1;
        }
    }
    times
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SMALL: &str = r#"<ANNOTATION_DOCUMENT VERSION="3.0"><HEADER TIME_UNITS="milliseconds">
        <MEDIA_DESCRIPTOR MEDIA_URL="file:///a/b c.mp4" MIME_TYPE="video/mp4"/></HEADER>
        <TIME_ORDER><TIME_SLOT TIME_SLOT_ID="t1" TIME_VALUE="100"/><TIME_SLOT TIME_SLOT_ID="t2"/>
        <TIME_SLOT TIME_SLOT_ID="t3" TIME_VALUE="400"/></TIME_ORDER>
        <TIER TIER_ID="x" LINGUISTIC_TYPE_REF="t" PARTICIPANT="A">
        <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="t1" TIME_SLOT_REF2="t2">
        <ANNOTATION_VALUE>one &amp; only</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
        <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="t2" TIME_SLOT_REF2="t3">
        <ANNOTATION_VALUE/></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
        <TIER TIER_ID="y" LINGUISTIC_TYPE_REF="r" PARENT_REF="x">
        <ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a3" ANNOTATION_REF="a1"><ANNOTATION_VALUE>l</ANNOTATION_VALUE>
        </REF_ANNOTATION></ANNOTATION><ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a4" ANNOTATION_REF="a1"
        PREVIOUS_ANNOTATION="a3"><ANNOTATION_VALUE>r</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION></TIER>
        </ANNOTATION_DOCUMENT>"#;

    fn fault(change: impl Fn(&str) -> String) -> Fault {
        let root = xml::parse(change(SMALL).as_bytes()).unwrap();
        check_kind(&root).and_then(|()| document(&root)).unwrap_err()
    }

    #[test]
    fn times_are_filled_in_and_inherited() {
        let document = document(&xml::parse(SMALL.as_bytes()).unwrap()).unwrap();
        let of = |tier: usize| -> Vec<(u64, u64, &str)> {
            document.tiers[tier].annotations.iter().map(|a| (a.start_ms, a.end_ms, a.value.as_str())).collect()
        };
        assert_eq!(of(0), [(100, 250, "one & only"), (250, 400, "")]);
        assert_eq!(of(1), [(100, 175, "l"), (175, 250, "r")]);
        assert_eq!(document.media[0].url, "file:///a/b c.mp4");
        assert_eq!(document.tiers[0].participant.as_deref(), Some("A"));
    }

    #[test]
    fn times_are_those_of_the_video() {
        let with_origin = SMALL.replace("MIME_TYPE=", "TIME_ORIGIN=\"1500\" MIME_TYPE=").replace(
            "</HEADER>",
            "<MEDIA_DESCRIPTOR MEDIA_URL=\"file:///a/second%20angle.mp4\" TIME_ORIGIN=\"-50\" MIME_TYPE=\"video/mp4\"/></HEADER>",
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.eaf");
        std::fs::write(&path, with_origin).unwrap();
        let first = |document: Document| document.tiers[0].annotations[0].start_ms;
        assert_eq!(first(read(&path).unwrap()), 1600);
        assert_eq!(first(read_for(&path, Some("elsewhere/b c.mp4")).unwrap()), 1600);
        assert_eq!(first(read_for(&path, Some("second angle.mp4")).unwrap()), 50);
        assert_eq!(first(read_for(&path, Some("another.mp4")).unwrap()), 1600);
    }

    #[test]
    fn faults_are_named() {
        let replaced = |from: &'static str, to: &'static str| fault(move |text| text.replacen(from, to, 1)).to_string();
        assert_eq!(
            replaced("VERSION=\"3.0\"", "VERSION=\"4.0\""),
            "it is of EAF version 4.0; versions 2.x and 3.0 are read"
        );
        assert_eq!(
            replaced("MIME_TYPE=", "TIME_ORIGIN=\"1 s\" MIME_TYPE="),
            "a video has the time origin '1 s', which is no sensible number of milliseconds"
        );
        assert_eq!(
            replaced("\"milliseconds\"", "\"PAL-frames\""),
            "it counts time in PAL-frames; milliseconds are read"
        );
        assert_eq!(
            replaced("TIME_VALUE=\"100\"", "TIME_VALUE=\"1.5\""),
            "time slot t1 has the time '1.5', which is not a number of milliseconds"
        );
        assert_eq!(
            replaced("TIME_SLOT_REF2=\"t3\"", "TIME_SLOT_REF2=\"t9\""),
            "annotation a2 refers to time slot t9, which is not there"
        );
        assert_eq!(
            replaced("ANNOTATION_REF=\"a1\"", "ANNOTATION_REF=\"a9\""),
            "annotation a3 refers to annotation a9, which is not there"
        );
        assert_eq!(replaced("ANNOTATION_REF=\"a1\"", "ANNOTATION_REF=\"a3\""), "annotation a3 hangs on itself");
        assert_eq!(
            replaced("TIME_VALUE=\"400\"", "TIME_VALUE=\"40\""),
            "annotation a2 ends at 40 ms, before it starts at 100 ms"
        );
        assert_eq!(replaced("TIER_ID=\"y\"", "TIER_ID=\"x\""), "tier x is there twice");
        assert_eq!(replaced(" TIER_ID=\"y\"", ""), "<TIER> lacks its attribute TIER_ID");
    }

    #[test]
    fn real_files_are_read() {
        let data = std::env::var_os("ANNOTATE_DATA").map_or_else(|| "../shared/data".into(), PathBuf::from);
        // Tiers and annotations as the files' descriptions state them.
        for (name, tiers, annotations) in [
            ("pympi_sample_3.0", 6, 8778),
            ("pympi_sample_2.7", 6, 8778),
            ("childproject_example", 13, 712),
            ("childproject_eaf_any_tier", 32, 455),
            ("poio_turkish", 5, 340),
        ] {
            let path = data.join("eaf").join(name).with_added_extension("eaf");
            if !path.is_file() {
                println!("skipped: real_files_are_read (no {})", path.display());
                return;
            }
            let document = read(&path).unwrap();
            let found = document.tiers.iter().map(|tier| tier.annotations.len()).sum::<usize>();
            assert_eq!((document.tiers.len(), found), (tiers, annotations), "{name}");
            let backwards = document.tiers.iter().flat_map(|tier| &tier.annotations).find(|a| a.end_ms < a.start_ms);
            assert_eq!(backwards, None, "{name}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn no_changed_file_makes_it_panic(cut in 0..SMALL.len(), length in 0usize..40, with in "[a-z0-9\"<>/= ]{0,8}") {
            let mut bytes = SMALL.as_bytes().to_vec();
            bytes.splice(cut..(cut + length).min(SMALL.len()), with.bytes());
            if let Ok(root) = xml::parse(&bytes) {
                let _ = check_kind(&root).and_then(|()| document(&root));
            }
        }
    }
}
