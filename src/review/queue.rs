//! What is worth a person's time first: the segments of a corpus in the order in which their review would teach most.
//!
//! A segment scores by how unsure the model was of it (1 less its raw probability; Lewis & Gale 1994), more where its label is rare
//! in the corpus, where another annotation of the same videos says something else, and where models that learnt from different parts
//! of the corpus differ ([`Committee`](super::Committee)). So that the list does not ask the same thing
//! again and again, each segment that is taken makes those of the same video and label after it less (a greedy form of diversity).

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use maud::{Markup, html};

use super::apply::lanes_of;
use super::committee::{CommitteeAnswer, CommitteeAnswers};
use crate::page::{page, printable};
use crate::palette;
use crate::timeline::{ContainerTime, Expression, Segment, Timeline, signer};

/// What a segment of the same video and label is worth less for each that is ahead of it.
const AGAIN: f64 = 0.7;
/// What another annotation that says something else adds.
const DISPUTED: f64 = 0.5;

/// An annotation whose segments are queued.
pub struct Queued<'a> {
    /// As people should see it.
    pub name: String,
    /// Its review page: a relative URL.
    pub page: String,
    /// What is to be reviewed.
    pub timeline: &'a Timeline,
    /// Another annotation of the same video, such as another model's.
    pub other: Option<&'a Timeline>,
    /// What several models say about its segments.
    pub committee: Option<&'a CommitteeAnswers>,
}

/// A stretch to look at.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueItem {
    /// The annotation.
    pub name: String,
    /// Its review page.
    pub page: String,
    /// Whose face.
    pub signer: String,
    /// Where the page opens.
    pub frame: usize,
    /// From when to when, seconds as a player shows them.
    pub span_s: [f64; 2],
    /// What stands there.
    pub label: Expression,
    /// Why it is in the list, in words.
    pub why: String,
    /// What its review is worth, by which the list is ordered.
    pub score: f64,
}

struct Open<'a> {
    of: usize,
    queued: &'a Queued<'a>,
    track: u32,
    segment: &'a Segment,
    /// What another annotation says over most of it, if that is something else.
    disputed: Option<Expression>,
    /// What several models say, where they were asked.
    answer: Option<&'a CommitteeAnswer>,
    score: f64,
}

/// The `most` segments that are not reviewed yet and whose review would teach most.
pub fn queue(annotations: &[Queued], most: usize) -> Vec<QueueItem> {
    let shares = shares(annotations);
    let mut open: Vec<Open> = Vec::new();
    for (of, queued) in annotations.iter().enumerate() {
        let lanes = lanes_of(queued.timeline);
        let reviewed: Vec<(u32, usize)> = lanes
            .all()
            .filter(|touched| touched.state.review.is_some())
            .map(|touched| (touched.state.track, touched.state.first_frame))
            .collect();
        for track in &queued.timeline.tracks {
            for segment in &track.segments {
                if segment.decision.is_some() || reviewed.contains(&(track.id, segment.first_frame)) {
                    continue;
                }
                let disputed = queued.other.and_then(|other| said(other, track.id, segment));
                let disputed = disputed.filter(|label| *label != segment.label);
                let answer = queued.committee.and_then(|answers| answers.get(&(track.id, segment.first_frame)));
                // The root of the divergence is a distance (Endres & Schindelin 2003), as what else adds up here.
                let apart = answer.map_or(0.0, |answer| answer.divergence.sqrt());
                let unsure = 1.0 - f64::from(segment.raw_probability.or(segment.confidence).unwrap_or(0.5));
                let rare = 1.0 / shares[segment.label.index()].max(1e-3).sqrt();
                let score = (unsure + apart + if disputed.is_some() { DISPUTED } else { 0.0 }) * rare;
                open.push(Open { of, queued, track: track.id, segment, disputed, answer, score });
            }
        }
    }
    open.sort_by(|a, b| b.score.total_cmp(&a.score));
    taken(open, most)
}

