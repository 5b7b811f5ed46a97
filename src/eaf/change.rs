//! Labels changed in a document that is there.

use std::io::{self, Write};
use std::path::Path;

use super::document::{LABELS, origin_ms, property};
use super::preset::Language;
use super::xml::{self, Element, Node};
use super::{EafReadError, read, vocabulary};
use crate::timeline::{self, Expression, PlayerTime, Timeline};

/// A document with changes, not yet written.
pub struct Changed {
    root: Element,
    /// Milliseconds of the video before the document's zero.
    origin_ms: i64,
}

impl Changed {
    /// The document at `path` about the video of `timeline`, unchanged.
    ///
    /// # Errors
    /// As [`read`](super::read).
    pub fn read(path: &Path, timeline: &Timeline) -> Result<Self, EafReadError> {
        let root = read::root(path)?;
        let document = read::document(&root).map_err(|fault| EafReadError::Content { path: path.into(), fault })?;
        Ok(Self { root, origin_ms: origin_ms(&document, timeline) })
    }

    /// Gives the annotation we made for `track` from one time to the other another label, or takes it out with
    /// all that hangs on it. Whether it is there: a person may have moved it.
    pub fn relabel(&mut self, track: u32, span: [PlayerTime; 2], label: Option<Expression>) -> bool {
        self.change(track, span, span, label)
    }

    /// As [`relabel`](Self::relabel), and moves it to other times.
    pub fn change(
        &mut self,
        track: u32,
        from: [PlayerTime; 2],
        to: [PlayerTime; 2],
        label: Option<Expression>,
    ) -> bool {
        let from_ms = self.in_document(from);
        let Some((tier, node, id)) = self.find(track, from_ms) else { return false };
        let Some(label) = label else {
            if let Some(Node::Element(tier)) = self.root.nodes.get_mut(tier) {
                tier.nodes.remove(node);
            }
            self.remove_hanging(id, |_| true);
            return true;
        };
        // A person's label has no confidence of the program's.
        self.remove_hanging(id, |tier| is_of_type(tier, "annotate-confidence"));
        let to_ms = self.in_document(to);
        let slots = (from_ms != to_ms).then(|| to_ms.map(|time_ms| self.slot(time_ms)));
        let Some(Node::Element(tier)) = self.root.nodes.get_mut(tier) else { return false };
        let language = language_of(tier);
        let Some(Node::Element(annotation)) = tier.nodes.get_mut(node) else { return false };
        for annotation in elements_mut(annotation) {
            if let Some([start, end]) = &slots {
                annotation.set("TIME_SLOT_REF1", start);
                annotation.set("TIME_SLOT_REF2", end);
            }
            annotation.set("CVE_REF", vocabulary::entry_id(label.name()));
            if let Some(value) = annotation.first_mut("ANNOTATION_VALUE") {
                value.nodes = vec![Node::Text(vocabulary::expression(label, language).word.into())];
            }
        }
        true
    }

    /// Whether our tier of `track` has this annotation.
    pub fn has(&self, track: u32, span: [PlayerTime; 2], label: Expression) -> bool {
        let Some((tier, node, _)) = self.find(track, self.in_document(span)) else { return false };
        let Some(Node::Element(tier)) = self.root.nodes.get(tier) else { return false };
        let word = vocabulary::expression(label, language_of(tier)).word;
        let Some(Node::Element(annotation)) = tier.nodes.get(node) else { return false };
        annotation.elements().any(|a| a.first("ANNOTATION_VALUE").is_some_and(|value| value.content() == word))
    }

