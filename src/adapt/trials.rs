//! What is tried within a budget, and how long that takes on the reference machine.
//!
//! Budgets are counted by operations and not by a clock, so that the same command gives the same model everywhere.

use super::candidate::{self, Candidate, Method};
use super::curve;
use super::head::Head;
use super::learn::{LEAST_FOR_NETWORK, Work, batch};
use super::nested::Aim;
use crate::model::Model;
use crate::timeline::Expression;

/// Operations a second at which networks learn and look on the reference machine: two cores with AVX-512 (docs/adapt.md,
/// "How long it takes").
const LEARNT_A_SECOND: f64 = 70e9;
const LOOKED_A_SECOND: f64 = 100e9;
/// What a step takes beyond its pictures (weights are moved, gradients summed), in pictures: steps of 8 took 0.14 s of a core, steps of
/// 32 took 0.33 s.
const A_STEP: f64 = 10.0;
/// Forward, and backward by inputs and by weights.
const PASSES_OF_A_STEP: f64 = 3.0;
/// Fits of the last layer, one for each way of holding it: seconds a picture and feature, likewise.
const FITTED_S: f64 = 0.7e-6;
/// Share of a fold's material that learns while candidates are chosen; the rest chooses.
const LEARNING: f64 = 0.8;

/// How long work takes on the reference machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    /// Of the network for one picture, multiplications and additions.
    operations: f64,
    /// What the last layer sees of a picture, numbers.
    features: f64,
    /// A picture and its mirror image where the start looks at both.
    views: f64,
}

impl Cost {
    /// That of `model` with the last layer `head`.
    pub(super) fn new(model: &Model, head: &Head) -> Self {
        let views = model.config().input.view_count() as f64;
        let features = (head.weights.len() / Expression::COUNT) as f64;
        Self { operations: model.operations() as f64 / views, features, views }
    }

    /// Seconds.
    pub(super) fn seconds(&self, work: Work) -> f64 {
        match work {
            Work::Learnt { pictures, batch } => self.learnt(pictures as f64, batch as f64),
            Work::Looked(views) => self.looked(views as f64),
            Work::Fitted(pictures) => self.fitted(pictures as f64),
        }
    }

    fn learnt(&self, pictures: f64, batch: f64) -> f64 {
        let with_steps = pictures * (1.0 + A_STEP / batch);
        with_steps * PASSES_OF_A_STEP * self.operations / LEARNT_A_SECOND
    }

    fn looked(&self, views: f64) -> f64 {
        views * self.operations / LOOKED_A_SECOND
    }

    fn fitted(&self, pictures: f64) -> f64 {
        pictures * self.features * FITTED_S
    }
}

/// What there is to learn from.
pub(super) struct CorpusSize {
    pub pictures: usize,
    pub folds: usize,
}

impl CorpusSize {
    /// Pictures that the models of folds learn from.
    fn training(&self) -> f64 {
        self.pictures as f64 * (self.folds as f64 - 1.0) / self.folds as f64
    }
}

/// What is tried, what is not and why, and how long that takes at most.
pub(super) struct Trials {
    pub candidates: Vec<Candidate>,
    pub not_tried: Vec<(Candidate, String)>,
    pub seconds: f64,
}

impl Trials {
    /// Those of `all` that fit into `budget_s`: all that leave the network as it is, and of the others those first that promise
    /// most for `aim`.
    pub(super) fn new(budget_s: f64, aim: Aim, all: &[Candidate], corpus: &CorpusSize, cost: &Cost) -> Self {
        let (mut networks, simple): (Vec<Candidate>, Vec<Candidate>) =
            all.iter().copied().partition(|candidate| candidate.trains_network());
        networks.sort_by_key(|candidate| rank(*candidate, aim));
        let seconds = corpus.seconds_of_simple(&simple, cost);
        let mut trials = Self { candidates: simple, not_tried: Vec::new(), seconds };
        // Of the dearest network that may be chosen.
        let mut chosen_s = 0.0;
        for candidate in networks {
            if LEARNING * corpus.training() < LEAST_FOR_NETWORK as f64 {
                let why = format!("fewer than {LEAST_FOR_NETWORK} pictures to learn from in a fold");
                trials.not_tried.push((candidate, why));
                continue;
            }
            let [tried, chosen] = corpus.seconds_of_network(candidate, cost);
            let more = tried + (chosen - chosen_s).max(0.0);
            if trials.seconds + more > budget_s {
                let minutes = (trials.seconds + more) / 60.0;
                trials.not_tried.push((candidate, format!("it needs a budget of {minutes:.0} minutes")));
                continue;
            }
            chosen_s = chosen.max(chosen_s);
            trials.seconds += more;
            trials.candidates.push(candidate);
        }
        let place = |candidate: &Candidate| all.iter().position(|own| own == candidate);
        trials.candidates.sort_by_key(place);
        trials.not_tried.sort_by_key(|(candidate, _)| place(candidate));
        trials
    }
}

