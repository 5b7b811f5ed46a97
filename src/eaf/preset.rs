//! How a corpus names its tiers.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::timeline::{FacePart, Track};
use crate::{files, timeline};

/// Names of tiers and what goes with them; a preset file sets what it wants to be different from `plain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Preset {
    /// Tier of the segments; `{signer}` stands for whose they are, here as in the others.
    pub expression: String,
    /// Tier of their confidences.
    pub confidence: String,
    /// Tier of stretches without a readable face.
    pub status: String,
    /// Tier of what the brows do; none is written where the name is empty, here as in the next four.
    pub brows: String,
    /// Tier of what the eyes do.
    pub eyes: String,
    /// Tier of what the mouth does.
    pub mouth: String,
    /// Tier of how the head is turned and moves.
    pub head: String,
    /// Tier of hands on the face.
    pub hands: String,
    /// Tier of what the face did in each segment, in a few words; it hangs on the segments.
    pub segment_face: String,
    /// What signers are called.
    pub signers: Signers,
    /// The language of the values.
    pub language: Language,
    /// Frames left empty between neighbouring segments.
    pub gap_frames: usize,
}

/// What signers are called in tier names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signers {
    /// A, B, ...
    Letters,
    /// S1, S2, ...
    Numbers,
}

/// Languages of values, by ISO 639-3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// English.
    Eng,
    /// German.
    Deu,
}

/// Why a preset cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum PresetError {
    #[error("'{name}' is neither a preset ({}) nor a file", names())]
    Unknown { name: String },
    #[error("{name}: {source}")]
    Read { name: String, source: std::io::Error },
    #[error("{name}: {reason}")]
    Parse { name: String, reason: String },
    #[error("{name}: {key} = \"{value}\" lacks {{signer}}, so that two signers would share a tier")]
    NoSigner { name: String, key: &'static str, value: String },
}

const PLAIN: &str = include_str!("../../assets/elan/plain.toml");
const BUILT_IN: [(&str, &str); 4] = [
    ("plain", PLAIN),
    ("dgs", include_str!("../../assets/elan/dgs.toml")),
    ("bsl", include_str!("../../assets/elan/bsl.toml")),
    ("ngt", include_str!("../../assets/elan/ngt.toml")),
];

fn names() -> String {
    BUILT_IN.map(|(name, _)| name).join(", ")
}

impl Default for Preset {
    /// `plain`.
    fn default() -> Self {
        let named = |name: &str| format!("{name}@{{signer}}");
        Self {
            expression: named("expression"),
            confidence: named("expression-confidence"),
            status: named("status"),
            brows: named("brows"),
            eyes: named("eyes"),
            mouth: named("mouth"),
            head: named("head"),
            hands: named("hands-on-face"),
            segment_face: named("expression-face"),
            signers: Signers::Letters,
            language: Language::Eng,
            gap_frames: 0,
        }
    }
}

impl Preset {
    /// The preset with this name, or the one in this file.
    ///
    /// # Errors
    /// If there is no such preset, or it does not say what it should.
    pub fn load(name: &str) -> Result<Self, PresetError> {
        let built_in = BUILT_IN.iter().find(|(built_in, _)| *built_in == name).map(|(_, text)| (*text).to_owned());
        let text = match built_in {
            Some(text) => text,
            None if !Path::new(name).exists() => return Err(PresetError::Unknown { name: name.into() }),
            None => files::read_text(Path::new(name), files::HANDWRITTEN)
                .map_err(|source| PresetError::Read { name: name.into(), source })?,
        };
        let preset: Self = toml::from_str(&text)
            .map_err(|e| PresetError::Parse { name: name.into(), reason: files::toml_fault(&text, &e) })?;
        let tiers =
            [("expression", &preset.expression), ("confidence", &preset.confidence), ("status", &preset.status)];
        let parts = FacePart::ALL.map(|part| (part.group().name(), preset.part(part)));
        let parts =
            parts.into_iter().chain([("segment_face", &preset.segment_face)]).filter(|(_, value)| !value.is_empty());
        if let Some((key, value)) = tiers.into_iter().chain(parts).find(|(_, value)| !value.contains("{signer}")) {
            return Err(PresetError::NoSigner { name: name.into(), key, value: value.clone() });
        }
        Ok(preset)
    }

    /// The name of the tier of a part of the face; empty where none is wanted.
    pub fn part(&self, part: FacePart) -> &String {
        match part {
            FacePart::Brows => &self.brows,
            FacePart::Eyes => &self.eyes,
            FacePart::Mouth => &self.mouth,
            FacePart::Head => &self.head,
            FacePart::Hands => &self.hands,
        }
    }

    /// What the signer of a track is called.
    pub fn signer(&self, track: &Track) -> String {
        match (&track.name, self.signers) {
            (Some(name), _) => name.clone(),
            (None, Signers::Letters) => timeline::signer(track.id),
            (None, Signers::Numbers) => format!("S{}", track.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_loads_and_plain_is_the_default() {
        for (name, _) in BUILT_IN {
            Preset::load(name).unwrap();
        }
        assert_eq!(Preset::load("plain").unwrap(), Preset::default());
    }

    #[test]
    fn a_preset_that_cannot_be_used_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |text: &str| {
            let path = folder.path().join("p.toml");
            std::fs::write(&path, text).unwrap();
            Preset::load(path.to_str().unwrap()).unwrap_err().to_string()
        };
        assert!(refused("expression = 'same'").contains("lacks {signer}"));
        assert!(refused("head = 'head'").contains("head = \"head\" lacks {signer}"));
        assert!(refused("tier = 1").contains("unknown field `tier`"));
        std::fs::write(folder.path().join("q.toml"), "eyes = ''").unwrap();
        let preset = Preset::load(folder.path().join("q.toml").to_str().unwrap()).unwrap();
        assert_eq!(
            (preset.eyes.as_str(), preset.brows.as_str()),
            ("", "brows@{signer}"),
            "an empty name leaves it out"
        );
        assert!(Preset::load("nothing").unwrap_err().to_string().contains("plain, dgs, bsl, ngt"));
    }
}
