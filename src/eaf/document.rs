//! A timeline's tiers in an annotation document, a new one or one that is there: everything else in it stays.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};
use sha2::{Digest, Sha256};

use super::face;
use super::preset::{Language, Preset};
use super::tiers::{self, Stretch};
use super::vocabulary;
use super::xml::{Element, Node};
use crate::timeline::{EventKind, Expression, FacePart, Status, Timeline, Track};

const LANGUAGES: [(&str, &str, &str); 3] = [
    ("und", "http://cdb.iso.org/lg/CDB-00130975-001", "undetermined (und)"),
    ("eng", "http://cdb.iso.org/lg/CDB-00138502-001", "English (eng)"),
    ("deu", "http://cdb.iso.org/lg/CDB-00138507-001", "German (deu)"),
];

/// The order the schema demands of the root's children.
const ORDER: [&str; 11] = [
    "LICENSE",
    "HEADER",
    "TIME_ORDER",
    "TIER",
    "LINGUISTIC_TYPE",
    "LOCALE",
    "LANGUAGE",
    "CONSTRAINT",
    "CONTROLLED_VOCABULARY",
    "LEXICON_REF",
    "REF_LINK_SET",
];

/// A file that belongs to the document: a video, or curves.
pub(super) struct Linked {
    /// Absolute, as ELAN wants it: `file:///` and the raw path, nothing encoded.
    pub url: String,
    /// From the document's folder.
    pub relative_url: String,
    pub mime_type: &'static str,
}

impl Linked {
    /// `file` as seen from the document in `folder`; both exist.
    pub(super) fn new(file: &Path, folder: &Path, mime_type: &'static str) -> Self {
        let relative = relative_path(file, folder);
        let file = absolute(file);
        let raw = file.to_string_lossy();
        Self {
            url: format!("file:///{}", raw.trim_start_matches('/')),
            relative_url: relative.to_string_lossy().into_owned(),
            mime_type,
        }
    }
}

fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.into())
}

/// `file` as seen from `folder`, beginning with a dot.
pub(crate) fn relative_path(file: &Path, folder: &Path) -> PathBuf {
    relative(&absolute(file), &absolute(folder))
}

/// `file` from `folder`, both absolute, beginning with a dot.
fn relative(file: &Path, folder: &Path) -> PathBuf {
    let shared = file.components().zip(folder.components()).take_while(|(a, b)| a == b).count();
    let up = folder.components().count() - shared;
    let mut path = if up == 0 { PathBuf::from(".") } else { PathBuf::new() };
    path.extend(std::iter::repeat_n("..", up));
    path.extend(file.components().skip(shared));
    path
}

/// A document without annotations.
pub(super) fn blank(timeline: &Timeline) -> Element {
    let header = Element::new("HEADER")
        .with("MEDIA_FILE", "")
        .with("TIME_UNITS", "milliseconds")
        .child(property("URN", &format!("urn:nl-mpi-tools-elan-eaf:{}", identifier(timeline))));
    Element::new("ANNOTATION_DOCUMENT")
        .with("AUTHOR", "")
        .with("DATE", "")
        .with("FORMAT", "3.0")
        .with("VERSION", "3.0")
        .with("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance")
        .with("xsi:noNamespaceSchemaLocation", "http://www.mpi.nl/tools/elan/EAFv3.0.xsd")
        .child(header)
        .child(Element::new("TIME_ORDER"))
}