/// Greedily the best, where each that is taken makes its like less.
fn taken(open: Vec<Open>, most: usize) -> Vec<QueueItem> {
    // By video and label, each in order of score: only the first of each can be the next.
    let mut lines: BTreeMap<(usize, Expression), std::collections::VecDeque<Open>> = BTreeMap::new();
    for item in open {
        lines.entry((item.of, item.segment.label)).or_default().push_back(item);
    }
    let mut ahead: HashMap<(usize, Expression), i32> = HashMap::new();
    let mut items = Vec::new();
    while items.len() < most {
        let worth = |key: &(usize, Expression), item: &Open| {
            item.score * AGAIN.powi(ahead.get(key).copied().unwrap_or_default())
        };
        let best = lines
            .iter()
            .filter_map(|(key, line)| Some((*key, worth(key, line.front()?))))
            .max_by(|a, b| a.1.total_cmp(&b.1));
        let Some((key, score)) = best else { break };
        let Some(item) = lines.get_mut(&key).and_then(std::collections::VecDeque::pop_front) else { break };
        *ahead.entry(key).or_default() += 1;
        items.push(item.into_item(score));
    }
    items
}

impl Open<'_> {
    fn into_item(self, score: f64) -> QueueItem {
        let Self { queued, track, segment, disputed, answer, .. } = self;
        let sure = segment.raw_probability.or(segment.confidence);
        let sure = sure.map_or("not rated".into(), |p| format!("{:.0} % sure", 100.0 * p));
        let disputed = disputed.map_or(String::new(), |label| format!(", the other says {}", label.name()));
        let shown = |time_s: f64| queued.timeline.player_time(ContainerTime(time_s)).0;
        QueueItem {
            name: queued.name.clone(),
            page: queued.page.clone(),
            signer: signer(track),
            frame: usize::midpoint(segment.first_frame, segment.last_frame),
            span_s: [shown(segment.start_s), shown(segment.end_s)],
            label: segment.label,
            why: format!(
                "{sure}{disputed}{}",
                answer.and_then(|answer| said_by_several(answer, segment.label)).unwrap_or_default()
            ),
            score,
        }
    }
}

/// What several models say: `, of 5 models 3 say fear, 2 surprise`.
fn said_by_several(answer: &CommitteeAnswer, label: Expression) -> Option<String> {
    let (first, others) = answer.votes.split_first()?;
    let all: usize = answer.votes.iter().map(|(_, count)| count).sum();
    if others.is_empty() {
        let what = if first.0 == label { "so" } else { first.0.name() };
        return Some(format!(", all {all} models say {what}"));
    }
    let others: Vec<String> = others.iter().map(|(class, count)| format!("{count} {}", class.name())).collect();
    let verb = if first.1 == 1 { "says" } else { "say" };
    Some(format!(", of {all} models {} {verb} {}, {}", first.1, first.0.name(), others.join(", ")))
}

/// Each label's share of the segments.
fn shares(annotations: &[Queued]) -> [f64; Expression::COUNT] {
    let mut counts = [0.0; Expression::COUNT];
    let segments = annotations.iter().flat_map(|queued| queued.timeline.tracks.iter().flat_map(|t| &t.segments));
    segments.for_each(|segment| counts[segment.label.index()] += 1.0);
    let all: f64 = counts.iter().sum();
    counts.map(|count| count / all.max(1.0))
}

