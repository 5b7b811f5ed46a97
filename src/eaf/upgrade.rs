//! Documents of earlier versions brought to 3.0, as ELAN does when it saves them.

use std::collections::BTreeMap;

use super::xml::{Element, Node};

const LANGUAGES: [(&str, &str, &str); 3] = [
    ("und", "http://cdb.iso.org/lg/CDB-00130975-001", "undetermined (und)"),
    ("eng", "http://cdb.iso.org/lg/CDB-00138502-001", "English (eng)"),
    ("deu", "http://cdb.iso.org/lg/CDB-00138507-001", "German (deu)"),
];

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
    // Of every vocabulary that is brought over: its entries' ids by value.
    let mut entries: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for vocabulary in children_mut(root, "CONTROLLED_VOCABULARY") {
        let index = vocabulary.attributes.iter().position(|(name, _)| name == "DESCRIPTION");
        let description = index.map(|index| vocabulary.attributes.remove(index).1);
        let is_old = description.is_some() || vocabulary.named("CV_ENTRY").next().is_some();
        if !is_old {
            continue;
        }
        let text = description.unwrap_or_default();
        vocabulary.nodes.insert(0, Node::Element(Element::new("DESCRIPTION").with("LANG_REF", "und").text(text)));
        let mut ids = BTreeMap::new();
        for (index, entry) in children_mut(vocabulary, "CV_ENTRY").enumerate() {
            let mut value = Element::new("CVE_VALUE").with("LANG_REF", "und").text(entry.content());
            let mut new = Element::new("CV_ENTRY_ML");
            for (name, text) in std::mem::take(&mut entry.attributes) {
                match name.as_str() {
                    "DESCRIPTION" => value.set("DESCRIPTION", text),
                    _ => new.set(&name, text),
                }
            }
            if new.attribute("CVE_ID").is_none() {
                new.set("CVE_ID", format!("cveid{index}"));
            }
            let id = new.attribute("CVE_ID").unwrap_or_default().to_owned();
            ids.entry(value.content()).or_insert(id);
            *entry = new.child(value);
        }
        entries.insert(vocabulary.attribute("CV_ID").unwrap_or_default().to_owned(), ids);
    }
    if !entries.is_empty() {
        add_language(root, "und");
        refer(root, &entries);
    }
}

/// Lets annotations refer to the entry of their value. Until version 2.8 the value itself was the reference; ELAN takes
/// annotations of 3.0 without one for values outside their vocabulary.
fn refer(root: &mut Element, entries: &BTreeMap<String, BTreeMap<String, String>>) {
    let types: BTreeMap<String, String> = root
        .named("LINGUISTIC_TYPE")
        .filter_map(|kind| Some((kind.attribute("LINGUISTIC_TYPE_ID")?, kind.attribute("CONTROLLED_VOCABULARY_REF")?)))
        .map(|(kind, vocabulary)| (kind.to_owned(), vocabulary.to_owned()))
        .collect();
    for tier in children_mut(root, "TIER") {
        let vocabulary = tier.attribute("LINGUISTIC_TYPE_REF").and_then(|kind| types.get(kind));
        let Some(ids) = vocabulary.and_then(|vocabulary| entries.get(vocabulary)) else { continue };
        for annotation in children_mut(tier, "ANNOTATION") {
            for annotation in annotation.nodes.iter_mut().filter_map(Node::element_mut) {
                let value = annotation.first("ANNOTATION_VALUE").map(Element::content).unwrap_or_default();
                if let Some(id) = ids.get(&value).filter(|_| annotation.attribute("CVE_REF").is_none()) {
                    annotation.set("CVE_REF", id);
                }
            }
        }
    }
}

fn children_mut<'a>(parent: &'a mut Element, name: &'a str) -> impl Iterator<Item = &'a mut Element> {
    parent.nodes.iter_mut().filter_map(move |node| match node {
        Node::Element(element) if element.name == name => Some(element),
        _ => None,
    })
}

/// Adds a language that values are in, where the document lacks it.
pub(super) fn add_language(root: &mut Element, id: &str) {
    if root.named("LANGUAGE").any(|language| language.attribute("LANG_ID") == Some(id)) {
        return;
    }
    if let Some((id, definition, label)) = LANGUAGES.into_iter().find(|(known, _, _)| *known == id) {
        let language = Element::new("LANGUAGE").with("LANG_DEF", definition).with("LANG_ID", id);
        root.push(language.with("LANG_LABEL", label));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eaf::xml;

    #[test]
    fn values_of_an_old_vocabulary_refer_to_its_entries() {
        let old = r#"<ANNOTATION_DOCUMENT VERSION="2.7" FORMAT="2.7"><HEADER/><TIME_ORDER/>
            <TIER TIER_ID="a" LINGUISTIC_TYPE_REF="t"><ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1">
            <ANNOTATION_VALUE>up</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
            <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2"><ANNOTATION_VALUE>sideways</ANNOTATION_VALUE>
            </ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
            <TIER TIER_ID="b" LINGUISTIC_TYPE_REF="free"><ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a3">
            <ANNOTATION_VALUE>up</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION></TIER>
            <LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="t" CONTROLLED_VOCABULARY_REF="v"/>
            <LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="free"/>
            <CONTROLLED_VOCABULARY CV_ID="v" DESCRIPTION="brows"><CV_ENTRY DESCRIPTION="raised">up</CV_ENTRY>
            <CV_ENTRY>down</CV_ENTRY></CONTROLLED_VOCABULARY></ANNOTATION_DOCUMENT>"#;
        let mut root = xml::parse(old.as_bytes()).unwrap();
        upgrade(&mut root);
        let references = |tier: usize| -> Vec<Option<String>> {
            let tier = root.named("TIER").nth(tier).unwrap();
            let annotations = tier.named("ANNOTATION").flat_map(Element::elements);
            annotations.map(|a| a.attribute("CVE_REF").map(str::to_owned)).collect()
        };
        assert_eq!(references(0), [Some("cveid0".to_owned()), None], "a value outside the vocabulary has no entry");
        assert_eq!(references(1), [None], "nor has one of a tier without a vocabulary");
        let once = root.clone();
        upgrade(&mut root);
        assert_eq!(root, once, "a document of 3.0 stays as it is");
    }
}
