//! What stands about the faces and below them: boxes with names, a strip a signer, and the moment that is shown.

use super::canvas::{Canvas, Rectangle};
use super::text::Lettering;
use crate::palette::{Colour, NO_FACE, colour_of};
use crate::timeline::{Timeline, Track};
use crate::write::{DrawnMark, MarkSizes};

/// More strips would cover the picture.
const MOST_STRIPS: usize = 4;
/// Of strips.
const OPACITY: f64 = 0.8;
/// What letters stand on.
const DARK: Colour = Colour { red: 32, green: 32, blue: 32 };
const WHITE: Colour = Colour { red: 255, green: 255, blue: 255 };

/// Draws marks. Positions are in pixels of the timeline's pictures.
pub(super) struct Marks {
    sizes: MarkSizes,
    lettering: Lettering,
    /// Every segment's place on its strip, and its colour.
    strips: Vec<(Rectangle, Colour)>,
    /// From the top of the upmost strip to the bottom of the picture; absent without strips.
    strips_edges: Option<Rectangle>,
}

impl Marks {
    pub(super) fn new(timeline: &Timeline) -> Self {
        let media = &timeline.media;
        let sizes = MarkSizes::in_picture(media.height);
        let [width, height] = [media.width, media.height].map(f64::from);
        let strip = f64::from((media.height / 40).max(4));
        let count = timeline.tracks.len().min(MOST_STRIPS);
        let top = |number: usize| height - strip * (count - number) as f64;
        let column = |time_s: f64| (width * share_of_video(timeline, time_s)).round();
        let mut strips = Vec::new();
        for (number, track) in timeline.tracks.iter().take(count).enumerate() {
            for segment in &track.segments {
                let left = column(segment.start_s);
                // The shortest one is seen, too.
                let right = column(segment.end_s).max(left + 1.0);
                let edges = Rectangle { left, top: top(number), right, bottom: top(number) + strip };
                strips.push((edges, colour_of(segment.label)));
            }
        }
        let strips_edges = (count > 0).then(|| Rectangle { left: 0.0, top: top(0), right: width, bottom: height });
        Self { sizes, lettering: Lettering::new(sizes.letters, sizes.border, media.width), strips, strips_edges }
    }

    /// Draws everything about frame number `frame`, which starts at `time_s`.
    pub(super) fn draw(&mut self, timeline: &Timeline, frame: usize, time_s: f64, canvas: &mut Canvas<'_>) {
        let marks: Vec<(&Track, DrawnMark)> =
            timeline.tracks.iter().filter_map(|t| Some((t, mark(t, frame)?))).collect();
        for (_, mark) in &marks {
            let [left, top, right, bottom] = mark.edges.map(f64::from);
            let colour = mark.label.map_or(NO_FACE, colour_of);
            canvas.frame(Rectangle { left, top, right, bottom }, self.sizes.border.into(), colour);
        }
        for (track, mark) in &marks {
            self.name(&track.signer(), mark, timeline.media.width, canvas);
        }
        for (edges, colour) in &self.strips {
            canvas.fill(*edges, *colour, OPACITY);
        }
        if let Some(strips) = self.strips_edges {
            let left = strips.right * share_of_video(timeline, time_s);
            let right = left + (strips.right / 400.0).max(2.0);
            canvas.fill(Rectangle { left, right, ..strips }, WHITE, 1.0);
        }
    }

    fn name(&mut self, signer: &str, mark: &DrawnMark, picture_width: u32, canvas: &mut Canvas<'_>) {
        let text = self.lettering.text(&mark.text(signer));
        let [face_left, ..] = mark.edges;
        // Where it would leave the picture at the right, it begins further left.
        let left = i64::from(face_left).min(i64::from(picture_width) - i64::from(text.width)).max(0);
        let bottom = i64::from(mark.name_bottom(&self.sizes));
        let margin = i64::from(text.margin);
        let (left, top) = (left - margin, bottom - i64::from(self.sizes.letters) - margin);
        canvas.stamp(&text.background, left, top, DARK);
        canvas.stamp(&text.letters, left, top, mark.label.map_or(NO_FACE, colour_of));
    }
}

