//! What is drawn on a face: its box, who it is, and what it shows.

use crate::timeline::{BoundingBox, Expression, FrameRecord, Status, box_in_file};

/// What is drawn for one signer in one frame; drawn on while it does not change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct DrawnMark {
    /// Left, top, right and bottom edge, whole pixels.
    pub edges: [i32; 4],
    /// What the face shows; `None` where it was not read.
    pub label: Option<Expression>,
    /// What can be said about the face.
    pub status: Status,
}

impl DrawnMark {
    /// `None` where no face was seen.
    pub(crate) fn of(record: &FrameRecord) -> Option<Self> {
        // As it stands in labels.json, so that what is made from there has the same edges.
        let BoundingBox { x, y, w, h } = BoundingBox::from(box_in_file(record.face?).map(|number| number as f32));
        let edges = [x, y, x + w, y + h].map(|edge| edge.round() as i32);
        Some(Self { edges, label: record.label, status: record.status })
    }

    /// What stands at the face of `signer`.
    pub(crate) fn text(&self, signer: &str) -> String {
        match self.label {
            Some(label) => format!("{signer}: {}", label.name()),
            None => format!("{signer}: {}", self.status.name().replace('_', " ")),
        }
    }

    /// The lower edge of the name: above the face, or inside where the box reaches the picture's upper edge.
    pub(crate) fn name_bottom(&self, sizes: &MarkSizes) -> i32 {
        let [_, top, ..] = self.edges;
        (top - sizes.border as i32).max(sizes.letters as i32)
    }
}

/// How large marks are, pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct MarkSizes {
    /// From the top of the highest letter to the bottom of the lowest.
    pub letters: u32,
    /// Thickness of a box, and of what is dark about letters.
    pub border: u32,
}

impl MarkSizes {
    /// In a picture of `height` pixels.
    pub(crate) fn in_picture(height: u32) -> Self {
        Self { letters: (height / 30).max(10), border: (height / 240).max(1) }
    }
}
