//! What there is to learn from and to judge by, and what that allows.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::timeline::Expression;
use crate::train::fold::Grouping;
use crate::train::manifest::Row;

/// Labelled pictures that are needed at least.
pub const LEAST_PICTURES: usize = 40;
/// Pictures of a class that are needed for it to count, at least.
pub const LEAST_OF_CLASS: usize = 8;
/// Groups (signers, else videos) that a class must be seen in to count, at least.
pub const LEAST_GROUPS_OF_CLASS: usize = 2;
/// Classes that must count, at least.
pub const LEAST_CLASSES: usize = 2;
/// Groups that are needed at least: one to judge by, one to choose by, one to learn from.
pub const LEAST_GROUPS: usize = 3;

/// What there is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inventory {
    /// Pictures.
    pub pictures: usize,
    /// Those with one label; the others have soft labels, which are learnt but cannot be judged by.
    pub labelled: usize,
    /// Pictures of each class, in canonical order.
    pub classes: [usize; Expression::COUNT],
    /// Pictures of each class by signer.
    pub signers: BTreeMap<String, [usize; Expression::COUNT]>,
    /// Pictures of each class by video.
    pub videos: BTreeMap<String, [usize; Expression::COUNT]>,
    /// What stays on one side.
    pub grouping: Grouping,
    /// How many groups that makes.
    pub groups: usize,
    /// Classes with too little to count.
    pub thin: Vec<Expression>,
    /// What a reader should know.
    pub warnings: Vec<String>,
}

/// Why that is not enough.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum TooLittle {
    #[error("there are {0} labelled pictures; at least {LEAST_PICTURES} are needed")]
    Pictures(usize),
    #[error(
        "{found} class(es) have {LEAST_OF_CLASS} pictures or more of {LEAST_GROUPS_OF_CLASS} or more {noun}s: {classes}; at least \
         {LEAST_CLASSES} are needed"
    )]
    Classes { found: usize, noun: &'static str, classes: String },
    #[error(
        "the pictures are of {signers} signer(s) and {videos} video(s); at least {LEAST_GROUPS} of either are needed: to learn from, to \
         choose by and to judge by"
    )]
    Groups { signers: usize, videos: usize },
    #[error(
        "the pictures are of {found} {noun}s; at least {LEAST_GROUPS} are needed: to learn from, to choose by and to judge by"
    )]
    Grouped { found: usize, noun: &'static str },
}

impl Inventory {
    /// Counts `rows` and says what they allow; `grouping` decides what stays on one side where it is given.
    ///
    /// # Errors
    /// If they are too little.
    pub fn of(rows: &[Row], grouping: Option<Grouping>) -> Result<Self, TooLittle> {
        let labelled: Vec<(&Row, Expression)> = rows.iter().filter_map(|row| Some((row, row.label?))).collect();
        if labelled.len() < LEAST_PICTURES {
            return Err(TooLittle::Pictures(labelled.len()));
        }
        let signers = counted(&labelled, |row| row.subject.clone());
        let videos = counted(&labelled, |row| row.sequence.as_ref().map(|_| video_name(row)));
        let mut warnings = Vec::new();
        let grouping = match grouping {
            Some(grouping) => grouping,
            None => choose(&labelled, &signers, &videos, &mut warnings)?,
        };
        let groups: BTreeSet<String> = labelled.iter().map(|(row, _)| grouping.key(row)).collect();
        if groups.len() < LEAST_GROUPS {
            return Err(TooLittle::Grouped { found: groups.len(), noun: grouping.noun() });
        }
        let mut classes = [0; Expression::COUNT];
        labelled.iter().for_each(|(_, class)| classes[class.index()] += 1);
        let spread = |class: Expression| {
            let of_class = labelled.iter().filter(|(_, own)| *own == class);
            of_class.map(|(row, _)| grouping.key(row)).collect::<BTreeSet<_>>().len()
        };
        let counts =
            |class: &Expression| classes[class.index()] >= LEAST_OF_CLASS && spread(*class) >= LEAST_GROUPS_OF_CLASS;
        let (counting, thin): (Vec<Expression>, Vec<Expression>) =
            Expression::ALL.into_iter().filter(|class| classes[class.index()] > 0).partition(counts);
        if counting.len() < LEAST_CLASSES {
            let classes = names(&counting);
            return Err(TooLittle::Classes { found: counting.len(), noun: grouping.noun(), classes });
        }
        if !thin.is_empty() {
            warnings.push(format!(
                "too little of {} to say anything about it: fewer than {LEAST_OF_CLASS} pictures, or of a single {}",
                names(&thin),
                grouping.noun()
            ));
        }
        let absent: Vec<Expression> = Expression::ALL.into_iter().filter(|class| classes[class.index()] == 0).collect();
        if !absent.is_empty() {
            warnings.push(format!(
                "nothing shows {}: what the start knows of it is neither kept nor lost on purpose",
                names(&absent)
            ));
        }
        let (pictures, labelled) = (rows.len(), labelled.len());
        Ok(Self { pictures, labelled, classes, signers, videos, grouping, groups: groups.len(), thin, warnings })
    }
}

