//! NumPy's `.npy` files with one number, as AffectNet keeps each label.

use std::path::Path;

use crate::files;

/// One number has less than two hundred bytes.
const LARGEST: u64 = 4096;

/// The whole number in the file at `path`, stored as an integer, a float or text (NumPy format 1.0 to 3.0).
///
/// # Errors
/// What is wrong with the file.
pub(super) fn read_one(path: &Path) -> Result<i64, String> {
    let bytes = files::read_found(path, LARGEST).map_err(|e| e.to_string())?;
    parse_one(&bytes).ok_or_else(|| "not a NumPy file with one whole number".into())
}

fn parse_one(bytes: &[u8]) -> Option<i64> {
    let rest = bytes.strip_prefix(b"\x93NUMPY")?;
    let (&version, rest) = rest.split_first()?;
    let rest = rest.get(1..)?;
    let (length, rest) = match version {
        1 => (usize::from(u16::from_le_bytes(rest.get(..2)?.try_into().ok()?)), &rest[2..]),
        _ => (u32::from_le_bytes(rest.get(..4)?.try_into().ok()?) as usize, &rest[4..]),
    };
    let (header, data) = rest.split_at_checked(length)?;
    let header = std::str::from_utf8(header).ok()?;
    let descriptor = header.split("'descr':").nth(1)?.split('\'').nth(1)?;
    let mut characters = descriptor.chars();
    let is_big_endian = characters.next()? == '>';
    let kind = characters.next()?;
    let size: usize = characters.as_str().parse().ok()?;
    // Text is stored in four bytes a character.
    let width = if kind == 'U' { 4 } else { 1 };
    let data = data.get(..size.checked_mul(width)?)?;
    match kind {
        'U' | 'S' => {
            let text: String = data.iter().filter(|byte| **byte != 0).map(|byte| char::from(*byte)).collect();
            text.trim().parse().ok()
        }
        'i' | 'u' if size <= 8 => {
            let mut padded = [0; 8];
            for (index, byte) in data.iter().enumerate() {
                padded[if is_big_endian { size - 1 - index } else { index }] = *byte;
            }
            Some(i64::from_le_bytes(padded))
        }
        'f' if size == 8 && !is_big_endian => {
            let value = f64::from_le_bytes(data.try_into().ok()?);
            (value.fract() == 0.0).then_some(value as i64)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What `numpy.save` writes for an array of no dimensions.
    fn file(descriptor: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{descriptor}', 'fortran_order': False, 'shape': (), }}");
        let header = format!("{header:<117}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn numbers_are_read_as_text_integers_and_floats() {
        assert_eq!(parse_one(&file("<U1", b"3\0\0\0")), Some(3));
        assert_eq!(parse_one(&file("|S2", b"7\0")), Some(7));
        assert_eq!(parse_one(&file("<i8", &6i64.to_le_bytes())), Some(6));
        assert_eq!(parse_one(&file(">i4", &5i32.to_be_bytes())), Some(5));
        assert_eq!(parse_one(&file("|u1", &[2])), Some(2));
        assert_eq!(parse_one(&file("<f8", &4f64.to_le_bytes())), Some(4));
    }

    #[test]
    fn what_holds_no_whole_number_is_refused() {
        assert_eq!(parse_one(&file("<f8", &4.5f64.to_le_bytes())), None);
        assert_eq!(parse_one(&file("<i8", &[0; 3])), None);
        assert_eq!(parse_one(&file("|O", b"x")), None);
        assert_eq!(parse_one(b"\x93NUMPY\x01\x00\xff\xff"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(descriptor in "[<>|][a-zA-Z][0-9]{0,20}", data in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse_one(&data);
            let _ = parse_one(&file(&descriptor, &data));
        }
    }
}
