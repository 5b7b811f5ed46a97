//! Paths in JSON: text where they are, and otherwise their bytes in base64, so that no name is lost.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::platform::{name_bytes, name_from_bytes};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Portable {
    Text(String),
    Bytes { base64: String },
}

/// For `#[serde(with = ...)]`.
pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    match path.to_str() {
        Some(text) => Portable::Text(text.into()),
        None => Portable::Bytes { base64: STANDARD.encode(name_bytes(path.as_os_str())) },
    }
    .serialize(serializer)
}

/// For `#[serde(with = ...)]`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    match Portable::deserialize(deserializer)? {
        Portable::Text(text) => Ok(text.into()),
        Portable::Bytes { base64 } => {
            STANDARD.decode(base64).map(|bytes| name_from_bytes(bytes).into()).map_err(D::Error::custom)
        }
    }
}

/// For `#[serde(with = ...)]` of a path that may be absent and is then left out.
pub mod optional {
    use super::{Deserializer, Path, PathBuf, Serializer};

    /// For `#[serde(with = ...)]`.
    pub fn serialize<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
        super::serialize(path.as_deref().unwrap_or(Path::new("")), serializer)
    }

    /// For `#[serde(with = ...)]`.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
        super::deserialize(deserializer).map(Some)
    }
}

/// For `#[serde(with = ...)]` of several paths.
pub mod list {
    use serde::{Deserialize as _, Serialize};

    use super::{Deserializer, Path, PathBuf, Serializer};

    #[derive(serde::Deserialize)]
    struct Owned(#[serde(with = "super")] PathBuf);

    struct Borrowed<'a>(&'a Path);

    impl Serialize for Borrowed<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            super::serialize(self.0, serializer)
        }
    }

    /// For `#[serde(with = ...)]`.
    pub fn serialize<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(paths.iter().map(|path| Borrowed(path)))
    }

    /// For `#[serde(with = ...)]`.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
        Ok(Vec::<Owned>::deserialize(deserializer)?.into_iter().map(|Owned(path)| path).collect())
    }
}

/// Whether `path` leads from a folder to something below it, by the letter: neither up nor away.
pub fn is_below(path: &Path) -> bool {
    let mut parts = path.components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, std::path::Component::Normal(_)))
}

/// `path` with `suffix` behind its whole name.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Longest name of a file on the file systems in use, bytes.
const LONGEST_NAME: usize = 255;
/// What the endings of results take of it at most.
const LONGEST_ENDING: usize = 24;

/// `path` with room for the ending of a result behind its name: a name that is too long is cut, and a piece of its SHA-256
/// keeps it apart from others that begin alike.
pub fn shortened(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default();
    if name.len() <= LONGEST_NAME - LONGEST_ENDING {
        return path.into();
    }
    let mark = format!("~{}", &crate::files::sha256(name_bytes(name))[..8]);
    let mut end = LONGEST_NAME - LONGEST_ENDING - mark.len();
    let bytes = name_bytes(name);
    // Not in the middle of a character (a byte 10xxxxxx goes on with one).
    while end > 0 && bytes[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    path.with_file_name(name_from_bytes([&bytes[..end], mark.as_bytes()].concat()))
}

/// A path for people: control characters become visible escapes.
pub fn printable(path: &Path) -> String {
    crate::files::visible(&path.display().to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Holder(#[serde(with = "super")] PathBuf);

    #[test]
    fn a_path_leads_below_a_folder_only_by_names() {
        for below in ["a", "a/b.mp4", "...", "a/..b"] {
            assert!(is_below(Path::new(below)), "{below}");
        }
        for elsewhere in ["", ".", "..", "../a", "a/../../b", "a/..", "/a", "./a"] {
            assert!(!is_below(Path::new(elsewhere)), "{elsewhere}");
        }
    }

    proptest! {
        #[test]
        fn every_name_comes_back(bytes in prop::collection::vec(1u8..=255, 0..20)) {
            let path = PathBuf::from(name_from_bytes(bytes));
            let json = serde_json::to_string(&Holder(path.clone())).unwrap();
            prop_assert_eq!(serde_json::from_str::<Holder>(&json).unwrap().0, path);
        }
    }
}
