//! One colour for each class: the same in the terminal, in ELAN, in subtitles and on pages.
//!
//! The seven chromatic colours come from Okabe and Ito (2008), "Color Universal Design: how to make figures and
//! presentations that are friendly to colorblind people", figure 16. People with any common kind of colour vision can
//! tell them apart. If a colour has a customary meaning (yellow joy, blue sorrow, red anger), its class has that
//! meaning.

use crate::timeline::{EventKind, Expression};

/// An sRGB colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Colour {
    /// Red, 0 to 255.
    pub red: u8,
    /// Green, 0 to 255.
    pub green: u8,
    /// Blue, 0 to 255.
    pub blue: u8,
}

/// The colour of frames without a face, or with a face that cannot be read: grey.
pub const NO_FACE: Colour = Colour { red: 128, green: 128, blue: 128 };

/// The colour of a class.
pub const fn colour_of(expression: Expression) -> Colour {
    let (red, green, blue) = match expression {
        Expression::Neutral => (86, 180, 233),   // sky blue
        Expression::Happiness => (240, 228, 66), // yellow
        Expression::Sadness => (0, 114, 178),    // blue
        Expression::Surprise => (230, 159, 0),   // orange
        Expression::Fear => (204, 121, 167),     // reddish purple
        Expression::Disgust => (0, 158, 115),    // bluish green
        Expression::Anger => (213, 94, 0),       // vermillion
    };
    Colour { red, green, blue }
}

/// The colour of an event. Kinds of one part of the face, which lie on one tier, can be told apart.
pub const fn colour_of_event(kind: EventKind) -> Colour {
    let (red, green, blue) = match kind {
        EventKind::BrowsRaised | EventKind::Nod => (230, 159, 0),
        EventKind::BrowsFurrowed | EventKind::Shake => (213, 94, 0),
        EventKind::Blink | EventKind::HeadRight => (86, 180, 233),
        EventKind::EyesClosed | EventKind::HeadLeft => (0, 114, 178),
        EventKind::MouthOpen | EventKind::HeadUp => (0, 158, 115),
        EventKind::MouthRounded | EventKind::TiltLeft => (204, 121, 167),
        EventKind::HeadDown => (130, 205, 175),
        EventKind::TiltRight => (145, 70, 115),
        EventKind::HandOnFace => (150, 105, 50),
    };
    Colour { red, green, blue }
}

impl Colour {
    /// The colour in HTML and SVG: `#rrggbb`.
    pub fn hex(self) -> String {
        format!("#{:02x}{:02x}{:02x}", self.red, self.green, self.blue)
    }

    /// The nearest entry of xterm's 6x6x6 colour cube, 16 to 231, for terminals of 256 colours.
    pub fn ansi256(self) -> u8 {
        const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
        let [red, green, blue] = [self.red, self.green, self.blue].map(|value| {
            let nearest = (0..6u8).min_by_key(|level| LEVELS[usize::from(*level)].abs_diff(value));
            nearest.expect("there are six levels")
        });
        16 + 36 * red + 6 * green + blue
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::timeline::FacePart;

    #[test]
    fn colours_differ_from_one_another_in_every_kind_of_terminal() {
        let colours = || Expression::ALL.map(colour_of).into_iter().chain([NO_FACE]);
        assert_eq!(colours().collect::<HashSet<_>>().len(), 8);
        assert_eq!(colours().map(Colour::ansi256).collect::<HashSet<_>>().len(), 8);
    }

    #[test]
    fn events_of_a_part_have_colours_of_their_own() {
        for part in FacePart::ALL {
            let colours: HashSet<Colour> = part.kinds().map(colour_of_event).collect();
            assert_eq!(colours.len(), part.kinds().count(), "{part:?}");
        }
    }

    #[test]
    fn the_cube_is_xterms() {
        let entry = |red, green, blue| Colour { red, green, blue }.ansi256();
        assert_eq!((entry(0, 0, 0), entry(255, 255, 255), entry(255, 0, 0), entry(95, 135, 175)), (16, 231, 196, 67));
    }
}
