//! Published checkpoints by name: where they are, what network they are, and on what terms.

use serde::Deserialize;

use super::class_order::ClassOrder;

/// The catalogue, `assets/models/catalogue.toml`.
const TEXT: &str = include_str!("../../assets/models/catalogue.toml");

/// A published checkpoint.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedModel {
    /// What its publisher calls it.
    pub name: String,
    /// The network, as `--arch` names it.
    pub arch: String,
    /// The order of its outputs.
    pub classes: ClassOrder,
    /// Where the file is.
    pub url: String,
    /// The file's SHA-256, where its publisher or we have stated it.
    pub sha256: Option<String>,
    /// The file's size, where its publisher or we have stated it.
    pub bytes: Option<u64>,
    /// Terms, as its publisher states them, and of what it was trained on.
    pub licence: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Catalogue {
    model: Vec<PublishedModel>,
}

/// All entries.
///
/// # Errors
/// If the built-in catalogue is not one, which a test rules out.
pub fn all() -> Result<Vec<PublishedModel>, toml::de::Error> {
    Ok(toml::from_str::<Catalogue>(TEXT)?.model)
}

/// The entry called `name`.
///
/// # Errors
/// As [`all`].
pub fn find(name: &str) -> Result<Option<PublishedModel>, toml::de::Error> {
    Ok(all()?.into_iter().find(|published| published.name == name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choice::Choice as _;
    use crate::model::import::KnownNetwork;

    #[test]
    fn every_entry_can_be_imported_and_is_stated_soundly() {
        let all = all().unwrap();
        assert!(!all.is_empty());
        for (index, published) in all.iter().enumerate() {
            assert!(KnownNetwork::from_word(&published.arch).is_some(), "{}", published.name);
            assert!(published.url.starts_with("https://"), "{}", published.name);
            assert!(!published.licence.is_empty());
            let is_hash = |hash: &String| hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
            assert!(published.sha256.iter().all(is_hash), "{}", published.name);
            assert!(all[..index].iter().all(|other| other.name != published.name));
        }
    }
}
