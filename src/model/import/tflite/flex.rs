//! FlexBuffers, in which custom operations keep their options: a map from names to numbers and lists of numbers.
//!
//! Format: <https://flatbuffers.dev/flatbuffers_internals/#flexbuffers>. The last byte is the root's width, the one before its
//! type (the upper six bits; the lower two are the width of what lies inside), the root before them. Offsets lead backwards.

use std::collections::BTreeMap;

use super::flat::Fault;

/// Most entries of a map, and most numbers of a list.
const LARGEST: usize = 1024;

/// A number, or a list of them.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum FlexValue {
    Number(f64),
    List(Vec<f64>),
}

/// The map that `bytes` are.
pub(super) fn map(bytes: &[u8]) -> Result<BTreeMap<String, FlexValue>, Fault> {
    read(bytes).ok_or_else(|| "is damaged: an operation's options cannot be read".into())
}

// Types that are read.
const INT: u8 = 1;
const UINT: u8 = 2;
const FLOAT: u8 = 3;
const INDIRECT_FLOAT: u8 = 8;
const MAP: u8 = 9;
const VECTOR: u8 = 10;
const VECTOR_INT: u8 = 11;
const VECTOR_FLOAT: u8 = 13;
const BOOL: u8 = 26;

fn read(bytes: &[u8]) -> Option<BTreeMap<String, FlexValue>> {
    let [.., kind, width] = *bytes else { return None };
    let at = bytes.len().checked_sub(2 + usize::from(width))?;
    if kind >> 2 != MAP {
        return None;
    }
    let this = Reader(bytes);
    let (start, width) = (this.back(at, width.into())?, 1 << (kind & 3));
    let count = this.uint(start.checked_sub(width)?, width)?;
    let keys = this.back(start.checked_sub(3 * width)?, width)?;
    let key_width = this.uint(start.checked_sub(2 * width)?, width)?;
    if count > LARGEST || !matches!(key_width, 1 | 2 | 4 | 8) {
        return None;
    }
    let entry = |index: usize| {
        let key = this.text(this.back(keys.checked_add(index * key_width)?, key_width)?)?;
        let kind = this.uint(start + count * width + index, 1)? as u8;
        Some((key, this.value(start + index * width, width, kind)?))
    };
    (0..count).map(entry).collect()
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn uint(&self, at: usize, width: usize) -> Option<usize> {
        let bytes = self.0.get(at..at.checked_add(width)?)?;
        usize::try_from(bytes.iter().rev().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte))).ok()
    }

    /// Where the offset at `at` leads.
    fn back(&self, at: usize, width: usize) -> Option<usize> {
        at.checked_sub(self.uint(at, width)?)
    }

    fn text(&self, at: usize) -> Option<String> {
        let rest = self.0.get(at..)?;
        let end = rest.iter().take(LARGEST).position(|byte| *byte == 0)?;
        String::from_utf8(rest[..end].to_vec()).ok()
    }

    fn number(&self, at: usize, width: usize, kind: u8) -> Option<f64> {
        let bytes = self.0.get(at..at.checked_add(width)?)?;
        match (kind, width) {
            (FLOAT, 4) => Some(f32::from_le_bytes(bytes.try_into().ok()?).into()),
            (FLOAT, 8) => Some(f64::from_le_bytes(bytes.try_into().ok()?)),
            (UINT | BOOL, _) => self.uint(at, width).map(|value| value as f64),
            (INT, _) => {
                let value = self.uint(at, width)? as u64;
                let unused = 64 - 8 * width as u32;
                Some((((value << unused) as i64) >> unused) as f64)
            }
            _ => None,
        }
    }

    fn value(&self, at: usize, width: usize, packed: u8) -> Option<FlexValue> {
        let (kind, inner) = (packed >> 2, 1usize << (packed & 3));
        match kind {
            INT | UINT | FLOAT | BOOL => self.number(at, width, kind).map(FlexValue::Number),
            INDIRECT_FLOAT => self.number(self.back(at, width)?, inner, FLOAT).map(FlexValue::Number),
            VECTOR | VECTOR_INT..=VECTOR_FLOAT => {
                let start = self.back(at, width)?;
                let count = self.uint(start.checked_sub(inner)?, inner).filter(|count| *count <= LARGEST)?;
                let of = |index: usize| {
                    let kind = match kind {
                        VECTOR => (self.uint(start + count * inner + index, 1)? >> 2) as u8,
                        typed => typed - VECTOR_INT + INT,
                    };
                    self.number(start + index * inner, inner, kind)
                };
                (0..count).map(of).collect::<Option<_>>().map(FlexValue::List)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Written by the Python package flatbuffers 25.12.19: `flexbuffers.Dumps({'a': -2, 'b': [1, 2, 300], 'c': 1.5})`.
    const SAMPLE: &[u8] = include_bytes!("../../../../tests/import/options.flex");

    #[test]
    fn what_another_program_wrote_is_read() {
        let map = map(SAMPLE).unwrap();
        assert_eq!(map["a"], FlexValue::Number(-2.0));
        assert_eq!(map["b"], FlexValue::List(vec![1.0, 2.0, 300.0]));
        assert_eq!(map["c"], FlexValue::Number(1.5));
        assert_eq!(map.len(), 3);
    }

    proptest! {
        #[test]
        fn altered_options_are_read_or_refused_without_panic(
            changes in prop::collection::vec((0..SAMPLE.len(), any::<u8>()), 1..5), cut in 0..=SAMPLE.len(),
        ) {
            let mut bytes = SAMPLE.to_vec();
            for (offset, value) in changes {
                bytes[offset] = value;
            }
            bytes.truncate(cut);
            let _ = map(&bytes);
        }
    }
}
