//! A timeline's tiers in an annotation document, a new one or one that is there: everything else in it stays.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::link::Linked;
use super::preset::{Language, Preset};
use super::tiers::{self, Content, DocumentTime, SignerTier, TierStretch, VocabularyValue};
use super::upgrade::add_language;
use super::vocabulary::{self, ControlledVocabulary};
use super::xml::{Element, Node};
use super::{Document, Tier, read};
use crate::palette::Colour;
use crate::timeline::Timeline;

/// The schema wants a date. The day on which the program ran says nothing about the annotations and would make two runs
/// differ, so a new document has none to speak of, and one that is merged into keeps the day it was last saved on.
pub(super) const NO_DATE: &str = "1970-01-01T00:00:00+00:00";

/// The property that says which labels the document was made from, by their fingerprint.
pub(super) const LABELS: &str = "annotate.labels";

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

/// A document without annotations.
pub(super) fn blank(timeline: &Timeline) -> Element {
    let header = Element::new("HEADER")
        .with("MEDIA_FILE", "")
        .with("TIME_UNITS", "milliseconds")
        .child(property("URN", &format!("urn:nl-mpi-tools-elan-eaf:{}", identifier(timeline))));
    Element::new("ANNOTATION_DOCUMENT")
        .with("AUTHOR", "")
        .with("DATE", NO_DATE)
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

pub(super) fn property(name: &str, value: &str) -> Element {
    Element::new("PROPERTY").with("NAME", name).text(value)
}

/// What a document holds of a timeline.
pub(super) struct Added {
    /// Tiers and the colours they have.
    pub tiers: Vec<(String, Colour)>,
    /// Vocabularies under the names they have in the document.
    pub vocabularies: Vec<(String, &'static ControlledVocabulary)>,
}

/// Adds the timeline's tiers, their types and vocabularies, `media` and `curves` to `root`, in the document's own time.
/// Names and ids that are taken are left to those who have them; tiers that are there already, with the same content, are
/// not added again.
pub(super) fn add(
    root: &mut Element,
    timeline: &Timeline,
    preset: &Preset,
    media: Option<&Linked>,
    curves: &[Linked],
) -> Added {
    // A document that cannot be read was refused when it was opened.
    let there = read::document(root).unwrap_or_default();
    let clock = DocumentTime { timeline, origin_ms: origin_ms(&there, timeline) };
    let mut ids = Ids::of(root);
    let mut added = Added { tiers: Vec::new(), vocabularies: Vec::new() };
    if timeline.tracks.is_empty() {
        // People who annotate by hand a video in which no signer was seen find the types.
        aligned_type(root, &vocabulary::EXPRESSIONS);
        aligned_type(root, &vocabulary::STATUSES);
        for part in timeline.measured_parts().into_iter().filter(|part| !preset.part(*part).is_empty()) {
            aligned_type(root, vocabulary::of_part(part));
        }
    }
    for track in &timeline.tracks {
        let wanted = tiers::of_signer(track, clock, preset);
        let (author, signer) = (format!("{} {}", timeline.tool.name, timeline.tool.version), preset.signer(track));
        let tier = |name: &str, kind: &str| {
            Element::new("TIER")
                .with("ANNOTATOR", &author)
                .with("LANG_REF", code(preset.language))
                .with("LINGUISTIC_TYPE_REF", kind)
                .with("PARTICIPANT", &signer)
                .with("TIER_ID", name)
        };
        let names = add_tiers(root, &wanted, standing(&wanted, &there.tiers), &mut ids, tier);
        for (name, tier) in names.into_iter().zip(&wanted) {
            if let Content::Aligned { vocabulary, .. } = tier.content
                && let Some(used) = vocabulary_of(root, &name)
                && added.vocabularies.iter().all(|(known, _)| *known != used)
            {
                added.vocabularies.push((used, vocabulary));
            }
            added.tiers.push((name, tier.colour));
        }
    }
    ids.insert_slots(root);
    let media = media.filter(|media| there.video(&media.url).is_none());
    add_header(root, timeline, media, curves, ids.last_annotation);
    let rank = |node: &Node| match node {
        Node::Element(element) => ORDER.iter().position(|name| *name == element.name).unwrap_or(ORDER.len()),
        _ => 0,
    };
    root.nodes.sort_by_key(rank);
    added
}

/// Where the document's zero lies in the timeline's video; at its start where the document does not know the video.
pub(super) fn origin_ms(document: &Document, timeline: &Timeline) -> i64 {
    document.video(&timeline.media.path).map_or(0, |media| media.time_origin_ms)
}

/// The name under which each of a signer's tiers stands among `there`, from an earlier run, with the same content; none for one
/// that hangs on a tier that does not stand there.
fn standing(wanted: &[SignerTier], there: &[Tier]) -> Vec<Option<String>> {
    let is_called = |id: &str, name: &str| match id.strip_prefix(name) {
        Some("") => true,
        Some(rest) => rest.strip_prefix('-').is_some_and(|number| number.parse::<u32>().is_ok()),
        None => false,
    };
    let spans = |index: usize| match &wanted[index].content {
        Content::Aligned { annotations, .. } => annotations.iter().map(|a| (a.start_ms, a.end_ms)).collect(),
        Content::Hanging { .. } => Vec::new(),
    };
    let same = |tier: &SignerTier| {
        let expected: Vec<(u64, u64, &str)> = match &tier.content {
            Content::Aligned { annotations, .. } => {
                annotations.iter().map(|a| (a.start_ms, a.end_ms, &*a.what.word)).collect()
            }
            Content::Hanging { parent, texts, .. } => {
                let texts = spans(*parent).into_iter().zip(texts);
                texts.filter_map(|((start, end), text)| Some((start, end, text.as_deref()?))).collect()
            }
        };
        let found = there.iter().filter(|other| is_called(&other.id, &tier.name)).find(|other| {
            let found = other.annotations.iter().map(|a| (a.start_ms, a.end_ms, a.value.as_str()));
            found.eq(expected.iter().copied())
        });
        found.map(|other| other.id.clone())
    };
    let found: Vec<Option<String>> = wanted.iter().map(same).collect();
    let stem = |index: usize| match wanted[index].content {
        Content::Hanging { parent, .. } => parent,
        Content::Aligned { .. } => index,
    };
    (0..found.len()).map(|index| found[index].clone().filter(|_| found[stem(index)].is_some())).collect()
}

/// Adds a signer's tiers, but for those that stand there under a name already; gives the names of all. `tier` makes an empty one
/// from its name and type.
fn add_tiers(
    root: &mut Element,
    wanted: &[SignerTier],
    standing: Vec<Option<String>>,
    ids: &mut Ids,
    tier: impl Fn(&str, &str) -> Element,
) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    // The ids of each tier's annotations, for those that hang on them.
    let mut annotation_ids: Vec<Vec<String>> = Vec::new();
    for (SignerTier { name, content, .. }, standing) in wanted.iter().zip(standing) {
        if let Some(name) = standing {
            annotation_ids.push(ids_of_tier(root, &name));
            names.push(name);
            continue;
        }
        let name = unique(name, &ids.tiers);
        ids.tiers.insert(name.clone());
        let mut own_ids = Vec::new();
        let element = match content {
            Content::Aligned { vocabulary, annotations } => {
                let mut element = tier(&name, &aligned_type(root, vocabulary));
                for stretch in annotations {
                    own_ids.push(ids.annotation());
                    element.push(ids.aligned(&own_ids[own_ids.len() - 1], stretch));
                }
                element
            }
            Content::Hanging { kind, parent, texts } => {
                let mut element = tier(&name, &hanging_type(root, kind)).with("PARENT_REF", &names[*parent]);
                for (parent, text) in annotation_ids[*parent].iter().zip(texts) {
                    let Some(text) = text else { continue };
                    let annotation = Element::new("REF_ANNOTATION")
                        .with("ANNOTATION_ID", ids.annotation())
                        .with("ANNOTATION_REF", parent)
                        .child(Element::new("ANNOTATION_VALUE").text(text));
                    element.push(Element::new("ANNOTATION").child(annotation));
                }
                element
            }
        };
        root.push(element);
        names.push(name);
        annotation_ids.push(own_ids);
    }
    names
}

/// The ids of a tier's annotations, in order of time.
fn ids_of_tier(root: &Element, name: &str) -> Vec<String> {
    let slots = root.first("TIME_ORDER").into_iter().flat_map(|order| order.named("TIME_SLOT"));
    let times: BTreeMap<&str, u64> = slots
        .filter_map(|slot| Some((slot.attribute("TIME_SLOT_ID")?, slot.attribute("TIME_VALUE")?.parse().ok()?)))
        .collect();
    let tier = root.named("TIER").filter(|tier| tier.attribute("TIER_ID") == Some(name));
    let annotations = tier.flat_map(|tier| tier.named("ANNOTATION")).flat_map(Element::elements);
    let mut found: Vec<(Option<u64>, &str)> = annotations
        .filter_map(|annotation| {
            let start = annotation.attribute("TIME_SLOT_REF1").and_then(|slot| times.get(slot).copied());
            Some((start, annotation.attribute("ANNOTATION_ID")?))
        })
        .collect();
    found.sort_by_key(|(start, _)| *start);
    found.into_iter().map(|(_, id)| id.to_owned()).collect()
}

fn code(language: Language) -> &'static str {
    match language {
        Language::Eng => "eng",
        Language::Deu => "deu",
    }
}

