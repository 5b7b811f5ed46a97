//! Whether a file ends as its kind of container ends, where FFmpeg takes any end for the end.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// Enough for the last page of an Ogg file (at most 65,307 bytes, RFC 3533, section 6).
const TAIL: u64 = 65_307;

/// Why the file at `path`, of FFmpeg's format `container`, was cut off; nothing where it was not, or nobody can know.
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