/// A UUID (RFC 9562, version 8) that depends on what was annotated with what.
fn identifier(timeline: &Timeline) -> String {
    let mut digest = Sha256::new();
    for part in [&timeline.media.path, &timeline.model.sha256, &timeline.settings.to_string()] {
        digest.update(part.as_bytes());
        digest.update([0]);
    }
    digest.update(timeline.media.sha256.as_deref().unwrap_or_default().as_bytes());
    let mut bytes: Vec<u8> = digest.finalize().into_iter().take(16).collect();
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Brings a document of an earlier version to 3.0, as ELAN does: vocabularies become multilingual ones of which one
/// language, the undetermined, is used.
pub(super) fn upgrade(root: &mut Element) {
    for (name, value) in [("FORMAT", "3.0"), ("VERSION", "3.0")] {
        root.set(name, value);
    }
    root.set("xsi:noNamespaceSchemaLocation", "http://www.mpi.nl/tools/elan/EAFv3.0.xsd");
    if root.attribute("xmlns:xsi").is_none() {
        root.set("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance");
    }
    let mut is_changed = false;
    for vocabulary in children_mut(root, "CONTROLLED_VOCABULARY") {
        let place = vocabulary.attributes.iter().position(|(name, _)| name == "DESCRIPTION");
        let description = place.map(|place| vocabulary.attributes.remove(place).1);
        let is_old = description.is_some() || vocabulary.named("CV_ENTRY").next().is_some();
        if !is_old {
            continue;
        }
        is_changed = true;
        let text = description.unwrap_or_default();
        vocabulary.nodes.insert(0, Node::Element(Element::new("DESCRIPTION").with("LANG_REF", "und").text(text)));
        for (place, entry) in children_mut(vocabulary, "CV_ENTRY").enumerate() {
            let mut value = Element::new("CVE_VALUE").with("LANG_REF", "und").text(entry.content());
            let mut new = Element::new("CV_ENTRY_ML");
            for (name, text) in std::mem::take(&mut entry.attributes) {
                match name.as_str() {
                    "DESCRIPTION" => value.set("DESCRIPTION", text),
                    _ => new.set(&name, text),
                }
            }
            if new.attribute("CVE_ID").is_none() {
                new.set("CVE_ID", format!("cveid{place}"));
            }
            *entry = new.child(value);
        }
    }
    if is_changed {
        add_language(root, "und");
    }
}

fn children_mut<'a>(parent: &'a mut Element, name: &'a str) -> impl Iterator<Item = &'a mut Element> {
    parent.nodes.iter_mut().filter_map(move |node| match node {
        Node::Element(element) if element.name == name => Some(element),
        _ => None,
    })
}

fn property(name: &str, value: &str) -> Element {
    Element::new("PROPERTY").with("NAME", name).text(value)
}

/// Adds the timeline's tiers, their types and vocabularies, and `linked` files to `root`; gives the names of the tiers by
/// track. Names and ids that are taken are left to those who have them.
pub(super) fn add(
    root: &mut Element,
    timeline: &Timeline,
    preset: &Preset,
    media: Option<&Linked>,
    curves: &[Linked],
) -> Vec<[String; 3]> {
    let mut ids = Ids::of(root);
    for (language, _, _) in LANGUAGES {
        add_language(root, language);
    }
    add_constraint(root);
    let expression_vocabulary = add_unique(root, "CONTROLLED_VOCABULARY", "CV_ID", expression_vocabulary());
    let status_vocabulary = add_unique(root, "CONTROLLED_VOCABULARY", "CV_ID", status_vocabulary());
    let aligned = |name: &str, vocabulary: &str| {
        Element::new("LINGUISTIC_TYPE")
            .with("CONTROLLED_VOCABULARY_REF", vocabulary)
            .with("GRAPHIC_REFERENCES", "false")
            .with("LINGUISTIC_TYPE_ID", name)
            .with("TIME_ALIGNABLE", "true")
    };
    let types = "LINGUISTIC_TYPE";
    let key = "LINGUISTIC_TYPE_ID";
    let expression_type = add_unique(root, types, key, aligned("annotate-expression", &expression_vocabulary));
    let status_type = add_unique(root, types, key, aligned("annotate-status", &status_vocabulary));
    let confidence_type = add_unique(
        root,
        types,
        key,
        Element::new("LINGUISTIC_TYPE")
            .with("CONSTRAINTS", "Symbolic_Association")
            .with("GRAPHIC_REFERENCES", "false")
            .with("LINGUISTIC_TYPE_ID", "annotate-confidence")
            .with("TIME_ALIGNABLE", "false"),
    );
    let face_types: Vec<(FacePart, String)> = face::parts(timeline)
        .map(|part| {
            let vocabulary = add_unique(root, "CONTROLLED_VOCABULARY", "CV_ID", face_vocabulary(part));
            let name = format!("annotate-{}", part.tier());
            (part, add_unique(root, types, key, aligned(&name, &vocabulary)))
        })
        .collect();
    let mut names = Vec::new();
    for track in &timeline.tracks {
        let signer = preset.signer(track.id);
        let named = |pattern: &String| unique(&pattern.replace("{signer}", &signer), &ids.tiers);
        let tiers = [&preset.expression, &preset.confidence, &preset.status].map(named);
        ids.tiers.extend(tiers.iter().cloned());
        let tier = |name: &str, kind: &str| {
            Element::new("TIER")
                .with("ANNOTATOR", format!("{} {}", timeline.tool.name, timeline.tool.version))
                .with("LANG_REF", code(preset.language))
                .with("LINGUISTIC_TYPE_REF", kind)
                .with("PARTICIPANT", &signer)
                .with("TIER_ID", name)
        };
        let [expression_name, confidence_name, status_name] = &tiers;
        let mut confidence_tier = tier(confidence_name, &confidence_type).with("PARENT_REF", expression_name);
        let mut expression_tier = tier(expression_name, &expression_type);
        for stretch in tiers::expressions(track, timeline, preset) {
            let word = vocabulary::expression(stretch.what.label, preset.language).word;
            let parent = ids.annotation();
            expression_tier.push(ids.aligned(&parent, &stretch, word, &expression_entry(stretch.what.label)));
            let value = format!("{:.2}", stretch.what.confidence);
            let hanging = Element::new("REF_ANNOTATION")
                .with("ANNOTATION_ID", ids.annotation())
                .with("ANNOTATION_REF", parent)
                .child(Element::new("ANNOTATION_VALUE").text(value));
            confidence_tier.push(Element::new("ANNOTATION").child(hanging));
        }
        root.push(expression_tier);
        root.push(confidence_tier);
        root.push(status_tier(track, timeline, preset, tier(status_name, &status_type), &mut ids));
        for (part, kind) in &face_types {
            let pattern = preset.of(*part);
            if pattern.is_empty() {
                continue;
            }
            let name = unique(&pattern.replace("{signer}", &signer), &ids.tiers);
            ids.tiers.insert(name.clone());
            root.push(face_tier(*part, track, timeline, preset, tier(&name, kind), &mut ids));
        }
        names.push(tiers);
    }
    ids.insert_slots(root);
    add_header(root, timeline, media, curves, ids.last_annotation);
    root.set("DATE", DateTime::<Utc>::from(SystemTime::now()).to_rfc3339_opts(SecondsFormat::Secs, false));
    let place = |node: &Node| match node {
        Node::Element(element) => ORDER.iter().position(|name| *name == element.name).unwrap_or(ORDER.len()),
        _ => 0,
    };
    root.nodes.sort_by_key(place);
    names
}

fn status_tier(track: &Track, timeline: &Timeline, preset: &Preset, mut tier: Element, ids: &mut Ids) -> Element {
    for stretch in tiers::unread(track, timeline) {
        let Some(entry) = vocabulary::status(stretch.what, preset.language) else { continue };
        let id = ids.annotation();
        tier.push(ids.aligned(&id, &stretch, entry.word, &status_entry(stretch.what)));
    }
    tier
}

fn face_tier(
    part: FacePart,
    track: &Track,
    timeline: &Timeline,
    preset: &Preset,
    mut tier: Element,
    ids: &mut Ids,
) -> Element {
    for stretch in face::stretches(track, timeline, part) {
        let id = ids.annotation();
        let value = face::value(&stretch.what, preset);
        // Several words at once are no entry of the vocabulary.
        let entry = match stretch.what[..] {
            [kind] => event_entry(kind),
            _ => String::new(),
        };
        tier.push(ids.aligned(&id, &stretch, &value, &entry));
    }
    tier
}

fn event_entry(kind: EventKind) -> String {
    format!("cve-{}", kind.name())
}

fn face_vocabulary(part: FacePart) -> Element {
    let entries = part.kinds().map(|kind| {
        let entry = |language| Some(face::event(kind, language));
        (event_entry(kind), entry(Language::Eng), entry(Language::Deu))
    });
    let [english, german] = face::about(part);
    vocabulary_element(&format!("annotate-{}", part.tier()), english, german, entries)
}

fn code(language: Language) -> &'static str {
    match language {
        Language::Eng => "eng",
        Language::Deu => "deu",
    }
}

