//! Tables of separated values as people's spreadsheets save them.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Cursor, ErrorKind, Read};
use std::path::Path;

/// Tables of millions of images; what is behind that is not read.
const LARGEST: u64 = 4 << 30;
/// UTF-16 is unfolded in memory, so that less of it is read.
const LARGEST_UTF16: u64 = 256 << 20;

/// A reader of records, whatever it reads from.
pub(crate) type Reader<'a> = csv::Reader<Box<dyn Read + 'a>>;

/// Opens a table: UTF-8, or UTF-16 with its byte order mark, with commas, semicolons or tabs between the cells. Header cells
/// come without blanks about them; `trim` says whether the others do.
///
/// # Errors
/// If the file cannot be read, is not a file, or begins as UTF-16 and is not.
pub(crate) fn open(path: &Path, trim: csv::Trim) -> io::Result<Reader<'static>> {
    let file = File::open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return Err(io::Error::new(ErrorKind::IsADirectory, "it is a folder"));
    }
    Ok(reader(file, trim)?.0)
}

/// As [`open`], from what `text` gives, with the separator.
///
/// # Errors
/// Likewise.
pub(crate) fn reader<'a>(text: impl Read + 'a, trim: csv::Trim) -> io::Result<(Reader<'a>, u8)> {
    let mut text = BufReader::with_capacity(1 << 16, text.take(LARGEST));
    let start = text.fill_buf()?;
    let text: Box<dyn Read + 'a> = match start {
        [0xff, 0xfe, ..] => Box::new(Cursor::new(from_utf16(text, u16::from_le_bytes)?)),
        [0xfe, 0xff, ..] => Box::new(Cursor::new(from_utf16(text, u16::from_be_bytes)?)),
        [_, 0, ..] | [0, ..] => {
            let reason = "it holds zero bytes, as UTF-16 without its byte order mark does; save it as UTF-8";
            return Err(io::Error::new(ErrorKind::InvalidData, reason));
        }
        _ => Box::new(text),
    };
    let mut text = BufReader::with_capacity(1 << 16, text);
    let separator = separator(text.fill_buf()?);
    let reader =
        csv::ReaderBuilder::new().delimiter(separator).trim(trim).from_reader(Box::new(text) as Box<dyn Read + 'a>);
    Ok((reader, separator))
}

/// What stands between the cells of the first line.
fn separator(start: &[u8]) -> u8 {
    let line = start.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    let count = |separator: u8| line.iter().filter(|byte| **byte == separator).count();
    // A comma where there is no more of another.
    [b',', b';', b'\t'].into_iter().rev().max_by_key(|separator| count(*separator)).unwrap_or(b',')
}

/// A whole file's text: UTF-8, or UTF-16 with its byte order mark.
///
/// # Errors
/// If it is neither.
#[cfg(any(test, all(feature = "video", feature = "train")))]
pub(crate) fn text_of(bytes: &[u8]) -> io::Result<String> {
    let bytes = match bytes {
        [0xff, 0xfe, ..] => from_utf16(bytes, u16::from_le_bytes)?,
        [0xfe, 0xff, ..] => from_utf16(bytes, u16::from_be_bytes)?,
        bytes => bytes.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(bytes).to_vec(),
    };
    String::from_utf8(bytes).map_err(|e| io::Error::new(ErrorKind::InvalidData, format!("it is not UTF-8: {e}")))
}

fn from_utf16(text: impl Read, unit: fn([u8; 2]) -> u16) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    text.take(LARGEST_UTF16 + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_UTF16 {
        return Err(io::Error::new(ErrorKind::FileTooLarge, "it is too large for UTF-16; save it as UTF-8"));
    }
    let units = bytes.as_chunks::<2>().0.iter().skip(1).map(|pair| unit(*pair));
    let text: Result<String, _> = char::decode_utf16(units).collect();
    text.map(String::into_bytes).map_err(|e| io::Error::new(ErrorKind::InvalidData, format!("it is not UTF-16: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(bytes: &[u8]) -> Vec<Vec<String>> {
        let (mut reader, _) = reader(bytes, csv::Trim::All).unwrap();
        let headers = reader.headers().unwrap().iter().map(str::to_owned).collect();
        let records = reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect());
        std::iter::once(headers).chain(records).collect()
    }

    #[test]
    fn whatever_a_spreadsheet_saves_gives_the_same_cells() {
        let wanted = [["path", "label"], ["ä, b.png", "fear"]];
        let utf16 = |text: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            std::iter::once('\u{feff}').chain(text.chars()).collect::<String>().encode_utf16().flat_map(bytes).collect()
        };
        let semicolons = "path; label\r\nä, b.png; fear\r\n";
        for bytes in [
            "path, label\n\"ä, b.png\",fear\n".as_bytes().to_vec(),
            "\u{feff}path,label\n\"ä, b.png\",fear\n".as_bytes().to_vec(),
            semicolons.as_bytes().to_vec(),
            "path\tlabel\nä, b.png\tfear\n".as_bytes().to_vec(),
            utf16(semicolons, u16::to_le_bytes),
            utf16("path\tlabel\nä, b.png\tfear", u16::to_be_bytes),
        ] {
            assert_eq!(cells(&bytes), wanted, "{bytes:?}");
        }
    }

    #[test]
    fn utf16_without_its_mark_and_broken_utf16_are_named() {
        let message = |bytes: &[u8]| reader(bytes, csv::Trim::All).err().unwrap().to_string();
        assert!(message(b"p\0a\0t\0h\0").contains("byte order mark"));
        assert!(message(b"\xff\xfe\x00\xd8a\0").contains("not UTF-16"));
    }
}
