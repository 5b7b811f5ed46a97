//! Which moments of annotated stretches become pictures.
//!
//! Neighbouring frames show the same, so that a long annotation must not flood the rest, and annotators differ by some frames
//! about where an expression begins and ends, so that nothing is taken there. Where several people annotated one signer, a
//! stretch ends wherever one of them sees a change.

use std::collections::BTreeMap;

use crate::timeline::{Expression, Probabilities};

/// How moments are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Time between pictures of one stretch, seconds.
    pub every_s: f64,
    /// Pictures of one stretch, at most.
    pub most: usize,
    /// Time about the edges that annotators disagree on, seconds.
    pub edge_s: f64,
}

impl Default for Rate {
    /// 0.1 s: between the frame or two within which two annotators of one lab place most boundaries and the quarter of a second
    /// within which they place nearly all.
    fn default() -> Self {
        Self { every_s: 0.5, most: 5, edge_s: 0.1 }
    }
}

/// What one person says about one signer over a stretch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Vote {
    /// Who says it: the tier.
    pub tier: usize,
    pub start_s: f64,
    pub end_s: f64,
    pub label: Expression,
}

/// A stretch over which everybody says one thing each.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LabelledStretch {
    pub start_s: f64,
    pub end_s: f64,
    /// Places among the votes.
    pub votes: Vec<usize>,
    /// One tier says two things here.
    pub is_overlapping: bool,
}

/// The stretches into which `votes` cut the time that they cover, in order.
pub(super) fn stretches(votes: &[Vote]) -> Vec<LabelledStretch> {
    let mut edges: Vec<f64> = votes.iter().flat_map(|vote| [vote.start_s, vote.end_s]).collect();
    edges.sort_by(f64::total_cmp);
    edges.dedup();
    let mut order: Vec<usize> = (0..votes.len()).collect();
    order.sort_by(|a, b| votes[*a].start_s.total_cmp(&votes[*b].start_s));
    let mut coming = order.into_iter().peekable();
    let mut here: Vec<usize> = Vec::new();
    let mut stretches = Vec::new();
    for pair in edges.windows(2) {
        here.retain(|vote| votes[*vote].end_s > pair[0]);
        while let Some(vote) = coming.next_if(|vote| votes[*vote].start_s <= pair[0]) {
            here.push(vote);
        }
        if !here.is_empty() {
            let mut said: BTreeMap<usize, Expression> = BTreeMap::new();
            let is_overlapping = here.iter().any(|vote| {
                let Vote { tier, label, .. } = votes[*vote];
                said.insert(tier, label).is_some_and(|before| before != label)
            });
            stretches.push(LabelledStretch { start_s: pair[0], end_s: pair[1], votes: here.clone(), is_overlapping });
        }
    }
    stretches
}

/// The moments of a stretch that are wanted, and how far a frame may lie from one; none where it is too short.
pub(super) fn moments(start_s: f64, end_s: f64, rate: &Rate) -> (Vec<f64>, f64) {
    /// What binary fractions of whole milliseconds are off by.
    const ROUNDING_S: f64 = 1e-9;
    let inner_s = end_s - start_s - 2.0 * rate.edge_s;
    if inner_s < -ROUNDING_S {
        return (Vec::new(), 0.0);
    }
    let inner_s = inner_s.max(0.0);
    let fitting = ((inner_s + ROUNDING_S) / rate.every_s) as usize + 1;
    let count = fitting.min(rate.most);
    let apart_s = if fitting > rate.most && count > 1 { inner_s / (count - 1) as f64 } else { rate.every_s };
    let middle_s = f64::midpoint(start_s, end_s);
    let from_middle = |index: usize| (index as f64 - (count - 1) as f64 / 2.0) * apart_s;
    ((0..count).map(|index| middle_s + from_middle(index)).collect(), apart_s / 2.0)
}

/// Each class's share of what was said, and the class that more than half say.
pub(super) fn shares(said: &[Expression]) -> (Probabilities, Option<Expression>) {
    let mut shares = [0.0; Expression::COUNT];
    said.iter().for_each(|label| shares[label.index()] += 1.0 / said.len() as f32);
    let most = Expression::ALL.into_iter().find(|class| shares[class.index()] > 0.5);
    (shares, most)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vote(tier: usize, start_s: f64, end_s: f64, label: Expression) -> Vote {
        Vote { tier, start_s, end_s, label }
    }

    #[test]
    fn two_annotators_cut_time_wherever_one_sees_a_change() {
        let votes = [
            vote(0, 1.0, 3.0, Expression::Fear),
            vote(1, 1.5, 3.5, Expression::Surprise),
            vote(0, 3.0, 4.0, Expression::Neutral),
        ];
        let found: Vec<(f64, f64, Vec<usize>)> =
            stretches(&votes).into_iter().map(|s| (s.start_s, s.end_s, s.votes)).collect();
        let expected = [(1.0, 1.5, vec![0]), (1.5, 3.0, vec![0, 1]), (3.0, 3.5, vec![1, 2]), (3.5, 4.0, vec![2])];
        assert_eq!(found, expected);
        let twice = [vote(0, 0.0, 2.0, Expression::Fear), vote(0, 1.0, 3.0, Expression::Anger)];
        assert_eq!(stretches(&twice).iter().map(|s| s.is_overlapping).collect::<Vec<_>>(), [false, true, false]);
        let same = [vote(0, 0.0, 2.0, Expression::Fear), vote(0, 1.0, 3.0, Expression::Fear)];
        assert!(stretches(&same).iter().all(|s| !s.is_overlapping), "the same word twice contradicts nothing");
    }

    #[test]
    fn votes_become_shares_and_a_label_where_most_agree() {
        use Expression::{Anger, Fear};
        assert_eq!(shares(&[Fear, Fear]).1, Some(Fear));
        let (halves, none) = shares(&[Fear, Anger]);
        assert_eq!((halves[Fear.index()], halves[Anger.index()], none), (0.5, 0.5, None));
        assert_eq!(shares(&[Fear, Anger, Fear]).1, Some(Fear));
    }

    proptest! {
        #[test]
        fn moments_do_not_flood_and_keep_off_the_edges(
            start_s in 0.0f64..100.0, length_s in 0.0f64..60.0, every_s in 0.05f64..3.0, most in 1usize..9, edge_s in 0.0f64..0.5,
        ) {
            let rate = Rate { every_s, most, edge_s };
            let (found, _) = moments(start_s, start_s + length_s, &rate);
            prop_assert!(found.len() <= most);
            prop_assert_eq!(found.is_empty(), length_s < 2.0 * edge_s - 1e-9);
            for moment in &found {
                prop_assert!(*moment >= start_s + edge_s - 1e-6 && *moment <= start_s + length_s - edge_s + 1e-6);
            }
            for pair in found.windows(2) {
                prop_assert!(pair[1] - pair[0] >= every_s - 1e-6);
            }
        }
    }
}