fn expression_entry(expression: Expression) -> String {
    format!("cve-{}", expression.name())
}

fn status_entry(status: Status) -> String {
    format!("cve-{}", status.name())
}

fn expression_vocabulary() -> Element {
    let entries = Expression::ALL.map(|class| {
        let entry = |language| Some(vocabulary::expression(class, language));
        (expression_entry(class), entry(Language::Eng), entry(Language::Deu))
    });
    vocabulary_element(
        "annotate-expression",
        "What the face looks like: Ekman's six basic emotions and neutral",
        "Wie das Gesicht wirkt: Ekmans sechs Grundgefühle und neutral",
        entries,
    )
}

fn status_vocabulary() -> Element {
    let unread = [Status::NoFace, Status::LowQuality, Status::Occluded, Status::OutOfFrame, Status::TurnedAway];
    let entries = unread.map(|status| {
        let entry = |language| vocabulary::status(status, language);
        (status_entry(status), entry(Language::Eng), entry(Language::Deu))
    });
    vocabulary_element("annotate-status", "Why the face is not read", "Warum das Gesicht nicht gelesen ist", entries)
}

fn vocabulary_element(
    id: &str,
    english: &str,
    german: &str,
    entries: impl IntoIterator<Item = (String, Option<vocabulary::Entry>, Option<vocabulary::Entry>)>,
) -> Element {
    let description = |language: &str, text: &str| Element::new("DESCRIPTION").with("LANG_REF", language).text(text);
    let mut element = Element::new("CONTROLLED_VOCABULARY")
        .with("CV_ID", id)
        .child(description("eng", english))
        .child(description("deu", german));
    for (id, english, german) in entries {
        let mut entry = Element::new("CV_ENTRY_ML").with("CVE_ID", id);
        for (language, word) in [("eng", english), ("deu", german)] {
            let Some(word) = word else { continue };
            let value = Element::new("CVE_VALUE").with("DESCRIPTION", word.meaning).with("LANG_REF", language);
            entry.push(value.text(word.word));
        }
        element.push(entry);
    }
    element
}

