//! Whether a file ends as its kind of container ends, where FFmpeg takes any end for the end.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use super::boxes;

/// Enough for the last page of an Ogg file (at most 65,307 bytes, RFC 3533, section 6).
const TAIL: u64 = 65_307;

/// Why the file at `path`, of FFmpeg's format `container`, was cut off; nothing where it was not, or where that cannot be known.
/// `packets_end` is where the last packet of the video ends in it.
pub(super) fn cut_off(path: &Path, container: &str, packets_end: Option<u64>) -> io::Result<Option<&'static str>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    Ok(match container {
        "gif" => {
            let tail = tail(&mut file, length)?;
            // GIF89a, section 27: the trailer is one byte, which encoders pad with zeros.
            let last = tail.iter().rev().find(|byte| **byte != 0);
            (last != Some(&0x3b)).then_some("the trailer is missing")
        }
        "ogg" => {
            let tail = tail(&mut file, length)?;
            let page = tail.windows(4).rposition(|bytes| bytes == b"OggS");
            // RFC 3533, section 6: bit 3 of the header type marks the last page of a stream.
            let is_last = page.and_then(|page| tail.get(page + 5)).is_some_and(|kind| kind & 4 != 0);
            (!is_last).then_some("the last page is missing")
        }
        // ISO/IEC 13818-1: 188 bytes, 192 with a time code (Blu-ray), 204 with error correction (DVB).
        "mpegts" => {
            let is_whole = [188, 192, 204].iter().any(|size| length.is_multiple_of(*size));
            (!is_whole).then_some("the last transport packet is cut")
        }
        _ if container.starts_with("mov") => (!boxes::is_whole(&file)?).then_some("its last box is cut"),
        _ if container.starts_with("matroska") => {
            let is_cut = segment_end(&mut file)?.is_some_and(|end| end > length);
            is_cut.then_some("its segment is cut")
        }
        "yuv4mpegpipe" | "dv" => packets_end.is_some_and(|end| end != length).then_some("the last frame is cut"),
        _ => None,
    })
}

fn tail(file: &mut File, length: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail)?;
    Ok(tail)
}

/// Where the segment of a Matroska file ends, where it says (RFC 8794, section 4; RFC 9559, section 4.5).
fn segment_end(file: &mut File) -> io::Result<Option<u64>> {
    file.rewind()?;
    let mut head = Vec::new();
    file.take(4096).read_to_end(&mut head)?;
    let mut at = 0;
    // The EBML header, perhaps something void, the segment.
    for _ in 0..8 {
        let Some((id, size, content)) = element(&head, at) else { return Ok(None) };
        if id == SEGMENT {
            return Ok(size.map(|size| size.saturating_add(content as u64)));
        }
        let Some(next) = size.and_then(|size| usize::try_from(size).ok()?.checked_add(content)) else {
            return Ok(None);
        };
        at = next;
    }
    Ok(None)
}

const SEGMENT: u64 = 0x1853_8067;

/// Id of the EBML element at `at`, its size where it is known, and where its content begins.
fn element(bytes: &[u8], at: usize) -> Option<(u64, Option<u64>, usize)> {
    let number = |at: usize| {
        let length = bytes.get(at)?.leading_zeros() as usize + 1;
        let number = bytes.get(at..at + length).filter(|_| length <= 8)?;
        Some((number.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)), length))
    };
    let (id, id_length) = number(at)?;
    let (size, size_length) = number(at + id_length)?;
    let mask = (1u64 << (7 * size_length)) - 1;
    // All ones stand for 'not known'.
    let size = Some(size & mask).filter(|size| *size != mask);
    Some((id, size, at + id_length + size_length))
}

/// Whether most packets of a transport stream are scrambled (ISO/IEC 13818-1, 2.4.3.2: transport_scrambling_control).
pub(super) fn is_scrambled(path: &Path) -> io::Result<bool> {
    let mut head = Vec::new();
    File::open(path)?.take(1 << 20).read_to_end(&mut head)?;
    let rows = |size: usize, first: usize| head.get(first..).unwrap_or_default().chunks_exact(size);
    let sizes = [(188, 0), (192, 4), (204, 0)];
    let is_aligned = |(size, first): &(usize, usize)| rows(*size, *first).all(|packet| packet[0] == 0x47);
    let Some((size, first)) = sizes.into_iter().find(is_aligned) else { return Ok(false) };
    let scrambled = rows(size, first).filter(|packet| packet[3] & 0xc0 != 0).count();
    Ok(2 * scrambled > rows(size, first).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_says_where_it_ends() {
        let header = [0x1a, 0x45, 0xdf, 0xa3, 0x82, 0x42, 0x86];
        let known = [&header[..], &[0x18, 0x53, 0x80, 0x67, 0x40, 0x64], &[0; 50]].concat();
        assert_eq!(element(&known, 0), Some((0x1a45_dfa3, Some(2), 5)));
        let end = |bytes: &[u8]| {
            let mut file = tempfile::tempfile().unwrap();
            std::io::Write::write_all(&mut file, bytes).unwrap();
            segment_end(&mut file).unwrap()
        };
        assert_eq!(end(&known), Some(13 + 100));
        let live = [&header[..], &[0x18, 0x53, 0x80, 0x67, 0x01, 255, 255, 255, 255, 255, 255, 255]].concat();
        assert_eq!(end(&live), None);
        assert_eq!(end(&[0; 30]), None);
    }
}
