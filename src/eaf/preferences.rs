//! How ELAN shows a document (`.pfsx`, schema Prefs_v1.1): panels of curves, colours of tiers and values, keys of entries.
//!
//! The file holds how a person has arranged things. So what is there stays, and only what is missing is added.

use std::path::Path;

use super::curves::{self, Curve, rgb};
use super::document::Added;
use super::xml::{self, Element, Node};
use crate::files;
use crate::palette::Colour;

/// What ELAN writes has some kilobytes.
const LARGEST: u64 = 16 << 20;

const PANELS: &str = "TimeSeriesViewer.NumberOfPanels";
const PANEL: &str = "TimeSeriesViewer.Panel-";
/// Height of the upper part of ELAN's window, in pixels; the panels have the rest. As high as ELAN makes it by itself, panels
/// are a finger's breadth; 330 leaves them readable and the video large (tried in the running program).
const DIVIDER: (&str, &str) = ("LayoutManager.SplitPaneDividerLocation", "330");

/// Preferences without content.
pub(super) fn blank() -> Element {
    Element::new("preferences")
        .with("version", "1.1")
        .with("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance")
        .with("xsi:noNamespaceSchemaLocation", "http://www.mpi.nl/tools/elan/Prefs_v1.1.xsd")
}

/// The preferences in the file at `path`; blank ones where there is no file, `None` where it holds something else.
pub(super) fn read(path: &Path) -> Option<Element> {
    match files::read_found(path, LARGEST) {
        Ok(bytes) => xml::parse(&bytes).ok().filter(|root| root.name == "preferences"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some(blank()),
        Err(_) => None,
    }
}

/// Adds what `other` has and `root` lacks, at every level of groups.
pub(super) fn add_missing(root: &mut Element, other: &Element) {
    for theirs in other.elements() {
        let Some(key) = theirs.attribute("key") else { continue };
        let own = root.nodes.iter_mut().filter_map(Node::element_mut).find(|own| own.attribute("key") == Some(key));
        match own {
            None => root.push(theirs.clone()),
            Some(own) if own.name == "prefGroup" && theirs.name == "prefGroup" => add_missing(own, theirs),
            Some(_) => {}
        }
    }
}

/// Adds what shows `added` and `curves`.
pub(super) fn add(root: &mut Element, added: &Added, curves: &[Curve]) {
    let mut ours = Element::new("preferences");
    if !curves.is_empty() {
        add_panels(root, curves);
        ours.push(preference(DIVIDER.0, "Int", DIVIDER.1));
    }
    let mut tiers = group("TierColors");
    for (tier, colour) in &added.tiers {
        tiers.push(colour_of(tier, *colour));
    }
    ours.push(tiers);
    let mut vocabularies = group("CV.ML.Prefs");
    for (name, vocabulary) in &added.vocabularies {
        let mut entries = group(name);
        // Java's codes of the keys 1, 2 and so on, which are the review page's as well.
        for (key_code, word) in (49u8..=57).zip(vocabulary.words()) {
            let entry = group(&word.id).child(colour_of("Color", word.colour));
            entries.push(entry.child(preference("KeyCode", "Int", &key_code.to_string())));
        }
        vocabularies.push(entries);
    }
    ours.push(vocabularies);
    add_missing(root, &ours);
}

/// Shows the curves that no panel shows: in panels that are left over from an earlier run, then in new ones.
fn add_panels(root: &mut Element, curves: &[Curve]) {
    let names = |panel: &Element| panel.named("String").map(Element::content).collect::<Vec<_>>();
    let number_of = |key: &str| key.strip_prefix(PANEL).and_then(|number| number.parse::<usize>().ok());
    let is_there = |name: &String| curves.iter().any(|curve| curve.name == *name);
    // Curves of ours that the document has no more, as its signers are called otherwise by now.
    let is_past = |name: &String| !is_there(name) && curves::names().any(|own| name.ends_with(&format!(" {own}")));
    let mut shown: Vec<String> = Vec::new();
    let (mut free, mut last) = (Vec::new(), 0);
    for panel in root.named("prefList") {
        let Some(number) = panel.attribute("key").and_then(number_of) else { continue };
        last = last.max(number);
        let names = names(panel);
        match !names.is_empty() && names.iter().all(is_past) {
            true => free.push(number),
            false => shown.extend(names),
        }
    }
    free.sort_unstable();
    let mut free = free.into_iter();
    for mut panel in curves::panels(curves) {
        panel.retain(|name| !shown.iter().any(|other| other == name));
        if panel.is_empty() {
            continue;
        }
        let number = free.next().unwrap_or_else(|| {
            last += 1;
            last
        });
        let mut list = Element::new("prefList").with("key", format!("{PANEL}{number}"));
        panel.into_iter().for_each(|name| list.push(Element::new("String").text(name)));
        put(root, list);
    }
    // Panels that stay left over would be empty rows on the screen.
    let mut rest: Vec<usize> = free.collect();
    let stated = root.elements().find(|pref| pref.attribute("key") == Some(PANELS));
    let stated = stated.and_then(|pref| pref.first("Int")?.content().trim().parse::<usize>().ok()).unwrap_or(0);
    let mut count = last.max(stated);
    while rest.last().is_some_and(|number| *number == count) {
        rest.pop();
        let key = format!("{PANEL}{count}");
        root.nodes.retain(|node| !matches!(node, Node::Element(e) if e.attribute("key") == Some(&key)));
        count -= 1;
    }
    put(root, preference(PANELS, "Int", &count.to_string()));
}

/// Replaces the element with the same key by `element`, or adds it at the end.
fn put(root: &mut Element, element: Element) {
    let key = element.attribute("key").map(str::to_owned);
    let own = root.nodes.iter_mut().filter_map(Node::element_mut).find(|own| own.attribute("key") == key.as_deref());
    match own {
        Some(own) => *own = element,
        None => root.push(element),
    }
}

fn group(key: &str) -> Element {
    Element::new("prefGroup").with("key", key)
}

fn preference(key: &str, kind: &str, value: &str) -> Element {
    Element::new("pref").with("key", key).child(Element::new(kind).text(value))
}

fn colour_of(key: &str, colour: Colour) -> Element {
    let object = Element::new("Object").with("class", "java.awt.Color").text(rgb(colour));
    Element::new("pref").with("key", key).child(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eaf::preset::{Preset, Signers};
    use crate::eaf::vocabulary;
    use crate::sample;
    use crate::timeline::{Expression, Timeline};

    fn added() -> Added {
        Added {
            tiers: vec![("expression@A".into(), Colour { red: 1, green: 2, blue: 3 })],
            vocabularies: vec![("annotate-expression".into(), &vocabulary::EXPRESSIONS)],
        }
    }

    /// One signer, whose face was not measured.
    fn nobody_measured() -> Timeline {
        let mut timeline = sample::two_signers();
        timeline.tracks.truncate(1);
        timeline.tracks[0].events.clear();
        timeline.tracks[0].neutral = None;
        timeline
    }

    fn with_curves(root: &mut Element, timeline: &Timeline, preset: &Preset) {
        add(root, &added(), &curves::curves(timeline, preset));
    }

    fn at<'a>(root: &'a Element, keys: &[&str]) -> Option<&'a Element> {
        keys.iter().try_fold(root, |element, key| element.elements().find(|e| e.attribute("key") == Some(key)))
    }

    fn panel(root: &Element, number: usize) -> Vec<String> {
        let list = at(root, &[&format!("{PANEL}{number}")]);
        list.into_iter().flat_map(|list| list.named("String").map(Element::content)).collect()
    }

    fn panel_count(root: &Element) -> String {
        at(root, &[PANELS]).unwrap().first("Int").unwrap().content()
    }

    #[test]
    fn values_have_their_classes_colours_and_keys() {
        let mut root = blank();
        with_curves(&mut root, &sample::two_signers(), &Preset::default());
        for (key_code, class) in (49..).zip(Expression::ALL) {
            let entry = format!("cve-{}", class.name());
            let entry = at(&root, &["CV.ML.Prefs", "annotate-expression", &entry]).unwrap();
            let colour = at(entry, &["Color"]).unwrap().first("Object").unwrap();
            assert_eq!(colour.attribute("class"), Some("java.awt.Color"));
            assert_eq!(colour.content(), rgb(crate::palette::colour_of(class)));
            assert_eq!(at(entry, &["KeyCode"]).unwrap().first("Int").unwrap().content(), key_code.to_string());
        }
        assert_eq!(at(&root, &[DIVIDER.0]).unwrap().first("Int").unwrap().content(), "330");
    }

    #[test]
    fn what_a_person_arranged_stays_and_ours_comes_beside_it() {
        let arranged = r#"<preferences version="1.1"><pref key="LayoutManager.SplitPaneDividerLocation"><Int>500</Int></pref>
            <pref key="TimeSeriesViewer.NumberOfPanels"><Int>1</Int></pref>
            <prefList key="TimeSeriesViewer.Panel-1"><String>heart rate</String><String>A anger</String></prefList>
            <prefGroup key="TierColors"><pref key="gloss"><Object class="java.awt.Color">9,9,9</Object></pref>
            <pref key="expression@A"><Object class="java.awt.Color">7,7,7</Object></pref></prefGroup>
            <prefGroup key="TierFonts"><pref key="gloss"><Object class="java.awt.Font">Arial</Object></pref></prefGroup>
            </preferences>"#;
        let mut root = xml::parse(arranged.as_bytes()).unwrap();
        let timeline = nobody_measured();
        with_curves(&mut root, &timeline, &Preset::default());
        assert_eq!(panel(&root, 1), ["heart rate", "A anger"]);
        assert!(panel(&root, 2).len() == 6 && !panel(&root, 2).contains(&"A anger".to_owned()), "shown already");
        assert_eq!(panel(&root, 3), ["A confidence", "A face score"]);
        assert_eq!(panel_count(&root), "3");
        assert_eq!(at(&root, &["TierColors", "expression@A"]).unwrap().first("Object").unwrap().content(), "7,7,7");
        assert!(at(&root, &["TierColors", "gloss"]).is_some() && at(&root, &["TierFonts", "gloss"]).is_some());
        assert_eq!(at(&root, &[DIVIDER.0]).unwrap().first("Int").unwrap().content(), "500");
        let once = root.clone();
        with_curves(&mut root, &timeline, &Preset::default());
        assert_eq!(root, once, "a second time changes nothing");
    }

    #[test]
    fn panels_of_measures_come_behind_those_that_a_document_has() {
        let mut root = blank();
        with_curves(&mut root, &nobody_measured(), &Preset::default());
        let mut timeline = sample::two_signers();
        timeline.tracks.truncate(1);
        with_curves(&mut root, &timeline, &Preset::default());
        assert_eq!(panel(&root, 2), ["A confidence", "A face score"], "as a person has seen it");
        assert_eq!((panel(&root, 3), panel(&root, 4).len()), (vec!["A covered".to_owned()], 4));
        let once = root.clone();
        with_curves(&mut root, &timeline, &Preset::default());
        assert_eq!(root, once);
    }

    #[test]
    fn curves_of_other_names_take_the_place_of_those_that_are_gone() {
        let mut root = blank();
        let timeline = nobody_measured();
        with_curves(&mut root, &timeline, &Preset::default());
        with_curves(&mut root, &timeline, &Preset { signers: Signers::Numbers, ..Preset::default() });
        assert_eq!((panel(&root, 1).len(), panel(&root, 2).len(), panel_count(&root)), (7, 2, "2".into()));
        assert_eq!(panel(&root, 2), ["S1 confidence", "S1 face score"]);
    }

    #[test]
    fn preferences_of_another_document_come_along_where_there_are_none_yet() {
        let mut root = blank().child(group("TierColors").child(colour_of("a", Colour { red: 1, green: 1, blue: 1 })));
        let grey = Colour { red: 5, green: 5, blue: 5 };
        let other = blank()
            .child(group("TierColors").child(colour_of("a", grey)).child(colour_of("b", grey)))
            .child(preference("TextViewer.FontSize", "Int", "14"));
        add_missing(&mut root, &other);
        assert_eq!(at(&root, &["TierColors", "a"]).unwrap().first("Object").unwrap().content(), "1,1,1");
        assert!(at(&root, &["TierColors", "b"]).is_some() && at(&root, &["TextViewer.FontSize"]).is_some());
    }
}