fn add_language(root: &mut Element, id: &str) {
    if root.named("LANGUAGE").any(|language| language.attribute("LANG_ID") == Some(id)) {
        return;
    }
    if let Some((id, definition, label)) = LANGUAGES.into_iter().find(|(known, _, _)| *known == id) {
        let language = Element::new("LANGUAGE").with("LANG_DEF", definition).with("LANG_ID", id);
        root.push(language.with("LANG_LABEL", label));
    }
}

fn add_constraint(root: &mut Element) {
    let stereotype = "Symbolic_Association";
    if root.named("CONSTRAINT").all(|constraint| constraint.attribute("STEREOTYPE") != Some(stereotype)) {
        let description = "1-1 association with a parent annotation";
        root.push(Element::new("CONSTRAINT").with("DESCRIPTION", description).with("STEREOTYPE", stereotype));
    }
}

/// Adds `element` unless it is there already; under another name where its own is another's. Gives the name.
fn add_unique(root: &mut Element, kind: &str, key: &str, mut element: Element) -> String {
    let taken: BTreeSet<String> = root.named(kind).filter_map(|e| e.attribute(key)).map(str::to_owned).collect();
    let wanted = element.attribute(key).unwrap_or_default().to_owned();
    if root.named(kind).any(|other| *other == element) {
        return wanted;
    }
    let name = unique(&wanted, &taken);
    element.set(key, &name);
    root.push(element);
    name
}

