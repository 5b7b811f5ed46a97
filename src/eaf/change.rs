//! Labels changed in a document that is there.

use std::io::{self, Write};
use std::path::Path;

use super::document::origin_ms;
use super::preset::Language;
use super::xml::{self, Element, Node};
use super::{ReadError, read, vocabulary};
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
    pub fn read(path: &Path, timeline: &Timeline) -> Result<Self, ReadError> {
        let root = read::root(path)?;
        let document = read::document(&root).map_err(|fault| ReadError::Content { path: path.into(), fault })?;
        Ok(Self { root, origin_ms: origin_ms(&document, timeline) })
    }

    /// Gives the annotation we made for `track` from one time to the other another label, or takes it out with all that
    /// hangs on it. Whether it is there: a person may have moved it.
    pub fn relabel(&mut self, track: u32, span: [PlayerTime; 2], label: Option<Expression>) -> bool {
        let slots = |time_ms: u64, root: &Element| -> Vec<String> {
            let order = root.first("TIME_ORDER").into_iter().flat_map(|order| order.named("TIME_SLOT"));
            let wanted = order.filter(|slot| slot.attribute("TIME_VALUE") == Some(time_ms.to_string().as_str()));
            wanted.filter_map(|slot| slot.attribute("TIME_SLOT_ID")).map(str::to_owned).collect()
        };
        let in_document = |time: PlayerTime| PlayerTime(time.0 - self.origin_ms as f64 / 1000.0).ceil_millis();
        let [starts, ends] = span.map(|time| slots(in_document(time), &self.root));
        let is_it = |annotation: &Element| {
            let at = |name, slots: &Vec<String>| slots.iter().any(|slot| annotation.attribute(name) == Some(slot));
            at("TIME_SLOT_REF1", &starts) && at("TIME_SLOT_REF2", &ends)
        };
        let names = [timeline::signer(track), format!("S{track}")];
        let mut removed = None;
        for tier in elements_mut(&mut self.root).filter(|element| element.name == "TIER") {
            let is_ours = tier.attribute("LINGUISTIC_TYPE_REF").is_some_and(|t| t.starts_with("annotate-expression"))
                && tier.attribute("PARTICIPANT").is_some_and(|name| names.iter().any(|known| known == name));
            if !is_ours {
                continue;
            }
            let language = if tier.attribute("LANG_REF") == Some("deu") { Language::Deu } else { Language::Eng };
            let place = tier
                .nodes
                .iter()
                .position(|node| matches!(node, Node::Element(annotation) if annotation.elements().any(is_it)));
            let Some(place) = place else { continue };
            match (label, &mut tier.nodes[place]) {
                (Some(label), Node::Element(annotation)) => {
                    for annotation in elements_mut(annotation) {
                        annotation.set("CVE_REF", vocabulary::entry_id(label.name()));
                        if let Some(value) = annotation.first_mut("ANNOTATION_VALUE") {
                            value.nodes = vec![Node::Text(vocabulary::expression(label, language).word.into())];
                        }
                    }
                    return true;
                }
                (_, Node::Element(annotation)) => {
                    removed = annotation.elements().find_map(|a| a.attribute("ANNOTATION_ID")).map(str::to_owned);
                }
                _ => {}
            }
            tier.nodes.remove(place);
            break;
        }
        let Some(removed) = removed else { return false };
        self.remove_hanging(removed);
        true
    }

    /// Takes out what hangs on annotations that are gone, and what hangs on that.
    fn remove_hanging(&mut self, removed: String) {
        let mut gone = vec![removed];
        while let Some(parent) = gone.pop() {
            for tier in elements_mut(&mut self.root).filter(|element| element.name == "TIER") {
                tier.nodes.retain(|node| {
                    let Node::Element(annotation) = node else { return true };
                    let hangs = annotation.elements().find(|a| a.attribute("ANNOTATION_REF") == Some(&parent));
                    gone.extend(hangs.and_then(|a| a.attribute("ANNOTATION_ID")).map(str::to_owned));
                    hangs.is_none()
                });
            }
        }
    }

    /// Writes the document.
    ///
    /// # Errors
    /// If `out` fails.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        xml::serialise(&self.root, out)
    }
}

fn elements_mut(parent: &mut Element) -> impl Iterator<Item = &mut Element> {
    parent.nodes.iter_mut().filter_map(|node| match node {
        Node::Element(element) => Some(element),
        _ => None,
    })
}