fn names(classes: &[Expression]) -> String {
    if classes.is_empty() {
        return "none".into();
    }
    classes.iter().map(|class| class.name()).collect::<Vec<_>>().join(", ")
}

/// The coarsest grouping of which there is enough, with what it cannot show.
fn choose(
    labelled: &[(&Row, Expression)],
    signers: &BTreeMap<String, [usize; Expression::COUNT]>,
    videos: &BTreeMap<String, [usize; Expression::COUNT]>,
    warnings: &mut Vec<String>,
) -> Result<Grouping, TooLittle> {
    if labelled.iter().all(|(row, _)| row.subject.is_none() && row.sequence.is_none()) {
        warnings.push(
            "neither signers nor videos are named: pictures count as independent, and what is alike may be on both sides".into(),
        );
        return Ok(Grouping::Image);
    }
    if signers.len() >= LEAST_GROUPS {
        return Ok(Grouping::Subject);
    }
    if videos.len() >= LEAST_GROUPS {
        let count = signers.len();
        warnings.push(match count {
            0 => "no signer is named: judged by videos, of which several may show one person".into(),
            1 => "one signer: the gain is shown for other videos of this person, and cannot be shown for other people"
                .into(),
            _ => format!(
                "{count} signers: judged by videos, so that the gain is not shown for people who are not among them"
            ),
        });
        return Ok(Grouping::Sequence);
    }
    Err(TooLittle::Groups { signers: signers.len(), videos: videos.len() })
}

fn counted(
    labelled: &[(&Row, Expression)],
    name: impl Fn(&Row) -> Option<String>,
) -> BTreeMap<String, [usize; Expression::COUNT]> {
    let mut counts: BTreeMap<String, [usize; Expression::COUNT]> = BTreeMap::new();
    for (row, class) in labelled {
        if let Some(name) = name(row) {
            counts.entry(name).or_default()[class.index()] += 1;
        }
    }
    counts
}

/// What people call the video of a picture. Pictures of annotations know their video by its digest, and are called after it.
pub fn video_name(row: &Row) -> String {
    let sequence = row.sequence.clone().unwrap_or_default();
    let is_digest = sequence.len() == 64 && sequence.bytes().all(|byte| byte.is_ascii_hexdigit());
    let stem = row.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let parts: Vec<&str> = stem.split('-').collect();
    match is_digest && parts.len() > 2 {
        true => parts[..parts.len() - 2].join("-"),
        false => sequence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::manifest::Split;

    fn rows(count: usize, of: impl Fn(usize) -> (Option<usize>, Option<usize>, Expression)) -> Vec<Row> {
        (0..count)
            .map(|index| {
                let (signer, video, label) = of(index);
                let mut row = Row::new(format!("{index}.png").into(), Split::Train);
                row.label = Some(label);
                row.subject = signer.map(|signer| format!("s{signer}"));
                row.sequence = video.map(|video| format!("v{video}"));
                row
            })
            .collect()
    }

    fn two(index: usize) -> Expression {
        if index.is_multiple_of(2) { Expression::Neutral } else { Expression::Anger }
    }

    #[test]
    fn signers_are_kept_apart_where_there_are_enough_else_videos_with_a_warning() {
        let many = rows(60, |index| (Some(index % 4), Some(index % 8), two(index / 8)));
        let inventory = Inventory::of(&many, None).unwrap();
        assert_eq!((inventory.grouping, inventory.groups, inventory.warnings.len()), (Grouping::Subject, 4, 1));
        let one = rows(60, |index| (Some(0), Some(index % 4), two(index / 4)));
        let inventory = Inventory::of(&one, None).unwrap();
        assert_eq!((inventory.grouping, inventory.groups), (Grouping::Sequence, 4));
        assert!(inventory.warnings[0].contains("one signer") && inventory.warnings[0].contains("other people"));
        let single = rows(60, |index| (None, None, two(index)));
        assert_eq!(Inventory::of(&single, None).unwrap().grouping, Grouping::Image);
    }

    #[test]
    fn what_is_too_little_is_said() {
        let message = |rows: &[Row]| Inventory::of(rows, None).unwrap_err().to_string();
        assert!(message(&rows(39, |index| (None, None, two(index)))).contains("39 labelled"));
        assert!(message(&rows(60, |_| (None, None, Expression::Fear))).contains("1 class(es)"));
        assert!(
            message(&rows(60, |index| (Some(0), Some(index % 2), two(index / 2))))
                .contains("1 signer(s) and 2 video(s)")
        );
        // All anger is one signer's.
        let signers = rows(60, |index| {
            (Some(index % 3), None, if index % 3 == 0 { Expression::Anger } else { Expression::Neutral })
        });
        assert!(message(&signers).contains("neutral"), "{}", message(&signers));
    }

    #[test]
    fn a_thin_class_is_named() {
        let thin = rows(60, |index| (Some(index % 3), None, if index < 3 { Expression::Fear } else { two(index / 3) }));
        let inventory = Inventory::of(&thin, None).unwrap();
        assert_eq!(inventory.thin, [Expression::Fear]);
        assert!(inventory.warnings[0].contains("too little of fear"), "{:?}", inventory.warnings);
    }
}