/// `wanted`, or with the first number behind it that makes it new.
fn unique(wanted: &str, taken: &BTreeSet<String>) -> String {
    if !taken.contains(wanted) {
        return wanted.into();
    }
    let numbered = (2u32..).map(|number| format!("{wanted}-{number}"));
    numbered.into_iter().find(|name| !taken.contains(name)).unwrap_or_default()
}

fn add_header(
    root: &mut Element,
    timeline: &Timeline,
    media: Option<&Linked>,
    curves: &[Linked],
    last_annotation: u64,
) {
    let Some(header) = root.first_mut("HEADER") else { return };
    let file_name = |url: &str| url.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
    let is_known = |url: &str, header: &Element| {
        let known = header.named("MEDIA_DESCRIPTOR").filter_map(|known| known.attribute("MEDIA_URL"));
        known.into_iter().any(|known| file_name(known) == file_name(url))
    };
    if let Some(media) = media.filter(|media| !is_known(&media.url, header)) {
        let descriptor = Element::new("MEDIA_DESCRIPTOR").with("MEDIA_URL", &media.url);
        let descriptor = descriptor.with("MIME_TYPE", media.mime_type).with("RELATIVE_MEDIA_URL", &media.relative_url);
        header.push(descriptor);
    }
    for file in curves {
        let descriptor = Element::new("LINKED_FILE_DESCRIPTOR").with("LINK_URL", &file.url);
        header.push(descriptor.with("MIME_TYPE", file.mime_type).with("RELATIVE_LINK_URL", &file.relative_url));
    }
    let complete = match timeline.complete {
        true => "true".into(),
        false => format!("false: {}", timeline.summary.incomplete_because.join("; ")),
    };
    let properties = [
        ("lastUsedAnnotationId", last_annotation.to_string()),
        ("annotate.version", timeline.tool.version.clone()),
        ("annotate.model", timeline.model.name.clone()),
        ("annotate.model.sha256", timeline.model.sha256.clone()),
        ("annotate.settings", timeline.settings.to_string()),
        ("annotate.complete", complete),
    ];
    for (name, value) in properties {
        header.nodes.retain(
            |node| !matches!(node, Node::Element(e) if e.name == "PROPERTY" && e.attribute("NAME") == Some(name)),
        );
        header.push(property(name, &value));
    }
    let order = ["MEDIA_DESCRIPTOR", "LINKED_FILE_DESCRIPTOR", "PROPERTY"];
    header.nodes.sort_by_key(|node| match node {
        Node::Element(element) => order.iter().position(|name| *name == element.name),
        _ => None,
    });
}

/// Ids in use, and the time slots to be added.
struct Ids {
    tiers: BTreeSet<String>,
    last_annotation: u64,
    last_slot: u64,
    slots: Vec<(u64, String)>,
}

