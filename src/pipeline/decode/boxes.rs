//! The boxes of an MP4 or QuickTime file (ISO/IEC 14496-12, 4.2), read without FFmpeg: only their heads, and a few counts.

use std::fs::File;
use std::io;
use std::ops::Range;

use crate::platform::read_exact_at;

/// More boxes side by side are not looked at; a fragment is two.
const MOST_BOXES: usize = 1 << 20;

/// A box: its type, and where its content lies in the file. That may lie beyond the end of what holds it.
#[derive(Debug, Clone)]
struct Box4 {
    kind: [u8; 4],
    content: Range<u64>,
}

/// The boxes that lie side by side in `range` of the file.
fn boxes(file: &File, range: Range<u64>) -> impl Iterator<Item = Box4> {
    let mut at = range.start;
    std::iter::from_fn(move || {
        let head: [u8; 8] = read(file, at, range.end)?;
        let kind = [head[4], head[5], head[6], head[7]];
        let (size, head_size) = match u32::from_be_bytes([head[0], head[1], head[2], head[3]]) {
            // It goes on to the end.
            0 => (range.end.saturating_sub(at), 8),
            1 => (u64::from_be_bytes(read(file, at + 8, range.end)?), 16),
            size => (u64::from(size), 8),
        };
        let content = at + head_size..at.checked_add(size).filter(|end| *end >= at + head_size)?;
        at = content.end;
        Some(Box4 { kind, content })
    })
    .take(MOST_BOXES)
}

fn read<const N: usize>(file: &File, at: u64, end: u64) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    at.checked_add(N as u64).filter(|after| *after <= end)?;
    read_exact_at(file, &mut bytes, at).ok()?;
    Some(bytes)
}

/// Whether the file begins as one of boxes.
fn is_of_boxes(file: &File) -> bool {
    let kind: Option<[u8; 8]> = read(file, 0, u64::MAX);
    kind.is_some_and(|head| {
        [b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp"].contains(&&[head[4], head[5], head[6], head[7]])
    })
}

/// Brands of still pictures that lie in boxes as videos do (ISO/IEC 23008-12, annex B; AV1 image file format, 6).
const PICTURES: [&[u8; 4]; 7] = [b"avif", b"heic", b"heix", b"heim", b"heis", b"mif1", b"mif2"];

/// Whether the file calls itself a still picture.
pub(super) fn is_picture(file: &File) -> bool {
    let head: Option<[u8; 12]> = read(file, 0, u64::MAX);
    head.is_some_and(|head| &head[4..8] == b"ftyp" && PICTURES.iter().any(|brand| head[8..] == brand[..]))
}

/// A track's edits and the samples that they choose from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Edits {
    pub(super) edits: u64,
    pub(super) samples: u64,
}

impl Edits {
    /// How many entries FFmpeg's index may get of them: each edit may show all samples.
    pub(super) fn entries(self) -> u64 {
        self.edits.saturating_mul(self.samples)
    }
}

/// The edits of the track for which they are dearest.
pub(super) fn edits(file: &File) -> io::Result<Edits> {
    let length = file.metadata()?.len();
    if !is_of_boxes(file) {
        return Ok(Edits::default());
    }
    let inside = |range: Range<u64>, kind: &'static [u8; 4]| {
        boxes(file, range).filter(move |found| found.kind == *kind).map(|found| found.content)
    };
    let first = |range: Option<Range<u64>>, kind| inside(range?, kind).next();
    let tracks = inside(0..length, b"moov").flat_map(|movie| inside(movie, b"trak"));
    let edits = tracks.map(|track| {
        let list = first(first(Some(track.clone()), b"edts"), b"elst");
        let table = first(first(first(Some(track), b"mdia"), b"minf"), b"stbl");
        let count = |content: Option<Range<u64>>, at: u64| {
            let content = content?;
            Some(u64::from(u32::from_be_bytes(read(file, content.start + at, content.end)?)))
        };
        let sizes = first(table.clone(), b"stsz").or_else(|| first(table, b"stz2"));
        Edits { edits: count(list, 4).unwrap_or(0), samples: count(sizes, 8).unwrap_or(0) }
    });
    Ok(edits.max_by_key(|edits| edits.entries()).unwrap_or_default())
}

/// Whether the last box lies whole in the file.
pub(super) fn is_whole(file: &File) -> io::Result<bool> {
    let length = file.metadata()?.len();
    let last = boxes(file, 0..length).last();
    // Bytes behind the last box belong to no box.
    Ok(!is_of_boxes(file) || last.is_none_or(|last| last.content.end <= length || !is_known(last.kind)))
}

/// Whether what looks like a box is one, not trailing bytes.
fn is_known(kind: [u8; 4]) -> bool {
    [b"moov", b"mdat", b"moof", b"free", b"skip", b"wide", b"mfra", b"sidx", b"udta", b"meta", b"uuid"].contains(&&kind)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn boxed(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        [&(content.len() as u32 + 8).to_be_bytes(), &kind[..], content].concat()
    }

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn edits_are_counted_where_they_are() {
        let numbers = |numbers: &[u32]| numbers.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<u8>>();
        let list = boxed(b"edts", &boxed(b"elst", &numbers(&[0, 70_000, 1, 2, 3])));
        let sizes = boxed(b"stbl", &boxed(b"stsz", &numbers(&[0, 0, 500])));
        let media = boxed(b"mdia", &boxed(b"minf", &sizes));
        let track = boxed(b"trak", &[list, media].concat());
        let movie = boxed(b"moov", &[boxed(b"mvhd", &[0; 100]), boxed(b"trak", &[]), track].concat());
        let bytes = [boxed(b"ftyp", b"isom"), boxed(b"mdat", &[0; 50]), movie].concat();
        assert_eq!(edits(&file(&bytes)).unwrap(), Edits { edits: 70_000, samples: 500 });
        assert!(is_whole(&file(&bytes)).unwrap());
        assert!(!is_whole(&file(&bytes[..bytes.len() - 1])).unwrap());
        assert!(is_whole(&file(&[&bytes[..], &[7; 30]].concat())).unwrap());
        assert_eq!(edits(&file(b"no boxes at all")).unwrap(), Edits::default());
    }
}