/// What another annotation says over more than half of a segment's frames.
fn said(other: &Timeline, track: u32, segment: &Segment) -> Option<Expression> {
    let track = other.tracks.iter().find(|own| own.id == track)?;
    let mut counts = [0; Expression::COUNT];
    let inside = track.frames.iter().filter(|r| (segment.first_frame..=segment.last_frame).contains(&r.frame));
    inside.filter_map(|record| record.label).for_each(|label| counts[label.index()] += 1);
    let frames = segment.last_frame - segment.first_frame + 1;
    Expression::ALL.into_iter().find(|label| 2 * counts[label.index()] > frames)
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:64em;margin:2em auto;padding:0 1em;color:#222;background:#fff}\
                     table{border-collapse:collapse;width:100%}td,th{padding:.3em .7em;border-bottom:1px solid #ddd;text-align:left}\
                     td,th{white-space:nowrap}td:last-child{white-space:normal}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}tbody tr:hover{background:#f4f7fa}\
                     i{display:inline-block;width:.8em;height:.8em;margin-right:.4em;border-radius:2px}";

/// Writes the list as a page whose lines open the review pages where there is something to look at.
///
/// # Errors
/// If `out` fails.
pub fn write_queue(title: &str, items: &[QueueItem], out: &mut dyn Write) -> io::Result<()> {
    let body = html! {
        h1 { (printable(title)) }
        p { (items.len()) " stretches, the ones first whose review would teach most." }
        table {
            thead {
                tr {
                    th class="n" {} th { "Annotation" } th { "Signer" } th class="n" { "From, s" } th class="n" { "To, s" }
                    th { "Label" } th { "Why" }
                }
            }
            tbody { @for (number, item) in (1..).zip(items) { (line(number, item)) } }
        }
    };
    writeln!(out, "{}", page(title, STYLE, &body).into_string())
}

fn line(number: usize, item: &QueueItem) -> Markup {
    html! {
        tr {
            td class="n" { (number) }
            td { a href=(format!("{}#frame={}", printable(&item.page), item.frame)) { (printable(&item.name)) } }
            td { (printable(&item.signer)) }
            td class="n" { (format!("{:.2}", item.span_s[0])) }
            td class="n" { (format!("{:.2}", item.span_s[1])) }
            td { i style=(format!("background:{}", palette::colour_of(item.label).hex())) {} (item.label.name()) }
            td { (item.why) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn queued(timeline: &Timeline) -> Queued<'_> {
        Queued { name: "a <b>".into(), page: "a.html".into(), timeline, other: None, committee: None }
    }

    #[test]
    fn the_unsure_the_rare_and_the_disputed_come_first_and_what_was_reviewed_not_at_all() {
        let mut timeline = sample::two_signers();
        let raw = [0.9, 0.9, 0.3];
        let segments = timeline.tracks.iter_mut().flat_map(|track| &mut track.segments);
        segments.zip(raw).for_each(|(segment, raw)| segment.raw_probability = Some(raw));
        let items = queue(&[queued(&timeline)], 10);
        assert_eq!(items.len(), 3);
        assert_eq!((items[0].signer.as_str(), items[0].label), ("B", Expression::Neutral), "the unsure one");
        assert_eq!(items[0].why, "30 % sure");

        let mut other = timeline.clone();
        other.tracks[0].frames[0].label = Some(Expression::Fear);
        other.tracks[0].frames[1].label = Some(Expression::Fear);
        let disputed = [Queued { other: Some(&other), ..queued(&timeline) }];
        let items = queue(&disputed, 2);
        let happy = items.iter().find(|item| item.label == Expression::Happiness).unwrap();
        assert_eq!(happy.why, "90 % sure, the other says fear");

        // Models that differ about what this one is sure of bring it to the front.
        let happy = &timeline.tracks[0].segments[0];
        let answer =
            CommitteeAnswer { votes: vec![(Expression::Fear, 2), (Expression::Happiness, 1)], divergence: 0.6 };
        let answers = [((1, happy.first_frame), answer)].into();
        let items = queue(&[Queued { committee: Some(&answers), ..queued(&timeline) }], 10);
        assert_eq!(items[0].label, Expression::Happiness);
        assert_eq!(items[0].why, "90 % sure, of 3 models 2 say fear, 1 happiness");
    }

    #[test]
    fn more_of_the_same_is_worth_less() {
        let timelines: Vec<Timeline> = (0..4).map(|_| sample::two_signers()).collect();
        let mut annotations: Vec<Queued> = timelines.iter().map(queued).collect();
        annotations.iter_mut().enumerate().for_each(|(index, queued)| queued.name = index.to_string());
        let items = queue(&annotations, 4);
        let names: std::collections::BTreeSet<&str> = items.iter().map(|item| item.name.as_str()).collect();
        assert_eq!(names.len(), 4, "{items:?}");
    }

    #[test]
    fn names_cannot_become_markup() {
        let timeline = sample::two_signers();
        let mut page = Vec::new();
        write_queue("<script>", &queue(&[queued(&timeline)], 5), &mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        assert!(!page.contains("<script") && page.contains("a &lt;b&gt;") && page.contains("a.html#frame="), "{page}");
    }
}