/// The linguistic type of tiers whose values are of `vocabulary`; both are added where they are missing.
fn aligned_type(root: &mut Element, vocabulary: &ControlledVocabulary) -> String {
    for language in ["und", "eng", "deu"] {
        add_language(root, language);
    }
    let used = add_unique(root, "CONTROLLED_VOCABULARY", "CV_ID", vocabulary.element());
    let kind = Element::new("LINGUISTIC_TYPE")
        .with("CONTROLLED_VOCABULARY_REF", used)
        .with("GRAPHIC_REFERENCES", "false")
        .with("LINGUISTIC_TYPE_ID", vocabulary.id)
        .with("TIME_ALIGNABLE", "true");
    add_unique(root, "LINGUISTIC_TYPE", "LINGUISTIC_TYPE_ID", kind)
}

/// The linguistic type of tiers with one text for each annotation of their parent; it is added where it is missing.
fn hanging_type(root: &mut Element, name: &str) -> String {
    let stereotype = "Symbolic_Association";
    if root.named("CONSTRAINT").all(|constraint| constraint.attribute("STEREOTYPE") != Some(stereotype)) {
        let description = "1-1 association with a parent annotation";
        root.push(Element::new("CONSTRAINT").with("DESCRIPTION", description).with("STEREOTYPE", stereotype));
    }
    let kind = Element::new("LINGUISTIC_TYPE")
        .with("CONSTRAINTS", stereotype)
        .with("GRAPHIC_REFERENCES", "false")
        .with("LINGUISTIC_TYPE_ID", name)
        .with("TIME_ALIGNABLE", "false");
    add_unique(root, "LINGUISTIC_TYPE", "LINGUISTIC_TYPE_ID", kind)
}

