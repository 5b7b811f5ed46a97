//! Names as masks: letters, and what is dark about them.

use std::collections::HashMap;
use std::rc::Rc;

use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};

use super::canvas::Mask;

/// DejaVu Sans Bold, Latin, Greek and Cyrillic (assets/README.md).
const FONT: &[u8] = include_bytes!("../../assets/font/overlay.ttf");

/// Texts that are kept: a signer has one for each thing a face may show.
const MOST_KEPT: usize = 64;

/// Makes texts of one size.
pub(super) struct Lettering {
    font: FontRef<'static>,
    /// From the top of the highest letter to the bottom of the lowest, pixels.
    height: u32,
    /// Thickness of what is dark about letters, pixels.
    border: u32,
    /// Pixels; what is longer is cut off.
    longest: u32,
    kept: HashMap<String, Rc<Text>>,
}

/// A line of text.
pub(super) struct Text {
    /// Pixels, without what is dark about letters.
    pub width: u32,
    /// What lies about the line on each side in both masks, pixels.
    pub margin: u32,
    /// The letters.
    pub letters: Mask,
    /// The letters, and what is dark about them.
    pub background: Mask,
}

impl Lettering {
    pub(super) fn new(height: u32, border: u32, longest: u32) -> Self {
        let font = FontRef::try_from_slice(FONT).expect("the bundled font is whole");
        Self { font, height, border, longest, kept: HashMap::new() }
    }

    /// `text` in one line. A character that the font lacks becomes a box.
    pub(super) fn text(&mut self, text: &str) -> Rc<Text> {
        if let Some(known) = self.kept.get(text) {
            return Rc::clone(known);
        }
        if self.kept.len() == MOST_KEPT {
            self.kept.clear();
        }
        let made = Rc::new(self.set(text));
        self.kept.insert(text.into(), Rc::clone(&made));
        made
    }

    fn set(&self, text: &str) -> Text {
        let scale = PxScale::from(self.height as f32);
        let font = self.font.as_scaled(scale);
        let margin = self.border + 1;
        let (start, baseline) = (margin as f32, margin as f32 + font.ascent());
        let mut advance = 0.0;
        let mut glyphs = Vec::new();
        for character in text.chars() {
            let glyph = font.glyph_id(character);
            glyphs.push(glyph.with_scale_and_position(scale, point(start + advance, baseline)));
            advance += font.h_advance(glyph);
            if advance >= self.longest as f32 {
                break;
            }
        }
        let width = (advance.ceil() as u32).min(self.longest);
        let mut letters = Mask::empty((width + 2 * margin) as usize, (self.height + 2 * margin) as usize);
        for outline in glyphs.into_iter().filter_map(|glyph| self.font.outline_glyph(glyph)) {
            let corner = outline.px_bounds().min;
            outline.draw(|x, y, cover| {
                let (x, y) = (corner.x as i64 + i64::from(x), corner.y as i64 + i64::from(y));
                let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else { return };
                if x < letters.width && y < letters.height {
                    let pixel = &mut letters.cover[y * letters.width + x];
                    *pixel = (*pixel).max((cover * 255.0).round() as u8);
                }
            });
        }
        Text { width, margin, background: widened(&letters, self.border), letters }
    }
}

