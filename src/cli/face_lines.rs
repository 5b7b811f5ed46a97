//! What signers' faces did, in a few lines below the strips.

use std::fmt::Write;

use crate::timeline::{EventKind, FaceCounts, Timeline};

/// More signers would scroll the strips away.
const MOST_SIGNERS: usize = 6;
/// Kinds that fill less of the time than this are left out, but for blinks, which are short.
const LEAST_SHARE: f64 = 0.005;

/// A few lines a signer, each at most `width` characters where its words allow.
pub(super) fn lines(timeline: &Timeline, width: usize) -> String {
    let counts = timeline.face_counts();
    let mut text = String::new();
    for counts in counts.iter().take(MOST_SIGNERS) {
        text += &wrapped(&format!("{} ", counts.signer), &phrases(counts), width);
    }
    text
}

fn phrases(counts: &FaceCounts) -> Vec<String> {
    let mut phrases = Vec::new();
    if let Some(blinks) = counts.events.get(&EventKind::Blink) {
        phrases.push(format!("{:.1} blinks a minute", blinks.per_minute));
    }
    let lasting = counts.events.iter().filter(|(kind, count)| **kind != EventKind::Blink && count.share >= LEAST_SHARE);
    let mut lasting: Vec<_> = lasting.collect();
    lasting.sort_by(|a, b| b.1.share.total_cmp(&a.1.share));
    for (index, (kind, count)) in lasting.into_iter().enumerate() {
        let of = if index == 0 { " of the time" } else { "" };
        phrases.push(format!("{} {:.0} %{of}", named(*kind), 100.0 * count.share));
    }
    for (label, found) in &counts.nothing_but {
        let (label, kind) = (label.name(), named(found.kind));
        phrases.push(format!("{label}: {} of {} segments show nothing but {kind}", found.segments, found.of));
    }
    phrases
}

fn named(kind: EventKind) -> String {
    kind.name().replace('_', " ")
}

/// Phrases with commas between them, broken where a line would be longer than `width`.
fn wrapped(head: &str, phrases: &[String], width: usize) -> String {
    let indent = head.chars().count();
    let mut text = String::new();
    let mut line = head.to_owned();
    for (index, phrase) in phrases.iter().enumerate() {
        let comma = if index + 1 < phrases.len() { "," } else { "" };
        let is_first = line.chars().count() == indent;
        if !is_first && line.chars().count() + 1 + phrase.chars().count() + comma.len() > width {
            let _ = writeln!(text, "{}", line.trim_end());
            line = " ".repeat(indent);
        } else if !is_first {
            line.push(' ');
        }
        let _ = write!(line, "{phrase}{comma}");
    }
    if !phrases.is_empty() {
        let _ = writeln!(text, "{line}");
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sample;

    #[test]
    fn what_the_face_did_is_told_in_words() {
        let timeline = sample::two_signers();
        // Two of the two measured frames are in raised brows.
        assert_eq!(lines(&timeline, 80), "A 0.0 blinks a minute, brows raised 100 % of the time\n");
        assert_eq!(lines(&timeline, 30), "A 0.0 blinks a minute,\n  brows raised 100 % of the time\n");
        let mut nobody = timeline;
        nobody.tracks.remove(0);
        assert_eq!(lines(&nobody, 80), "", "nobody was measured");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn lines_are_no_wider_than_the_terminal(timeline in sample::any_timeline(), width in 70usize..200) {
            for line in lines(&timeline, width).lines() {
                prop_assert!(line.chars().count() <= width, "{}", line);
            }
        }
    }
}