/// Networks that promise more are smaller: those with flips and pictures as they are (docs/training.md), and of them those that
/// weigh classes as the aim does.
fn rank(candidate: Candidate, aim: Aim) -> [bool; 4] {
    let Method::Network { flips, mixed, normalised } = candidate.method else { return [false; 4] };
    [normalised, !flips, mixed, candidate.balanced != (aim == Aim::Balanced)]
}

impl CorpusSize {
    /// All `candidates` that leave the network as it is, with what is done whatever is tried.
    fn seconds_of_simple(&self, candidates: &[Candidate], cost: &Cost) -> f64 {
        let (pictures, folds, training) = (self.pictures as f64, self.folds as f64, self.training());
        // The features; the ways without labels, on all pictures; a last layer that is chosen, in each fold, for the curve and from
        // all pictures.
        let always = cost.looked(2.0 * pictures)
            + cost.looked(pictures * (1.0 + cost.views))
            + folds * cost.fitted(training) * (2.0 + curve::share(training as usize, false))
            + cost.fitted(pictures);
        let of = |candidate: &Candidate| match candidate.method {
            Method::Head { .. } => folds * cost.fitted(LEARNING * training),
            Method::Statistics => folds * cost.looked(LEARNING * training) + self.asked(cost),
            _ => 0.0,
        };
        always + candidates.iter().map(of).sum::<f64>()
    }

    /// Asking a network, in each fold, about the pictures that choose.
    fn asked(&self, cost: &Cost) -> f64 {
        self.folds as f64 * cost.looked((1.0 - LEARNING) * self.training() * cost.views)
    }

    /// A network that is tried; and one that is chosen, which learns once more in each fold, for the curve, and from everything.
    fn seconds_of_network(&self, candidate: Candidate, cost: &Cost) -> [f64; 2] {
        let (pictures, folds, training) = (self.pictures as f64, self.folds as f64, self.training());
        let (epochs, most) = candidate::recipe().map_or((0, 1), |recipe| (recipe.epochs(), recipe.batch));
        let is_mixed = matches!(candidate.method, Method::Network { mixed: true, .. });
        let a_run = |pictures: f64| {
            let pictures = if is_mixed { 2.0 * pictures } else { pictures };
            epochs as f64 * cost.learnt(pictures, batch(pictures as usize, most) as f64)
        };
        let sizes = curve::sizes(training as usize, true);
        let below: f64 =
            sizes.iter().filter(|size| (**size as f64) < training.floor()).map(|size| a_run(*size as f64)).sum();
        let chosen = folds * (a_run(training) + below)
            + a_run(pictures)
            + cost.looked(pictures * cost.views * (1.0 + sizes.len() as f64));
        [folds * a_run(LEARNING * training) + self.asked(cost), chosen]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::registry;
    use candle_core::Device;

    #[test]
    fn a_budget_holds_as_many_networks_as_fit_and_names_the_others() {
        let name = std::path::Path::new("default");
        let model = registry::open(name, &Device::Cpu).unwrap();
        let head = Head::of(&registry::weights(name).unwrap().1).unwrap();
        let cost = Cost::new(&model, &head);
        let corpus = CorpusSize { pictures: 2000, folds: 5 };
        let all = Candidate::all(&model.config().input, false);
        let trials = |budget_s: f64, aim: Aim, corpus: &CorpusSize| Trials::new(budget_s, aim, &all, corpus, &cost);
        let networks = |trials: &Trials| -> Vec<String> {
            trials.candidates.iter().filter(|candidate| candidate.trains_network()).map(|c| c.name()).collect()
        };
        let ten_minutes = trials(600.0, Aim::Balanced, &corpus);
        let both = ["all layers, flips", "all layers, flips, balanced"];
        assert_eq!(networks(&ten_minutes), both, "{} s", ten_minutes.seconds);
        assert!(ten_minutes.seconds <= 600.0 && ten_minutes.not_tried.len() == 6);
        assert_eq!(networks(&trials(500.0, Aim::Balanced, &corpus)), both[1..]);
        assert_eq!(networks(&trials(500.0, Aim::Accuracy, &corpus)), both[..1]);
        let hours = trials(7200.0, Aim::Balanced, &corpus);
        assert_eq!((networks(&hours).len(), hours.not_tried.len()), (8, 0));
        let small = trials(1.0, Aim::Balanced, &corpus);
        assert_eq!((networks(&small).len(), small.not_tried.len()), (0, 8));
        assert!(small.not_tried.iter().all(|(_, why)| why.contains("minutes")), "{:?}", small.not_tried);
        let few = trials(600.0, Aim::Balanced, &CorpusSize { pictures: 90, folds: 5 });
        assert!(networks(&few).is_empty() && few.not_tried[0].1.contains("fewer than 64"), "{:?}", few.not_tried);
    }
}
