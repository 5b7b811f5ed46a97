//! ELAN's protocol for recognisers of type "local" (AVATecH interface, as ELAN 6.9 reads it): what it asks for comes as
//! XML on standard input, tiers and curves go into the files it names.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::curves::{self, Dialect};
use super::preset::Preset;
use super::tiers::{self, Content, DocumentTime, SignerTier};
use super::xml::{self, Element, XmlError};
use crate::timeline::Timeline;

/// The name of the folder, the description in it, and the program's start.
const NAME: &str = "annotate";
/// The profile of recogniser descriptions in CLARIN's component registry.
const PROFILE: &str =
    "http://catalog.clarin.eu/ds/ComponentRegistry/rest/registry/profiles/clarin.eu:cr1:p_1430905751617/xsd";

/// The parameter that names the video.
const VIDEO: &str = "video";
/// The output that names the file for tiers.
const TIERS: &str = "tiers";
/// The output that names the file for curves.
const CURVES: &str = "curves";
/// The text parameters: name, values (the first is the default), what it is.
pub const CHOICES: [(&str, &[&str], &str); 4] = [
    ("tier_names", &["plain", "dgs", "bsl", "ngt"], "Names and language of the tiers"),
    ("calibrate", &["off", "auto"], "Correct labels for what each face looks like at rest"),
    ("deinterlace", &["auto", "on", "off"], "When interlaced pictures are deinterlaced"),
    ("measures", &["all", "none"], "Whether brows, eyes, mouth, head and hands are measured"),
];
/// The number parameter: most faces followed at a time.
const MAX_FACES: &str = "max_faces";

/// What ELAN asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The video.
    pub video: PathBuf,
    /// The file for the tiers, where they are wanted.
    pub tiers: Option<PathBuf>,
    /// The file for the curves, where they are wanted.
    pub curves: Option<PathBuf>,
    /// By the order of [`CHOICES`], each one of its values.
    pub choices: [&'static str; CHOICES.len()],
    /// Most faces followed at a time, where it is set.
    pub max_faces: Option<usize>,
}