/// `mask` with everything `by` pixels thicker on all sides.
fn widened(mask: &Mask, by: u32) -> Mask {
    let reach = i64::from(by) + 1;
    let brush: Vec<(i64, i64, f64)> = (-reach..=reach)
        .flat_map(|y| (-reach..=reach).map(move |x| (x, y)))
        .map(|(x, y)| (x, y, (f64::from(by) + 1.0 - (x as f64).hypot(y as f64)).clamp(0.0, 1.0)))
        .filter(|(.., cover)| *cover > 0.0)
        .collect();
    let mut wide = Mask::empty(mask.width, mask.height);
    for (index, &cover) in mask.cover.iter().enumerate().filter(|(_, cover)| **cover > 0) {
        let (x, y) = ((index % mask.width) as i64, (index / mask.width) as i64);
        for &(right, down, share) in &brush {
            let (x, y) = (x + right, y + down);
            if (0..mask.width as i64).contains(&x) && (0..mask.height as i64).contains(&y) {
                let pixel = &mut wide.cover[y as usize * mask.width + x as usize];
                *pixel = (*pixel).max((f64::from(cover) * share).round() as u8);
            }
        }
    }
    wide
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::timeline::{Expression, Status};

    fn lettering() -> Lettering {
        Lettering::new(40, 2, 1000)
    }

    /// Share of a text's rectangle that is covered, 0 to 1; edges are shares of the line's height, from its upper left corner.
    fn ink(text: &Text, [left, top, right, bottom]: [f64; 4]) -> f64 {
        let at = |share: f64| (f64::from(text.margin) + 40.0 * share).round() as usize;
        let mask = &text.letters;
        let rows = (at(top)..at(bottom)).map(|y| &mask.cover[y * mask.width..][at(left)..at(right)]);
        let samples: Vec<u8> = rows.flatten().copied().collect();
        samples.iter().map(|sample| f64::from(*sample) / 255.0).sum::<f64>() / samples.len() as f64
    }

    #[test]
    fn letters_have_their_ink_where_it_belongs() {
        let letter = lettering().text("L");
        let width = f64::from(letter.width) / 40.0;
        // A stem at the left, a bar on the baseline, nothing above the bar and nothing below the baseline.
        assert!(ink(&letter, [0.1, 0.25, 0.2, 0.75]) > 0.8);
        assert!(ink(&letter, [0.1, 0.74, width - 0.1, 0.78]) > 0.8);
        assert!(ink(&letter, [0.35, 0.1, width, 0.6]) == 0.0 && ink(&letter, [0.0, 0.85, width, 1.0]) == 0.0);
    }

    #[test]
    fn everything_that_is_said_of_a_face_can_be_written() {
        let lettering = lettering();
        let words = Expression::ALL.map(|label| label.name().to_owned()).into_iter();
        let statuses = Status::ALL.into_iter().map(|status| status.name().replace('_', " "));
        let names = ["Zoë, Łucja, Ștefan, Nguyễn, Ἀ Ελένη, Їжак".replace('Ἀ', "")];
        for character in words.chain(statuses).chain(names).collect::<String>().chars() {
            assert_ne!(lettering.font.glyph_id(character).0, 0, "{character}");
        }
    }

    #[test]
    fn a_character_that_the_font_lacks_becomes_a_box() {
        let mut lettering = lettering();
        let missing = lettering.text("\u{4e2d}");
        let width = f64::from(missing.width) / 40.0;
        assert!(ink(&missing, [0.0, 0.1, width, 0.9]) > 0.1);
        for other in ["\u{1f600}", "\n", "\u{0}"] {
            assert_eq!(lettering.text(other).letters.cover, missing.letters.cover, "{other:?}");
        }
    }

    #[test]
    fn letters_stand_on_a_background_that_is_wider_by_its_border() {
        let text = lettering().text("I");
        let middle = text.letters.height / 2;
        let covered = |mask: &Mask| {
            let row = &mask.cover[middle * mask.width..][..mask.width];
            row.iter().map(|cover| f64::from(*cover) / 255.0).sum::<f64>()
        };
        let wider = covered(&text.background) - covered(&text.letters);
        assert!((wider - 4.0).abs() < 0.1, "two pixels on each side, not {wider}");
        assert!(text.letters.cover.iter().zip(&text.background.cover).all(|(letter, background)| letter <= background));
    }

    #[test]
    fn a_long_name_is_cut_off_and_many_names_are_not_all_kept() {
        let mut lettering = Lettering::new(10, 1, 200);
        assert_eq!(lettering.text(&"W".repeat(1_000_000)).width, 200);
        for number in 0..1000 {
            lettering.text(&number.to_string());
        }
        assert!(lettering.kept.len() <= MOST_KEPT);
    }

    proptest! {
        #[test]
        fn any_text_of_any_size_can_be_set(text in ".*", height in 1u32..80, border in 0u32..9, longest in 0u32..200) {
            let text = Lettering::new(height, border, longest).text(&text);
            prop_assert!(text.width <= longest);
            prop_assert_eq!(text.letters.cover.len(), text.background.cover.len());
        }
    }
}