    /// Adds an annotation to our tier of `track`, which is made where a person has added the signer. Whether it could be: the
    /// document has a tier of ours, and the time is free.
    pub fn insert(&mut self, track: u32, span: [PlayerTime; 2], label: Expression) -> bool {
        let [start_ms, end_ms] = self.in_document(span);
        let index = self.index_of(track).or_else(|| self.add_tier(track));
        let is_free = |tier: &Element| {
            let spans = tier.named("ANNOTATION").flat_map(Element::elements).map(|annotation| self.span_ms(annotation));
            spans.flatten().all(|[start, end]| end <= start_ms || end_ms <= start)
        };
        let Some(index) =
            index.filter(|index| matches!(&self.root.nodes[*index], Node::Element(tier) if is_free(tier)))
        else {
            return false;
        };
        let [start, end] = [start_ms, end_ms].map(|time_ms| self.slot(time_ms));
        let id = self.next_annotation();
        if let Some(Node::Element(tier)) = self.root.nodes.get_mut(index) {
            let word = vocabulary::expression(label, language_of(tier)).word;
            let annotation = Element::new("ALIGNABLE_ANNOTATION")
                .with("ANNOTATION_ID", id)
                .with("CVE_REF", vocabulary::entry_id(label.name()))
                .with("TIME_SLOT_REF1", start)
                .with("TIME_SLOT_REF2", end)
                .child(Element::new("ANNOTATION_VALUE").text(word));
            tier.push(Element::new("ANNOTATION").child(annotation));
        }
        true
    }

    /// Where our tier of `track` stands.
    fn index_of(&self, track: u32) -> Option<usize> {
        self.root.nodes.iter().position(|node| matches!(node, Node::Element(tier) if is_ours(tier, track)))
    }

    /// Makes an empty tier for `track` like the ones that we made for others; gives its index. `None` where there is none.
    fn add_tier(&mut self, track: u32) -> Option<usize> {
        let is_expressions = |node: &Node| matches!(node, Node::Element(tier) if tier.name == "TIER" && is_of_type(tier, "annotate-expression"));
        let last = self.root.nodes.iter().rposition(is_expressions)?;
        let Some(Node::Element(model)) = self.root.nodes.get(last) else { return None };
        let (old, name) = (model.attribute("PARTICIPANT")?, model.attribute("TIER_ID")?);
        let is_numbered = old.strip_prefix('S').is_some_and(|number| number.parse::<u32>().is_ok());
        let signer = if is_numbered { format!("S{track}") } else { timeline::signer(track) };
        let stem = name.strip_suffix(old).unwrap_or("expression@");
        let taken: Vec<&str> = self.root.named("TIER").filter_map(|tier| tier.attribute("TIER_ID")).collect();
        let names = std::iter::once(format!("{stem}{signer}")).chain((2..).map(|n| format!("{stem}{signer}-{n}")));
        let name = names.into_iter().find(|name| !taken.contains(&name.as_str()))?;
        let mut tier = Element { nodes: Vec::new(), ..model.clone() };
        tier.set("PARTICIPANT", signer);
        tier.set("TIER_ID", name);
        self.root.nodes.insert(last + 1, Node::Element(tier));
        Some(last + 1)
    }

    /// Times of the player in the document's own milliseconds.
    fn in_document(&self, span: [PlayerTime; 2]) -> [u64; 2] {
        span.map(|time| PlayerTime(time.0 - self.origin_ms as f64 / 1000.0).ceil_millis())
    }

    /// Our annotation at these times: the index of its tier, its index there, and its id.
    fn find(&self, track: u32, span_ms: [u64; 2]) -> Option<(usize, usize, String)> {
        for (index, tier) in self.root.nodes.iter().enumerate() {
            let Node::Element(tier) = tier else { continue };
            if !is_ours(tier, track) {
                continue;
            }
            for (at, node) in tier.nodes.iter().enumerate() {
                let Node::Element(annotation) = node else { continue };
                if let Some(found) = annotation.elements().find(|a| self.span_ms(a) == Some(span_ms)) {
                    return Some((index, at, found.attribute("ANNOTATION_ID")?.to_owned()));
                }
            }
        }
        None
    }

    fn span_ms(&self, annotation: &Element) -> Option<[u64; 2]> {
        let time = |name| {
            let slot = annotation.attribute(name)?;
            let order = self.root.first("TIME_ORDER")?;
            let slot = order.named("TIME_SLOT").find(|known| known.attribute("TIME_SLOT_ID") == Some(slot))?;
            slot.attribute("TIME_VALUE")?.parse().ok()
        };
        Some([time("TIME_SLOT_REF1")?, time("TIME_SLOT_REF2")?])
    }