/// Why a request cannot be met.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum RequestError {
    #[error("what came on standard input is not a request of ELAN's: {0}")]
    Xml(#[from] XmlError),
    #[error("what came on standard input is not a request of ELAN's: it begins with <{0}> and not with <PARAM>")]
    Root(String),
    #[error("no video is given; choose one under 'Video' in ELAN's recogniser tab")]
    NoVideo,
    #[error("no file is given for the result; choose one for the tiers or the curves in ELAN's recogniser tab")]
    NoOutput,
    #[error("parameter {name}: '{value}' is not one of {known}")]
    Choice { name: &'static str, value: String, known: String },
    #[error("parameter {MAX_FACES}: '{0}' is not a number of faces")]
    MaxFaces(String),
}

impl Request {
    /// Reads a request.
    ///
    /// # Errors
    /// If it is no request, or something needed is missing or unfit.
    pub fn parse(bytes: &[u8]) -> Result<Self, RequestError> {
        let root = xml::parse(bytes)?;
        if root.name != "PARAM" {
            return Err(RequestError::Root(root.name));
        }
        let value = |name: &str| {
            let param = root.named("param").find(|param| param.attribute("name") == Some(name));
            param.map(|param| param.content().trim().to_owned()).filter(|value| !value.is_empty())
        };
        let mut choices = CHOICES.map(|(_, values, _)| values[0]);
        for (choice, (name, values, _)) in choices.iter_mut().zip(CHOICES) {
            if let Some(value) = value(name) {
                *choice = values.iter().find(|known| **known == value).ok_or_else(|| RequestError::Choice {
                    name,
                    value,
                    known: values.join(", "),
                })?;
            }
        }
        // ELAN writes whole numbers as 8.0, too.
        let faces = |text: String| match text.parse::<f64>() {
            Ok(faces) if (1.0..=1000.0).contains(&faces) => Ok(faces as usize),
            _ => Err(RequestError::MaxFaces(text)),
        };
        let request = Self {
            video: value(VIDEO).map(local).ok_or(RequestError::NoVideo)?,
            tiers: value(TIERS).map(local),
            curves: value(CURVES).map(local),
            choices,
            max_faces: value(MAX_FACES).map(faces).transpose()?,
        };
        match request.tiers.is_none() && request.curves.is_none() {
            true => Err(RequestError::NoOutput),
            false => Ok(request),
        }
    }
}

/// A path, also where it is given as a URL; ELAN does not percent-encode.
fn local(text: String) -> PathBuf {
    let path = text.strip_prefix("file://").or_else(|| text.strip_prefix("file:"));
    path.unwrap_or(&text).into()
}

/// Writes every signer's tiers, in whole milliseconds: with a decimal point they would lose one now and then.
///
/// # Errors
/// If `out` cannot be written.
pub fn write_tiers(timeline: &Timeline, preset: &Preset, out: &mut dyn Write) -> io::Result<()> {
    let clock = DocumentTime { timeline, origin_ms: 0 };
    let mut root = Element::new("TIERS");
    for track in &timeline.tracks {
        // Start and end of each tier's annotations, for the tiers that hang on it.
        let mut spans: Vec<Vec<(u64, u64)>> = Vec::new();
        for SignerTier { name, content, .. } in tiers::of_signer(track, clock, preset) {
            let (own, texts): (Vec<(u64, u64)>, Vec<Option<String>>) = match content {
                Content::Aligned { annotations, .. } => {
                    annotations.into_iter().map(|a| ((a.start_ms, a.end_ms), Some(a.what.word.into_owned()))).unzip()
                }
                Content::Hanging { parent, texts, .. } => (spans[parent].clone(), texts),
            };
            let mut tier = Element::new("TIER").with("columns", name);
            for ((start_ms, end_ms), text) in own.iter().zip(texts) {
                let Some(text) = text else { continue };
                let span = Element::new("span").with("start", start_ms.to_string()).with("end", end_ms.to_string());
                tier.push(span.child(Element::new("v").text(text)));
            }
            root.push(tier);
            spans.push(own);
        }
    }
    xml::serialise(&root, out)
}

/// Writes every signer's curves.
///
/// # Errors
/// If `out` cannot be written.
pub fn write_curves(timeline: &Timeline, preset: &Preset, out: &mut dyn Write) -> io::Result<()> {
    curves::table(DocumentTime { timeline, origin_ms: 0 }, preset, Dialect::Recognizer, out)
}

/// The files of the folder that goes into ELAN's `extensions`: their names, contents, and whether they are programs.
/// `binary` is the program that ELAN is to start.
pub fn folder(binary: &Path) -> Vec<(String, Vec<u8>, bool)> {
    let binary = binary.to_string_lossy();
    let quoted = binary.replace('\'', r"'\''");
    let mut cmdi = Vec::new();
    // A vector takes everything.
    let _ = xml::serialise(&description(), &mut cmdi);
    vec![
        (format!("{NAME}.cmdi"), cmdi, false),
        (format!("{NAME}.html"), HELP.replace("{version}", env!("CARGO_PKG_VERSION")).into_bytes(), false),
        (format!("{NAME}.sh"), format!("#!/bin/sh\nexec '{quoted}' elan-recognizer\n").into_bytes(), true),
        (format!("{NAME}.bat"), format!("@\"{binary}\" elan-recognizer\r\n").into_bytes(), true),
    ]
}

const HELP: &str = include_str!("../../assets/elan/recognizer.html");

/// ELAN splits the start's line at spaces, so it names a script beside it and not the program.
fn description() -> Element {
    let item = |name: &str, level: &str, info: &str| Element::new(name).with("level", level).with("info", info);
    let mut recognizer = Element::new("RECOGNIZER")
        .child(
            Element::new("recognizer")
                .with("recognizerType", "local")
                .with("runWin", format!("cmd /c {NAME}.bat"))
                .with("runMac", format!("./{NAME}.sh"))
                .with("runLinux", format!("./{NAME}.sh"))
                .with("info", "annotate: facial expressions, frame by frame")
                .text(NAME),
        )
        .child(Element::new("documentation").text(format!("{NAME}.html")))
        .child(item("input", "basic", "Video").with("type", "video").with("optional", "false").text(VIDEO));
    for (name, values, info) in CHOICES {
        recognizer.push(
            item("textparam", "basic", info).with("convoc", values.join(" ")).with("default", values[0]).text(name),
        );
    }
    let faces = crate::pipeline::track::TrackSettings::default().max_faces.to_string();
    recognizer.push(
        item("numparam", "advanced", "Most faces followed at a time")
            .with("type", "int")
            .with("min", "1")
            .with("max", "50")
            .with("default", faces)
            .text(MAX_FACES),
    );
    // ELAN 6.9 loads the result of a "tier", which may hold several, and never that of a "multitier"; it offers to load
    // only what is not optional (both tried in the running program).
    for (name, kind, mime, info) in [
        (
            TIERS,
            "tier",
            "text/xml",
            "Tiers: expressions, confidences, stretches without a readable face, what the face does",
        ),
        (CURVES, "csvtimeseries", "text/csv", "Curves: probabilities, confidence, face score, measures of the face"),
    ] {
        let output = item("output", "basic", info).with("type", kind).with("mimetypes", mime);
        recognizer.push(output.with("optional", "false").text(name));
    }
    let resources = ["ResourceProxyList", "JournalFileProxyList", "ResourceRelationList"];
    let resources = resources.into_iter().fold(Element::new("Resources"), |r, name| r.child(Element::new(name)));
    Element::new("CMD")
        .with("CMDVersion", "1.1")
        .with("xmlns", "http://www.clarin.eu/cmd/")
        .with("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance")
        .with("xsi:schemaLocation", format!("http://www.clarin.eu/cmd/ {PROFILE}"))
        .child(Element::new("Header"))
        .child(resources)
        .child(Element::new("Components").child(recognizer))
}

/// The number of thousandths done, told only where it grows: ELAN wants lines of progress to rise.
#[derive(Debug, Default)]
pub struct RecognizerProgress {
    told: u64,
}

impl RecognizerProgress {
    /// Steps between two lines.
    const STEP: u64 = 5;
    /// The end is the result's to tell.
    const MOST: u64 = 990;

    /// The line for `done` of `all`, where it is worth one.
    pub fn line(&mut self, done: u64, all: u64, text: &str) -> Option<String> {
        let thousandths = (done * 1000 / all.max(1)).min(Self::MOST);
        if thousandths < self.told + Self::STEP {
            return None;
        }
        self.told = thousandths;
        Some(format!("PROGRESS: {:.3} {text}", thousandths as f64 / 1000.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sample;

    fn request(params: &[(&str, &str)]) -> Result<Request, RequestError> {
        let mut root = Element::new("PARAM");
        for (name, value) in params {
            root.push(Element::new("param").with("name", *name).text(*value));
        }
        let mut bytes = Vec::new();
        xml::serialise(&root, &mut bytes).unwrap();
        Request::parse(&bytes)
    }

    #[test]
    fn a_request_is_read_with_defaults_for_what_is_not_said() {
        let request =
            request(&[("video", "file:///v/Gebärde 01.mp4"), ("tiers", "/t/x.xml"), ("max_faces", "2.0")]).unwrap();
        assert_eq!(request.video, Path::new("/v/Gebärde 01.mp4"));
        assert_eq!(request.tiers.as_deref(), Some(Path::new("/t/x.xml")));
        assert_eq!(
            (request.curves, request.choices, request.max_faces),
            (None, ["plain", "off", "auto", "all"], Some(2))
        );
    }

    #[test]
    fn what_is_missing_or_unfit_is_named() {
        assert_eq!(request(&[("tiers", "x")]), Err(RequestError::NoVideo));
        assert_eq!(request(&[("video", "x"), ("tiers", " ")]), Err(RequestError::NoOutput));
        let error = request(&[("video", "x"), ("calibrate", "yes")]).unwrap_err().to_string();
        assert_eq!(error, "parameter calibrate: 'yes' is not one of off, auto");
        assert_eq!(request(&[("video", "x"), ("max_faces", "NaN")]), Err(RequestError::MaxFaces("NaN".into())));
        assert!(matches!(Request::parse(b"<params/>"), Err(RequestError::Root(_))));
        assert!(matches!(Request::parse(b""), Err(RequestError::Xml(_))));
    }

    #[test]
    fn the_description_names_all_that_a_request_may_hold() {
        let files = folder(Path::new("/opt/o'clock/annotate"));
        let text = String::from_utf8(files[0].1.clone()).unwrap();
        for name in [VIDEO, TIERS, CURVES, MAX_FACES, "tier_names", "calibrate", "deinterlace", "measures"] {
            assert!(text.contains(&format!(">{name}</")), "{name}");
        }
        let description = xml::parse(&files[0].1).unwrap();
        let recognizer = description.first("Components").and_then(|c| c.first("RECOGNIZER")).unwrap();
        let outputs: Vec<_> = recognizer
            .named("output")
            .map(|o| (o.attribute("type").unwrap(), o.attribute("optional").unwrap()))
            .collect();
        assert_eq!(outputs, [("tier", "false"), ("csvtimeseries", "false")], "the only ones that ELAN loads");
        let script = String::from_utf8(files[2].1.clone()).unwrap();
        assert_eq!(script, "#!/bin/sh\nexec '/opt/o'\\''clock/annotate' elan-recognizer\n");
    }

    #[test]
    fn progress_only_grows() {
        let mut progress = RecognizerProgress::default();
        assert_eq!(progress.line(1, 1000, "x"), None);
        assert_eq!(progress.line(420, 1000, "x").unwrap(), "PROGRESS: 0.420 x");
        assert_eq!(progress.line(100, 1000, "x"), None);
        assert_eq!(progress.line(5000, 1000, "x").unwrap(), "PROGRESS: 0.990 x");
        assert_eq!(progress.line(1, 0, "x"), None);
    }

    proptest! {
        #[test]
        fn tiers_hold_whole_milliseconds_in_order(timeline in sample::any_timeline()) {
            let mut bytes = Vec::new();
            write_tiers(&timeline, &Preset::default(), &mut bytes).unwrap();
            let root = xml::parse(&bytes).unwrap();
            let parts = timeline.measured_parts().len();
            prop_assert_eq!(root.named("TIER").count(), (3 + parts + usize::from(parts > 0)) * timeline.tracks.len());
            for tier in root.named("TIER") {
                let mut free_from = 0;
                for span in tier.named("span") {
                    let time = |name| span.attribute(name).unwrap().parse::<u64>().unwrap();
                    prop_assert!(free_from <= time("start") && time("start") < time("end"));
                    free_from = time("end");
                }
            }
        }
    }
}
