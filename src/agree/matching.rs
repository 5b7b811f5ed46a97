//! Which segment of one annotation is which of the other's.

use super::Stretch;

/// Places of segments that belong together, and of those that stand alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Links {
    /// Places in both annotations.
    pub pairs: Vec<(usize, usize)>,
    /// Places in the first.
    pub only_a: Vec<usize>,
    /// Places in the second.
    pub only_b: Vec<usize>,
}

/// Links segments that share at least `overlap` of the longer of the two. Where several would do, the larger share goes
/// first, then the longer overlap in seconds, then the earlier segment, as in ELAN.
pub fn link<L>(a: &[Stretch<L>], b: &[Stretch<L>], overlap: f64) -> Links {
    let mut candidates = Vec::new();
    let by_start = |segments: &[Stretch<L>]| {
        let mut indices: Vec<usize> = (0..segments.len()).collect();
        indices.sort_by(|x, y| segments[*x].start_s.total_cmp(&segments[*y].start_s));
        indices
    };
    let indices_b = by_start(b);
    // The latest end of all segments up to an index: what ends before a segment starts is never looked at again.
    let reached_s: Vec<f64> = indices_b
        .iter()
        .scan(f64::NEG_INFINITY, |reached_s, index| {
            *reached_s = reached_s.max(b[*index].end_s);
            Some(*reached_s)
        })
        .collect();
    for index_a in by_start(a) {
        let segment_a = &a[index_a];
        let first = reached_s.partition_point(|end_s| *end_s <= segment_a.start_s);
        for index_b in indices_b[first..].iter().copied().take_while(|index| b[*index].start_s < segment_a.end_s) {
            let segment_b = &b[index_b];
            let shared_s = segment_a.end_s.min(segment_b.end_s) - segment_a.start_s.max(segment_b.start_s);
            let longer_s = (segment_a.end_s - segment_a.start_s).max(segment_b.end_s - segment_b.start_s);
            // Times come rounded to milliseconds on one side and exact on the other.
            if shared_s > 0.0 && shared_s / longer_s >= overlap - 1e-9 {
                candidates.push((shared_s / longer_s, shared_s, index_a, index_b));
            }
        }
    }
    candidates.sort_by(|x, y| y.0.total_cmp(&x.0).then(y.1.total_cmp(&x.1)).then((x.2, x.3).cmp(&(y.2, y.3))));
    let (mut is_free_a, mut is_free_b) = (vec![true; a.len()], vec![true; b.len()]);
    let mut pairs = Vec::new();
    for (_, _, index_a, index_b) in candidates {
        if is_free_a[index_a] && is_free_b[index_b] {
            (is_free_a[index_a], is_free_b[index_b]) = (false, false);
            pairs.push((index_a, index_b));
        }
    }
    pairs.sort_unstable();
    let alone = |is_free: Vec<bool>| (0..is_free.len()).filter(|index| is_free[*index]).collect();
    Links { pairs, only_a: alone(is_free_a), only_b: alone(is_free_b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::timeline::Expression;

    fn stretches(times: &[(f64, f64)]) -> Vec<Stretch> {
        times
            .iter()
            .map(|(start_s, end_s)| Stretch { start_s: *start_s, end_s: *end_s, label: Expression::Fear })
            .collect()
    }

    #[test]
    fn a_share_of_the_longer_decides() {
        let a = stretches(&[(0.0, 10.0), (10.0, 20.0), (30.0, 40.0)]);
        let b = stretches(&[(0.0, 6.0), (12.0, 21.0), (34.1, 40.0), (50.0, 51.0)]);
        let links = link(&a, &b, 0.6);
        assert_eq!(links, Links { pairs: vec![(0, 0), (1, 1)], only_a: vec![2], only_b: vec![2, 3] });
    }

    proptest! {
        #[test]
        fn every_segment_is_linked_once_or_alone(
            a in proptest::collection::vec((0.0f64..50.0, 0.01f64..9.0), 0..12),
            b in proptest::collection::vec((0.0f64..50.0, 0.01f64..9.0), 0..12),
        ) {
            let with_ends = |spans: &[(f64, f64)]| stretches(&spans.iter().map(|(s, d)| (*s, s + d)).collect::<Vec<_>>());
            let (a, b) = (with_ends(&a), with_ends(&b));
            let links = link(&a, &b, 0.6);
            let mut indices: Vec<usize> = links.pairs.iter().map(|pair| pair.0).chain(links.only_a.clone()).collect();
            indices.sort_unstable();
            prop_assert_eq!(indices, (0..a.len()).collect::<Vec<_>>());
            let mut swapped = link(&b, &a, 0.6).pairs.into_iter().map(|(x, y)| (y, x)).collect::<Vec<_>>();
            swapped.sort_unstable();
            prop_assert_eq!(links.pairs, swapped, "it does not matter who comes first");
        }
    }
}
