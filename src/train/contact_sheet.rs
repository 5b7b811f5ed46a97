//! A picture of what is in a data set: a line a class, with pictures drawn evenly from it.

use image::imageops::{FilterType, overlay, resize};
use image::{Rgb, RgbImage};

use super::dataset::{self, DatasetError};
use super::manifest::{Row, Split};
use crate::palette;
use crate::picture::Colours;
use crate::timeline::Expression;

/// Side of a picture on the sheet, pixels.
const CELL: u32 = 72;
/// Room to the left for the class's name.
const MARGIN: u32 = 120;
const BACKGROUND: Rgb<u8> = Rgb([250, 250, 250]);

/// Lays out up to `columns` pictures of every class that occurs. Rows without a label are not shown.
///
/// # Errors
/// If a picture cannot be read.
pub fn contact_sheet(rows: &[Row], columns: usize) -> Result<RgbImage, DatasetError> {
    let classes: Vec<(Expression, Vec<&Row>)> = Expression::ALL
        .into_iter()
        .map(|class| (class, rows.iter().filter(|row| row.label == Some(class)).collect::<Vec<_>>()))
        .filter(|(_, rows)| !rows.is_empty())
        .collect();
    let mut sheet = RgbImage::from_pixel(MARGIN + columns as u32 * CELL, classes.len() as u32 * CELL, BACKGROUND);
    for (line, (class, rows)) in (0..).zip(&classes) {
        let top = line * CELL;
        write(&mut sheet, [8, top + 12], class.name(), ink(*class));
        write(&mut sheet, [8, top + 36], &rows.len().to_string(), Rgb([90, 90, 90]));
        let shown = columns.min(rows.len());
        // All as one split, as the loader gives one at a time.
        let chosen: Vec<Row> =
            (0..shown).map(|index| Row { split: Split::Train, ..rows[index * rows.len() / shown].clone() }).collect();
        for (column, example) in (0..).zip(dataset::load(&chosen, Split::Train, Colours::Rgb)?) {
            let picture = example.picture()?;
            let (width, height) = (picture.width as u32, picture.height as u32);
            let Some(image) = RgbImage::from_raw(width, height, picture.samples().to_vec()) else { continue };
            let scale = f64::from(CELL - 4) / f64::from(width.max(height));
            let size = |side: u32| ((f64::from(side) * scale) as u32).max(1);
            let small = resize(&image, size(width), size(height), FilterType::Triangle);
            overlay(&mut sheet, &small, i64::from(MARGIN + column * CELL + 2), i64::from(top + 2));
        }
    }
    Ok(sheet)
}

fn ink(class: Expression) -> Rgb<u8> {
    let colour = palette::colour_of(class);
    Rgb([colour.red, colour.green, colour.blue])
}

/// Rows of five bits, the leftmost highest, for the letters of the classes' names and the digits.
const GLYPHS: [(char, [u8; 7]); 27] = [
    ('a', [0, 0, 14, 1, 15, 17, 15]),
    ('c', [0, 0, 14, 17, 16, 17, 14]),
    ('d', [1, 1, 15, 17, 17, 17, 15]),
    ('e', [0, 0, 14, 17, 31, 16, 14]),
    ('f', [6, 9, 8, 28, 8, 8, 8]),
    ('g', [0, 0, 15, 17, 15, 1, 14]),
    ('h', [16, 16, 30, 17, 17, 17, 17]),
    ('i', [4, 0, 12, 4, 4, 4, 14]),
    ('l', [12, 4, 4, 4, 4, 4, 14]),
    ('n', [0, 0, 30, 17, 17, 17, 17]),
    ('p', [0, 0, 30, 17, 30, 16, 16]),
    ('r', [0, 0, 22, 25, 16, 16, 16]),
    ('s', [0, 0, 15, 16, 14, 1, 30]),
    ('t', [8, 8, 28, 8, 8, 9, 6]),
    ('u', [0, 0, 17, 17, 17, 17, 15]),
    ('o', [0, 0, 14, 17, 17, 17, 14]),
    ('m', [0, 0, 26, 21, 21, 21, 21]),
    ('0', [14, 17, 19, 21, 25, 17, 14]),
    ('1', [4, 12, 4, 4, 4, 4, 14]),
    ('2', [14, 17, 1, 2, 4, 8, 31]),
    ('3', [31, 2, 4, 2, 1, 17, 14]),
    ('4', [2, 6, 10, 18, 31, 2, 2]),
    ('5', [31, 16, 30, 1, 1, 17, 14]),
    ('6', [6, 8, 16, 30, 17, 17, 14]),
    ('7', [31, 1, 2, 4, 8, 8, 8]),
    ('8', [14, 17, 17, 14, 17, 17, 14]),
    ('9', [14, 17, 17, 15, 1, 2, 12]),
];

/// Writes `text` with dots of two by two pixels, its top left corner at `[x, y]`.
fn write(sheet: &mut RgbImage, [x, y]: [u32; 2], text: &str, ink: Rgb<u8>) {
    for (index, character) in (0..).zip(text.chars()) {
        let Some((_, rows)) = GLYPHS.iter().find(|(known, _)| *known == character) else { continue };
        for (row, bits) in (0..).zip(rows) {
            for column in (0..5).filter(|column| bits >> (4 - column) & 1 == 1) {
                let (left, top) = (x + index * 12 + column * 2, y + row * 2);
                for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                    if left + dx < MARGIN && top + dy < sheet.height() {
                        sheet.put_pixel(left + dx, top + dy, ink);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_of_every_class_can_be_written() {
        for class in Expression::ALL {
            for letter in class.name().chars() {
                assert!(GLYPHS.iter().any(|(known, _)| *known == letter), "{letter}");
            }
        }
    }

    #[test]
    fn a_line_a_class_and_its_pictures_from_left_to_right() {
        let folder = tempfile::tempdir().unwrap();
        let mut rows = Vec::new();
        for (index, (class, colour)) in
            [(Expression::Anger, [255, 0, 0]), (Expression::Fear, [0, 0, 255]), (Expression::Anger, [0, 255, 0])]
                .into_iter()
                .enumerate()
        {
            let path = folder.path().join(format!("{index}.png"));
            RgbImage::from_pixel(9, 9, Rgb(colour)).save(&path).unwrap();
            let mut row = Row::new(path, Split::Test);
            row.label = Some(class);
            rows.push(row);
        }
        let sheet = contact_sheet(&rows, 3).unwrap();
        assert_eq!(sheet.dimensions(), (MARGIN + 3 * CELL, 2 * CELL));
        let at = |column: u32, line: u32| sheet.get_pixel(MARGIN + column * CELL + CELL / 2, line * CELL + CELL / 2).0;
        assert_eq!([at(0, 0), at(0, 1), at(1, 1)], [[0, 0, 255], [255, 0, 0], [0, 255, 0]]);
        assert_eq!(at(1, 0), BACKGROUND.0);
    }
}
