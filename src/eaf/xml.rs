//! XML as a tree, read with limits and written so that nothing in a text can break out of it.

use std::io::{self, Write};

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

/// An element, its attributes in their order, and what is in it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Element {
    pub name: String,
    pub attributes: Vec<(String, String)>,
    pub nodes: Vec<Node>,
}

/// What can be inside an element.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Element(Element),
    Text(String),
    Comment(String),
}

impl Node {
    pub(crate) fn element_mut(&mut self) -> Option<&mut Element> {
        match self {
            Self::Element(element) => Some(element),
            _ => None,
        }
    }
}

/// Why bytes are not a document we read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum XmlError {
    #[error("it is larger than {} MB", LARGEST >> 20)]
    TooLarge,
    #[error("it is not UTF-8 (byte {at})")]
    NotUtf8 { at: usize },
    #[error("it says to be encoded in {0}; save it as UTF-8")]
    Encoding(String),
    #[error("it holds a document type declaration, which is not read for safety's sake")]
    DocumentType,
    #[error("it refers to an entity '{0}', which is not read for safety's sake")]
    Entity(String),
    #[error("its elements are nested more than {DEEPEST} deep")]
    Depth,
    #[error("it has more than {WIDEST} elements below its root; annotation files have some hundreds")]
    Width,
    #[error("it is not well-formed XML (byte {at}): {reason}")]
    Syntax { at: u64, reason: String },
    #[error("it holds no element, or more than one at the top")]
    Root,
}

/// Real annotation files have a few megabytes.
pub(super) const LARGEST: usize = 64 << 20;
/// EAF is six deep.
const DEEPEST: usize = 32;
/// Below the root are tiers, types and vocabularies; annotations are deeper.
const WIDEST: usize = 20_000;

impl Element {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// With an attribute set.
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.set(name, value);
        self
    }

    /// With a text inside.
    pub(crate) fn text(mut self, text: impl Into<String>) -> Self {
        self.nodes.push(Node::Text(text.into()));
        self
    }

    /// With a child at the end.
    pub(crate) fn child(mut self, child: Self) -> Self {
        self.push(child);
        self
    }

    pub(crate) fn push(&mut self, child: Self) {
        self.nodes.push(Node::Element(child));
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        match self.attributes.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => *old = value,
            None => self.attributes.push((name.into(), value)),
        }
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The child elements.
    pub(crate) fn elements(&self) -> impl Iterator<Item = &Self> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            _ => None,
        })
    }

    /// The child elements of this name.
    pub(crate) fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.elements().filter(move |element| element.name == name)
    }

    /// The first child element of this name.
    pub(crate) fn first(&self, name: &str) -> Option<&Self> {
        self.elements().find(|element| element.name == name)
    }

    pub(crate) fn first_mut(&mut self, name: &str) -> Option<&mut Self> {
        self.nodes.iter_mut().find_map(|node| match node {
            Node::Element(element) if element.name == name => Some(element),
            _ => None,
        })
    }

    /// The text directly inside.
    pub(crate) fn content(&self) -> String {
        let texts = self.nodes.iter().filter_map(|node| match node {
            Node::Text(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }
}

/// Reads a document.
pub(crate) fn parse(bytes: &[u8]) -> Result<Element, XmlError> {
    if bytes.len() > LARGEST {
        return Err(XmlError::TooLarge);
    }
    let text = std::str::from_utf8(bytes).map_err(|e| XmlError::NotUtf8 { at: e.valid_up_to() })?;
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    loop {
        let at = reader.buffer_position();
        let syntax = |reason: String| XmlError::Syntax { at, reason };
        let event = reader.read_event().map_err(|e| syntax(e.to_string()))?;
        match event {
            Event::Decl(declaration) => {
                let encoding = declaration.encoding().and_then(Result::ok);
                if let Some(name) = encoding.filter(|name| !name.eq_ignore_ascii_case("utf-8")) {
                    return Err(XmlError::Encoding(name.into_owned()));
                }
            }
            Event::DocType(_) => return Err(XmlError::DocumentType),
            Event::Start(start) => {
                if open.len() == DEEPEST {
                    return Err(XmlError::Depth);
                }
                open.push(element(&start).map_err(syntax)?);
            }
            Event::Empty(start) => close(element(&start).map_err(syntax)?, &mut open, &mut root)?,
            Event::End(_) => {
                // The reader has checked that ends match starts.
                let Some(done) = open.pop() else { return Err(XmlError::Root) };
                close(done, &mut open, &mut root)?;
            }
            Event::Text(text) => add_text(&mut open, &text.xml10_content()),
            Event::CData(text) => add_text(&mut open, &text.xml10_content()),
            Event::GeneralRef(reference) => {
                let character = reference.resolve_char_ref().map_err(|e| syntax(e.to_string()))?;
                let name = reference.xml10_content();
                let text = match character {
                    Some(character) => character.to_string(),
                    None => match quick_xml::escape::resolve_predefined_entity(&name) {
                        Some(text) => text.to_owned(),
                        None => return Err(XmlError::Entity(name.into_owned())),
                    },
                };
                add_text(&mut open, &text);
            }
            Event::Comment(comment) => {
                if let Some(element) = open.last_mut() {
                    element.nodes.push(Node::Comment(comment.xml10_content().into_owned()));
                }
            }
            Event::PI(_) => {}
            Event::Eof => break,
        }
    }
    match root {
        Some(root) if open.is_empty() => Ok(root),
        _ => Err(XmlError::Root),
    }
}

fn element(start: &BytesStart) -> Result<Element, String> {
    let name = start.name();
    let mut element = Element::new(name.as_ref());
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|e| e.to_string())?;
        let value = attribute.normalized_value(XmlVersion::Explicit1_0).map_err(|e| e.to_string())?;
        element.attributes.push((attribute.key.as_ref().to_owned(), value.into_owned()));
    }
    Ok(element)
}

