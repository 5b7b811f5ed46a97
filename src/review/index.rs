//! A page over a folder of annotations: what is reviewed, by whom, how much is left.

use std::collections::BTreeSet;
use std::io::{self, Write};

use serde_json::json;

use super::apply::lanes_of;
use crate::page::escaped;
use crate::timeline::Timeline;

const HTML: &str = include_str!("../../assets/review/index.html");
const STYLE: &str = include_str!("../../assets/review/index.css");
const SCRIPT: &str = include_str!("../../assets/review/index.js");

/// One annotation.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexEntry {
    /// The annotation, as the index should name it.
    pub name: String,
    /// Its review page: a relative URL.
    pub page: String,
    /// The labels' fingerprint, by which the browser keeps work that is not saved yet.
    pub fingerprint: String,
    /// Segments a person has reviewed, and all.
    pub reviewed: [usize; 2],
    /// Length of the video, seconds.
    pub duration_s: f64,
    /// Who reviewed.
    pub reviewers: BTreeSet<String>,
    /// The time of the last correction, RFC 3339; empty where nothing was corrected.
    pub last: String,
    /// Files of corrections beside it that have operations which are not in it yet, with how many.
    pub waiting: Vec<(String, usize)>,
}

impl IndexEntry {
    /// What a timeline says about its review.
    pub fn new(name: String, page: String, timeline: &Timeline) -> Self {
        let lanes = lanes_of(timeline);
        let reviewed = lanes.all().filter(|touched| touched.state.review.is_some()).count();
        let operations = timeline.corrections.iter().flat_map(|corrections| &corrections.operations);
        Self {
            name,
            page,
            fingerprint: timeline.fingerprint(),
            reviewed: [reviewed, lanes.all().count()],
            duration_s: timeline.media.duration_s,
            reviewers: operations.clone().map(|o| o.reviewer.clone()).filter(|name| !name.is_empty()).collect(),
            last: operations.map(|operation| operation.time.clone()).max().unwrap_or_default(),
            waiting: Vec::new(),
        }
    }
}

/// The index page.
#[derive(Debug, Clone, PartialEq)]
pub struct Index {
    /// The folder's name.
    pub title: String,
    /// The annotations in it.
    pub entries: Vec<IndexEntry>,
    /// Files that look like annotations and cannot be read, with the reason.
    pub refused: Vec<(String, String)>,
    /// `en` or `de`; the browser's if not given.
    pub language: Option<String>,
}

impl Index {
    /// Writes the page.
    ///
    /// # Errors
    /// If `out` fails.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let entries = self.entries.iter().map(|entry| {
            let IndexEntry { name, page, fingerprint, reviewed, duration_s, reviewers, last, waiting } = entry;
            json!({
                "name": name, "page": page, "fingerprint": fingerprint, "reviewed": reviewed[0], "segments": reviewed[1],
                "duration_s": duration_s, "reviewers": reviewers, "last": last, "waiting": waiting,
            })
        });
        let data = json!({
            "title": self.title,
            "language": self.language,
            "entries": entries.collect::<Vec<_>>(),
            "refused": self.refused,
        });
        // Inside a script element only `<` could end it or begin a comment.
        let data = data.to_string().replace('<', "\\u003c");
        let title = escaped(&self.title);
        super::page::fill(HTML, out, |slot| match slot {
            "data" => Some(data.as_str()),
            "title" => Some(title.as_str()),
            "style" => Some(STYLE),
            "script" => Some(SCRIPT),
            _ => None,
        })
    }
}