    /// A new time slot at this time, where the order wants it.
    fn slot(&mut self, time_ms: u64) -> String {
        let Some(order) = self.root.first_mut("TIME_ORDER") else { return String::new() };
        let number = |slot: &Element| slot.attribute("TIME_SLOT_ID")?.strip_prefix("ts")?.parse::<u64>().ok();
        let id = format!("ts{}", order.named("TIME_SLOT").filter_map(number).max().unwrap_or(0) + 1);
        let is_later = |node: &Node| {
            let Node::Element(slot) = node else { return false };
            slot.attribute("TIME_VALUE")
                .and_then(|value| value.parse::<u64>().ok())
                .is_some_and(|value| value > time_ms)
        };
        let index = order.nodes.iter().position(is_later).unwrap_or(order.nodes.len());
        let slot = Element::new("TIME_SLOT").with("TIME_SLOT_ID", &id).with("TIME_VALUE", time_ms.to_string());
        order.nodes.insert(index, Node::Element(slot));
        id
    }

    /// An id that no annotation has; the header, where it counts them, counts on.
    fn next_annotation(&mut self) -> String {
        let number =
            |annotation: &Element| annotation.attribute("ANNOTATION_ID")?.strip_prefix('a')?.parse::<u64>().ok();
        let annotations = self.root.named("TIER").flat_map(|tier| tier.named("ANNOTATION")).flat_map(Element::elements);
        let used = annotations.filter_map(number).max().unwrap_or(0);
        let is_count = |property: &&mut Element| property.attribute("NAME") == Some("lastUsedAnnotationId");
        let header = self.root.first_mut("HEADER");
        let count = header.and_then(|header| elements_mut(header).find(is_count));
        let counted = count.as_ref().and_then(|count| count.content().trim().parse::<u64>().ok()).unwrap_or(0);
        let next = used.max(counted) + 1;
        if let Some(count) = count {
            count.nodes = vec![Node::Text(next.to_string())];
        }
        format!("a{next}")
    }

    /// Takes out what hangs on an annotation in some tiers, and what hangs on that.
    fn remove_hanging(&mut self, removed: String, from: impl Fn(&Element) -> bool) {
        let mut gone = vec![removed];
        while let Some(parent) = gone.pop() {
            for tier in elements_mut(&mut self.root).filter(|element| element.name == "TIER" && from(element)) {
                tier.nodes.retain(|node| {
                    let Node::Element(annotation) = node else { return true };
                    let hangs = annotation.elements().find(|a| a.attribute("ANNOTATION_REF") == Some(&parent));
                    gone.extend(hangs.and_then(|a| a.attribute("ANNOTATION_ID")).map(str::to_owned));
                    hangs.is_none()
                });
            }
        }
    }

    /// Says in the document that it holds the labels of `timeline` now.
    pub fn name_labels(&mut self, timeline: &Timeline) {
        let Some(header) = self.root.first_mut("HEADER") else { return };
        let is_named = |node: &Node| matches!(node, Node::Element(e) if e.attribute("NAME") == Some(LABELS));
        header.nodes.retain(|node| !is_named(node));
        header.push(property(LABELS, &timeline.fingerprint()));
    }

    /// Writes the document.
    ///
    /// # Errors
    /// If `out` fails.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        xml::serialise(&self.root, out)
    }
}

/// Whether a tier is the one of expressions that we made for a track.
fn is_ours(tier: &Element, track: u32) -> bool {
    let names = [timeline::signer(track), format!("S{track}")];
    tier.name == "TIER"
        && is_of_type(tier, "annotate-expression")
        && tier.attribute("PARTICIPANT").is_some_and(|name| names.iter().any(|known| known == name))
}

fn is_of_type(tier: &Element, kind: &str) -> bool {
    tier.attribute("LINGUISTIC_TYPE_REF").is_some_and(|found| found.starts_with(kind))
}

fn language_of(tier: &Element) -> Language {
    if tier.attribute("LANG_REF") == Some("deu") { Language::Deu } else { Language::Eng }
}

fn elements_mut(parent: &mut Element) -> impl Iterator<Item = &mut Element> {
    parent.nodes.iter_mut().filter_map(|node| match node {
        Node::Element(element) => Some(element),
        _ => None,
    })
}