/// A finished element goes into the one around it. Between elements, white space is layout and no text.
fn close(mut done: Element, open: &mut [Element], root: &mut Option<Element>) -> Result<(), XmlError> {
    if done.elements().next().is_some() {
        done.nodes.retain(|node| !matches!(node, Node::Text(text) if text.trim().is_empty()));
    }
    let is_root = open.len() == 1;
    match open.last_mut() {
        Some(top) if is_root && top.nodes.len() == WIDEST => return Err(XmlError::Width),
        Some(parent) => parent.push(done),
        None if root.is_some() => return Err(XmlError::Root),
        None => *root = Some(done),
    }
    Ok(())
}

fn add_text(open: &mut [Element], text: &str) {
    let Some(element) = open.last_mut() else { return };
    match element.nodes.last_mut() {
        Some(Node::Text(before)) => before.push_str(text),
        _ => element.nodes.push(Node::Text(text.into())),
    }
}

/// Writes `root` as a document.
pub(crate) fn serialise(root: &Element, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")?;
    write_element(root, 0, out)
}

fn write_element(element: &Element, depth: usize, out: &mut dyn Write) -> io::Result<()> {
    let indent = "    ".repeat(depth);
    write!(out, "{indent}<{}", element.name)?;
    for (name, value) in &element.attributes {
        let value = quick_xml::escape::escape(clean(value));
        // A line break in an attribute would be read back as a space.
        let value = value.replace('\n', "&#10;").replace('\r', "&#13;").replace('\t', "&#9;");
        write!(out, " {name}=\"{value}\"")?;
    }
    // A text without characters is read back as none, and must not be written otherwise then.
    if element.nodes.iter().all(|node| matches!(node, Node::Text(text) if clean(text).is_empty())) {
        return out.write_all(b"/>\n");
    }
    out.write_all(b">")?;
    let is_leaf = element.nodes.iter().all(|node| matches!(node, Node::Text(_)));
    if !is_leaf {
        out.write_all(b"\n")?;
    }
    for node in &element.nodes {
        match node {
            Node::Element(child) => write_element(child, depth + 1, out)?,
            Node::Text(text) => {
                out.write_all(quick_xml::escape::escape(clean(text)).replace('\r', "&#13;").as_bytes())?;
            }
            // Two hyphens would end it.
            Node::Comment(text) => writeln!(out, "{indent}    <!--{}-->", clean(text).replace("--", "- -"))?,
        }
    }
    let indent = if is_leaf { "" } else { &indent };
    writeln!(out, "{indent}</{}>", element.name)
}

/// Without the characters XML 1.0 has no way to write (section 2.2).
fn clean(text: &str) -> String {
    let is_allowed =
        |c: &char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().filter(is_allowed).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(element: &Element) -> Element {
        let mut bytes = Vec::new();
        serialise(element, &mut bytes).unwrap();
        parse(&bytes).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&bytes)))
    }

    #[test]
    fn hostile_documents_are_refused() {
        let refused = |text: &str| parse(text.as_bytes()).unwrap_err();
        assert_eq!(
            refused("<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>"),
            XmlError::DocumentType
        );
        assert_eq!(refused("<a>&x;</a>"), XmlError::Entity("x".into()));
        assert_eq!(refused(&"<a>".repeat(1000)), XmlError::Depth);
        assert_eq!(refused(&format!("<a>{}</a>", "<b/>".repeat(WIDEST + 1))), XmlError::Width);
        assert!(parse(format!("<a><b>{}</b></a>", "<c/>".repeat(WIDEST + 1)).as_bytes()).is_ok());
        assert_eq!(
            refused("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a/>"),
            XmlError::Encoding("ISO-8859-1".into())
        );
        assert_eq!(refused("<a/><b/>"), XmlError::Root);
        assert_eq!(refused(""), XmlError::Root);
        assert!(matches!(refused("<a><b></a>"), XmlError::Syntax { .. }));
        assert!(matches!(refused("<a"), XmlError::Syntax { .. }));
        assert_eq!(parse(b"<a>\xff</a>").unwrap_err(), XmlError::NotUtf8 { at: 3 });
    }

    #[test]
    fn what_was_read_back_is_written_as_before() {
        let bytes = |element: &Element| {
            let mut bytes = Vec::new();
            serialise(element, &mut bytes).unwrap();
            bytes
        };
        let given = Element::new("a").child(Element::new("b").text("")).child(Element::new("c").text("\u{1}"));
        assert_eq!(bytes(&round_trip(&given)), bytes(&given));
    }

    #[test]
    fn character_references_and_cdata_are_text() {
        assert_eq!(parse(b"<a>&lt;&#228;<![CDATA[<b>]]></a>").unwrap().content(), "<\u{e4}<b>");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(value in "\\PC*|[ -~\n\t<>&\"']*", text in "[^\\x00-\\x08\\x0b-\\x1f\\u{fffe}\\u{ffff}]+") {
            let element = Element::new("a").child(Element::new("b").with("c", value.clone())).child(Element::new("d").text(text));
            prop_assert_eq!(round_trip(&element), element);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[<>/!?&;#a-c\"'= \\[\\]-]{0,60}") {
            let _ = parse(text.as_bytes());
        }
    }
}
