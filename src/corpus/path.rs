//! Paths in JSON: text where they are, and otherwise their bytes in base64, so that no name is lost.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

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
        None => Portable::Bytes { base64: STANDARD.encode(path.as_os_str().as_bytes()) },
    }
    .serialize(serializer)
}

/// For `#[serde(with = ...)]`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    match Portable::deserialize(deserializer)? {
        Portable::Text(text) => Ok(text.into()),
        Portable::Bytes { base64 } => {
            STANDARD.decode(base64).map(|bytes| OsString::from_vec(bytes).into()).map_err(D::Error::custom)
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

/// `path` with `suffix` behind its whole name.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A path for people: control characters become visible escapes.
pub fn printable(path: &Path) -> String {
    let text = path.display().to_string();
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Holder(#[serde(with = "super")] PathBuf);

    proptest! {
        #[test]
        fn every_name_comes_back(bytes in prop::collection::vec(1u8..=255, 0..20)) {
            let path = PathBuf::from(OsString::from_vec(bytes));
            let json = serde_json::to_string(&Holder(path.clone())).unwrap();
            prop_assert_eq!(serde_json::from_str::<Holder>(&json).unwrap().0, path);
        }
    }
}