/// The vocabulary that a tier's type names.
fn vocabulary_of(root: &Element, tier: &str) -> Option<String> {
    let tier = root.named("TIER").find(|element| element.attribute("TIER_ID") == Some(tier))?;
    let kind = tier.attribute("LINGUISTIC_TYPE_REF")?;
    let kind = root.named("LINGUISTIC_TYPE").find(|element| element.attribute("LINGUISTIC_TYPE_ID") == Some(kind))?;
    kind.attribute("CONTROLLED_VOCABULARY_REF").map(str::to_owned)
}

/// What makes a type or vocabulary what it is, however a program lays it out.
fn essence(element: &Element) -> BTreeSet<(String, String, String)> {
    let attribute = |element: &Element, name: &str| element.attribute(name).unwrap_or_default().to_owned();
    match element.name.as_str() {
        "CONTROLLED_VOCABULARY" => {
            let entries = element.named("CV_ENTRY_ML");
            let values = entries.flat_map(|entry| entry.named("CVE_VALUE").map(move |value| (entry, value)));
            let triple = |(entry, value)| (attribute(entry, "CVE_ID"), attribute(value, "LANG_REF"), value.content());
            values.map(triple).collect()
        }
        _ => ["CONTROLLED_VOCABULARY_REF", "CONSTRAINTS", "TIME_ALIGNABLE"]
            .iter()
            .map(|name| ((*name).to_owned(), attribute(element, name), String::new()))
            .collect(),
    }
}

