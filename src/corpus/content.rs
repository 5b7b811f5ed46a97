//! Whether a file without a video's ending begins like a video.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::files;

/// Enough for three packets of a transport stream with time codes, wherever in a packet the file begins.
const HEAD: u64 = 4 * 204;
/// The lengths of a transport stream's packets: plain, with time codes (AVCHD), with error correction.
const PACKETS: [usize; 3] = [188, 192, 204];

/// Beginnings of containers and streams that hold pictures.
const BEGINNINGS: [&[u8]; 16] = [
    b"\x1a\x45\xdf\xa3",                 // Matroska, WebM
    b"FLV\x01",                          // Flash
    b"OggS",                             // Ogg
    b"\0\0\x01\xba",                     // MPEG program stream: DVD, MOD, TOD
    b"\0\0\x01\xb3",                     // MPEG-1 and MPEG-2 video
    b"\0\0\0\x01\x67",                   // H.264 with its parameters first
    b"\0\0\0\x01\x40\x01",               // H.265 with its parameters first
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", // Windows Media
    b"\xb7\xd8\x00\x20\x37\x49\xda\x11", // Windows recorded television
    b"\x06\x0e\x2b\x34\x02\x05\x01\x01", // MXF
    b".RMF",                             // RealMedia
    b"DKIF",                             // IVF
    b"GIF8",                             // GIF
    b"YUV4MPEG2 ",                       // raw pictures
    b"nut/multimedia container",         // NUT
    b"\x1f\x07\0",                       // DV
];

/// What the `ftyp` box of MP4's relatives holds for still pictures and for sound alone.
const NO_VIDEO: [&[u8]; 11] =
    [b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"crx ", b"M4A ", b"M4B "];

/// Whether the file at `path` begins like a video; not where it cannot be read.
pub(super) fn begins_like_a_video(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = files::open_found(path).and_then(|file: File| file.take(HEAD).read_to_end(&mut head));
    read.is_ok() && is_video(&head)
}

fn is_video(head: &[u8]) -> bool {
    let at = |offset: usize, text: &[u8]| head.get(offset..).is_some_and(|rest| rest.starts_with(text));
    if at(4, b"ftyp") {
        return !NO_VIDEO.iter().any(|brand| at(8, brand));
    }
    // QuickTime files may begin with any of these boxes.
    let is_quicktime = [b"moov", b"mdat", b"wide", b"skip"].iter().any(|kind| at(4, *kind));
    let is_avi = at(0, b"RIFF") && at(8, b"AVI ");
    is_quicktime || is_avi || BEGINNINGS.iter().any(|beginning| at(0, beginning)) || is_transport_stream(head)
}

/// A byte 0x47 at the same offset of three packets.
fn is_transport_stream(head: &[u8]) -> bool {
    PACKETS.iter().any(|length| {
        (0..*length).any(|first| (0..3).all(|packet| head.get(first + packet * length) == Some(&0x47)))
            && head.len() >= 3 * length
    }) && !head.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn videos_are_told_from_texts_sounds_and_pictures() {
        let with = |text: &[u8]| [text, &[0xff; 700]].concat();
        for video in
            [&b"\0\0\0\x20ftypisom"[..], b"\0\0\0\x14ftypqt  ", b"RIFF\0\0\0\0AVI LIST", b"\0\0\x01\xba", b"OggS"]
        {
            assert!(is_video(&with(video)), "{video:?}");
        }
        for other in [&b"\0\0\0\x20ftypavif"[..], b"\0\0\0\x20ftypM4A ", b"RIFF\0\0\0\0WAVE", b"ID3", b"%PDF", b""] {
            assert!(!is_video(&with(other)), "{other:?}");
        }
        assert!(!is_video("G words, G words".repeat(60).as_bytes()));
        let mut stream = vec![0xffu8; 192 * 4];
        (0..4).for_each(|packet| stream[4 + packet * 192] = 0x47);
        assert!(is_video(&stream));
    }

    #[test]
    fn the_bundled_clip_is_a_video_whatever_it_is_called() {
        assert!(begins_like_a_video(Path::new("assets/demo/demo.mp4")));
        assert!(!begins_like_a_video(Path::new("README.md")));
    }
}