impl Ids {
    fn of(root: &Element) -> Self {
        let number = |id: &str, prefix: &str| id.strip_prefix(prefix).and_then(|rest| rest.parse::<u64>().ok());
        let tiers = root.named("TIER").filter_map(|tier| tier.attribute("TIER_ID")).map(str::to_owned).collect();
        let annotations = root.named("TIER").flat_map(|tier| tier.named("ANNOTATION")).flat_map(Element::elements);
        let annotations = annotations.filter_map(|annotation| number(annotation.attribute("ANNOTATION_ID")?, "a"));
        let properties = root.first("HEADER").into_iter().flat_map(|header| header.named("PROPERTY"));
        let used = properties.filter(|property| property.attribute("NAME") == Some("lastUsedAnnotationId"));
        let used = used.filter_map(|property| property.content().trim().parse().ok());
        let slots = root.first("TIME_ORDER").into_iter().flat_map(|order| order.named("TIME_SLOT"));
        let slots = slots.filter_map(|slot| number(slot.attribute("TIME_SLOT_ID")?, "ts"));
        Self {
            tiers,
            last_annotation: annotations.chain(used).max().unwrap_or(0),
            last_slot: slots.max().unwrap_or(0),
            slots: Vec::new(),
        }
    }

    fn annotation(&mut self) -> String {
        self.last_annotation += 1;
        format!("a{}", self.last_annotation)
    }

    fn slot(&mut self, time_ms: u64) -> String {
        self.last_slot += 1;
        let id = format!("ts{}", self.last_slot);
        self.slots.push((time_ms, id.clone()));
        id
    }

    /// A time-aligned annotation with slots of its own; `entry` is that of the vocabulary, or empty.
    fn aligned<T>(&mut self, id: &str, stretch: &Stretch<T>, value: &str, entry: &str) -> Element {
        let (start, end) = (self.slot(stretch.start_ms), self.slot(stretch.end_ms));
        let annotation = Element::new("ALIGNABLE_ANNOTATION")
            .with("ANNOTATION_ID", id)
            .with("TIME_SLOT_REF1", start)
            .with("TIME_SLOT_REF2", end)
            .child(Element::new("ANNOTATION_VALUE").text(value));
        let annotation = if entry.is_empty() { annotation } else { annotation.with("CVE_REF", entry) };
        Element::new("ANNOTATION").child(annotation)
    }

    /// Puts the new slots among those that are there, in order of time. Slots without a time stay behind the one they
    /// follow.
    fn insert_slots(&mut self, root: &mut Element) {
        let mut new = std::mem::take(&mut self.slots);
        new.sort_by_key(|(time_ms, _)| *time_ms);
        let Some(order) = root.first_mut("TIME_ORDER") else { return };
        let mut new = new.into_iter().peekable();
        let mut slots = Vec::new();
        let element = |(time_ms, id): (u64, String)| {
            let slot = Element::new("TIME_SLOT").with("TIME_SLOT_ID", id);
            Node::Element(slot.with("TIME_VALUE", time_ms.to_string()))
        };
        // Slots without a time, which belong between the last one with a time and the next.
        let mut run = Vec::new();
        for node in std::mem::take(&mut order.nodes) {
            let time_ms = match &node {
                Node::Element(slot) => slot.attribute("TIME_VALUE").and_then(|value| value.parse::<u64>().ok()),
                _ => None,
            };
            let Some(time_ms) = time_ms else {
                run.push(node);
                continue;
            };
            while new.peek().is_some_and(|(new_ms, _)| *new_ms < time_ms) {
                slots.extend(new.next().map(element));
            }
            slots.append(&mut run);
            slots.push(node);
        }
        slots.append(&mut run);
        slots.extend(new.map(element));
        order.nodes = slots;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_go_up_and_down() {
        let from = |file: &str, folder: &str| relative(Path::new(file), Path::new(folder)).display().to_string();
        assert_eq!(from("/a/b/c.mp4", "/a/b"), "./c.mp4");
        assert_eq!(from("/a/b/c.mp4", "/a/d/e"), "../../b/c.mp4");
        assert_eq!(from("/a/b/c.mp4", "/"), "./a/b/c.mp4");
    }

    #[test]
    fn taken_names_are_left_to_those_who_have_them() {
        let taken = BTreeSet::from(["x".to_owned(), "x-2".to_owned()]);
        assert_eq!((unique("x", &taken).as_str(), unique("y", &taken).as_str()), ("x-3", "y"));
    }
}