/// Adds `element` unless it is there already; under another name where its own is another's. Gives the name.
fn add_unique(root: &mut Element, kind: &str, key: &str, mut element: Element) -> String {
    let taken: BTreeSet<String> = root.named(kind).filter_map(|e| e.attribute(key)).map(str::to_owned).collect();
    let wanted = element.attribute(key).unwrap_or_default().to_owned();
    let own = essence(&element);
    let same = root.named(kind).filter_map(|other| Some((other.attribute(key)?, other)));
    let same = same.filter(|(name, _)| name.starts_with(&wanted)).find(|(_, other)| essence(other) == own);
    if let Some((name, _)) = same {
        return name.to_owned();
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
    if let Some(media) = media {
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
        (LABELS, timeline.fingerprint()),
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

    /// A time-aligned annotation with slots of its own.
    fn aligned(&mut self, id: &str, stretch: &TierStretch<VocabularyValue>) -> Element {
        let (start, end) = (self.slot(stretch.start_ms), self.slot(stretch.end_ms));
        let mut annotation = Element::new("ALIGNABLE_ANNOTATION").with("ANNOTATION_ID", id);
        if let Some(entry) = &stretch.what.entry {
            annotation = annotation.with("CVE_REF", entry);
        }
        let annotation = annotation
            .with("TIME_SLOT_REF1", start)
            .with("TIME_SLOT_REF2", end)
            .child(Element::new("ANNOTATION_VALUE").text(&*stretch.what.word));
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
    use crate::eaf::xml;
    use crate::sample;
    use crate::timeline::FacePart;

    fn document(timeline: &Timeline) -> Element {
        let mut root = blank(timeline);
        add(&mut root, timeline, &Preset::default(), None, &[]);
        root
    }

    #[test]
    fn taken_names_are_left_to_those_who_have_them() {
        let taken = BTreeSet::from(["x".to_owned(), "x-2".to_owned()]);
        assert_eq!((unique("x", &taken).as_str(), unique("y", &taken).as_str()), ("x-3", "y"));
    }

    #[test]
    fn what_is_there_is_not_added_again_and_what_a_person_changed_is_left_alone() {
        let timeline = sample::two_signers();
        let bytes = |root: &Element| {
            let mut bytes = Vec::new();
            xml::serialise(root, &mut bytes).unwrap();
            bytes
        };
        let mut root = document(&timeline);
        let before = bytes(&root);
        add(&mut root, &timeline, &Preset::default(), None, &[]);
        assert_eq!(String::from_utf8(bytes(&root)).unwrap(), String::from_utf8(before.clone()).unwrap());
        // Another word on the first tier: it comes once more with what hangs on it, beside the person's, and then never again.
        let edited =
            String::from_utf8(before).unwrap().replacen("<ANNOTATION_VALUE>happiness", "<ANNOTATION_VALUE>joy", 1);
        let mut root = xml::parse(edited.as_bytes()).unwrap();
        for _ in 0..3 {
            add(&mut root, &timeline, &Preset::default(), None, &[]);
        }
        let names: Vec<&str> = root.named("TIER").filter_map(|tier| tier.attribute("TIER_ID")).collect();
        assert_eq!(names.iter().filter(|name| name.contains("@A")).count(), 9 + 3, "{names:?}");
        assert!(names.contains(&"expression@A-2") && names.contains(&"expression-confidence@A-2"), "{names:?}");
        assert_eq!(names.iter().filter(|name| name.contains("@B")).count(), 9, "{names:?}");
        assert_eq!(root.named("CONTROLLED_VOCABULARY").count(), 2 + FacePart::ALL.len());
        assert_eq!(root.named("LINGUISTIC_TYPE").count(), 4 + FacePart::ALL.len());
    }

    #[test]
    fn a_tier_that_is_new_hangs_on_the_one_that_stands_there_from_before() {
        let timeline = sample::two_signers();
        let mut root = blank(&timeline);
        let before = Preset { segment_face: String::new(), ..Preset::default() };
        add(&mut root, &timeline, &before, None, &[]);
        let added = add(&mut root, &timeline, &Preset::default(), None, &[]);
        assert!(added.tiers.iter().all(|(name, _)| !name.ends_with("-2")), "what is there stays the only one");
        let tier = |name: &str| root.named("TIER").find(|tier| tier.attribute("TIER_ID") == Some(name)).unwrap();
        let face = tier("expression-face@A");
        assert_eq!(face.attribute("PARENT_REF"), Some("expression@A"));
        let annotation = face.named("ANNOTATION").flat_map(Element::elements).next().unwrap();
        let first = tier("expression@A").named("ANNOTATION").flat_map(Element::elements).next().unwrap();
        assert_eq!(annotation.attribute("ANNOTATION_REF"), first.attribute("ANNOTATION_ID"));
    }

    #[test]
    fn a_document_does_not_say_on_which_day_it_was_made() {
        let timeline = sample::two_signers();
        assert_eq!(document(&timeline).attribute("DATE"), Some(NO_DATE));
        let mut root = document(&timeline).with("DATE", "2019-05-06T07:08:09+02:00");
        add(&mut root, &timeline, &Preset::default(), None, &[]);
        assert_eq!(root.attribute("DATE"), Some("2019-05-06T07:08:09+02:00"));
    }
}