fn mark(track: &Track, frame: usize) -> Option<DrawnMark> {
    DrawnMark::of(track.frames.get(frame.checked_sub(track.first_frame)?)?)
}

/// Where a moment lies between the video's start and its end, 0 to 1.
fn share_of_video(timeline: &Timeline, time_s: f64) -> f64 {
    let start_s = timeline.frames.time_s.first().copied().unwrap_or(0.0);
    ((time_s - start_s) / (timeline.end_s() - start_s).max(1e-9)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::canvas::tests::{FULL_RANGE, black, luma};
    use super::*;
    use crate::sample;

    /// A timeline whose only face in the first frame has these edges.
    fn timeline_with(edges: [f32; 4], width: u32, height: u32) -> Timeline {
        let mut timeline = sample::two_signers();
        (timeline.media.width, timeline.media.height) = (width, height);
        timeline.tracks.truncate(1);
        let [left, top, right, bottom] = edges;
        let face = [left, top, right - left, bottom - top].map(f64::from);
        let track = &mut timeline.tracks[0];
        track.first_frame = 0;
        track.frames[0].face = Some(crate::timeline::BoundingBox::from(face.map(|number| number as f32)));
        timeline
    }

    #[test]
    fn a_box_has_its_colour_about_its_edges_and_its_name_above() {
        let timeline = timeline_with([100.0, 80.0, 200.0, 180.0], 400, 300);
        let mut video = black(400, 300);
        Marks::new(&timeline).draw(&timeline, 0, 0.0, &mut Canvas::new(&mut video, FULL_RANGE));
        let rows = luma(&video);
        assert!(rows[130][99] > 60 && rows[130][100] == 0 && rows[130][98] == 0, "one pixel thick");
        let is_bright = |x: usize, y: usize| rows[y][x] > 60;
        let bright = |xs: std::ops::Range<usize>, ys: std::ops::Range<usize>| {
            ys.flat_map(|y| xs.clone().map(move |x| (x, y))).filter(|(x, y)| is_bright(*x, *y)).count()
        };
        assert!(bright(100..200, 69..79) > 50, "the name is ten pixels high and ends at the box");
        assert_eq!(bright(0..400, 0..68) + bright(0..95, 0..280), 0, "nothing else");
    }

    #[test]
    fn a_name_at_the_right_edge_stays_in_the_picture() {
        let timeline = timeline_with([380.0, 80.0, 398.0, 98.0], 400, 300);
        let mut video = black(400, 300);
        Marks::new(&timeline).draw(&timeline, 0, 0.0, &mut Canvas::new(&mut video, FULL_RANGE));
        let named: usize = luma(&video)[69..79].iter().map(|row| row[..375].iter().filter(|s| **s > 60).count()).sum();
        assert!(named > 30, "{named}");
    }

    #[test]
    fn the_cursor_moves_from_the_first_frame_to_the_last() {
        let timeline = sample::two_signers();
        let (width, height) = (timeline.media.width, timeline.media.height);
        let end_s = timeline.end_s();
        let start_s = timeline.frames.time_s[0];
        for share in [0.0, 0.5] {
            let mut video = black(width, height);
            let time_s = start_s + share * (end_s - start_s);
            Marks::new(&timeline).draw(&timeline, 0, time_s, &mut Canvas::new(&mut video, FULL_RANGE));
            let x = (share * f64::from(width)) as usize;
            assert_eq!(luma(&video)[height as usize - 1][x], 255, "{share}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_timeline_can_be_drawn_on_any_picture(
            timeline in sample::any_timeline(),
            (width, height) in (1u32..60, 1u32..60),
        ) {
            let mut video = black(2 * width, 2 * height);
            let mut marks = Marks::new(&timeline);
            for (frame, time_s) in timeline.frames.time_s.iter().enumerate() {
                marks.draw(&timeline, frame, *time_s, &mut Canvas::new(&mut video, FULL_RANGE));
            }
        }
    }
}
