//! The ways of adapting that are tried: a small set, stated here, from the one that changes least to the one that changes most.

use serde::{Deserialize, Serialize};

use crate::model::Input;
use crate::train::recipe::{Recipe, RecipeError};

/// What is done to the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Nothing.
    AsItIs,
    /// The means and variances of batch normalisation are measured on the pictures; no label is looked at.
    Statistics,
    /// The classes' shares are estimated from the start's own answers, and followed; no label is looked at.
    Shares,
    /// One temperature and an offset a class are fitted; no picture is seen otherwise.
    Calibration,
    /// The last layer is fitted to what the network makes of the pictures.
    Head {
        /// Their mirror images are learnt from as well.
        flips: bool,
    },
    /// The last layer is fitted, then all layers learn.
    Network {
        /// Half of the pictures are mirrored, drawn anew in each epoch.
        flips: bool,
        /// As many pictures of the start's kind are learnt from as well, so that it forgets less.
        mixed: bool,
        /// Each picture is given one mean and one contrast, in use as well.
        normalised: bool,
    },
}

/// A way of adapting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// What is done.
    pub method: Method,
    /// Whether rare classes count as much as frequent ones.
    pub balanced: bool,
}

impl Candidate {
    /// The start, unchanged.
    pub const AS_IT_IS: Self = Self { method: Method::AsItIs, balanced: false };

    /// All of them for a start that is shown `input`, the simplest first; those with pictures of the start's kind where there are
    /// some (`is_mixed`). Where it is shown a face and its mirror image, flips say nothing new of the last layer.
    pub fn all(input: &Input, is_mixed: bool) -> Vec<Self> {
        let network = |flips, mixed, normalised| Method::Network { flips, mixed, normalised };
        let methods = [
            Method::Calibration,
            Method::Head { flips: false },
            Method::Head { flips: true },
            network(false, false, false),
            network(true, false, false),
            network(true, true, false),
            network(false, false, true),
            network(true, false, true),
        ];
        let is_possible = |method: &Method| match method {
            Method::Network { mixed: true, .. } => is_mixed,
            Method::Network { normalised: true, .. } => input.colour_normalisation.is_none(),
            Method::Head { flips: true } => !input.symmetric,
            _ => true,
        };
        let both = |method| [false, true].map(|balanced| Self { method, balanced });
        let without_labels = [Method::Statistics, Method::Shares].map(|method| Self { method, balanced: false });
        [Self::AS_IT_IS]
            .into_iter()
            .chain(without_labels)
            .chain(methods.into_iter().filter(is_possible).flat_map(both))
            .collect()
    }

    /// What it is called in reports.
    pub fn name(self) -> String {
        let what = match self.method {
            Method::AsItIs => "as it is",
            Method::Statistics => "statistics, no labels",
            Method::Shares => "class shares, no labels",
            Method::Calibration => "calibration",
            Method::Head { flips: false } => "last layer",
            Method::Head { flips: true } => "last layer, flips",
            Method::Network { flips, mixed, normalised } => match (flips, mixed, normalised) {
                (false, false, false) => "all layers",
                (true, false, false) => "all layers, flips",
                (false, true, false) => "all layers, mixed",
                (true, true, false) => "all layers, flips, mixed",
                (false, false, true) => "all layers, normalised",
                (true, false, true) => "all layers, flips, normalised",
                (false, true, true) => "all layers, mixed, normalised",
                (true, true, true) => "all layers, flips, mixed, normalised",
            },
        };
        format!("{what}{}", if self.balanced { ", balanced" } else { "" })
    }

    /// The same as the name of a folder.
    pub fn folder(self) -> String {
        self.name().replace(", ", "-").replace(' ', "_")
    }

    /// Whether all layers learn.
    pub fn trains_network(self) -> bool {
        matches!(self.method, Method::Network { .. })
    }
}

/// The recipe by which all layers learn.
const RECIPE: &str = include_str!("../../pipelines/adapt/network.toml");

/// The recipe by which all layers learn.
///
/// # Errors
/// If the built-in recipe cannot be read, which a test rules out.
pub fn recipe() -> Result<Recipe, RecipeError> {
    Recipe::parse(RECIPE, std::path::Path::new("pipelines/adapt/network.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::ColourNormalisation;

    #[test]
    fn every_way_has_a_name_and_a_folder_of_its_own_and_the_first_changes_nothing() {
        let input = Input::rgb(48);
        let all = Candidate::all(&input, true);
        assert_eq!((all.len(), all[0]), (19, Candidate::AS_IT_IS));
        assert_eq!(Candidate::all(&input, false).len(), 17);
        assert_eq!(Candidate::all(&Input { symmetric: true, ..input.clone() }, false).len(), 15);
        let normalised = Input { colour_normalisation: ColourNormalisation::MeanStd, ..input };
        assert_eq!(Candidate::all(&normalised, false).len(), 13, "there is nothing to be gained by it twice");
        for names in [all.iter().map(|c| c.name()).collect(), all.iter().map(|c| c.folder()).collect::<Vec<_>>()] {
            let distinct: std::collections::BTreeSet<&String> = names.iter().collect();
            assert_eq!(distinct.len(), names.len());
        }
        recipe().unwrap();
    }
}
