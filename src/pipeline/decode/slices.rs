//! Whether a packet holds a picture at all. Encoders put supplemental information (SEI) into packets of their own; decoders refuse
//! these, and nothing is lost.

use ffmpeg_next::codec::Id;

/// How a stream's packets are divided into units (ITU-T H.264, 7.4.1; H.265, 7.4.2).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Units {
    /// Units of H.264, each behind its length in so many bytes, or behind start codes where that number is absent.
    Avc(Option<usize>),
    /// The same of H.265.
    Hevc(Option<usize>),
    /// Of another codec: every packet is taken to hold a picture.
    Other,
}

impl Units {
    /// Of a stream with this codec and extra data (ISO/IEC 14496-15, 5.3.3 and 8.3.3).
    pub(super) fn of(codec: Id, extra: &[u8]) -> Self {
        let length =
            |at: usize| (extra.first() == Some(&1)).then(|| extra.get(at).map_or(4, |b| usize::from(b & 3) + 1));
        match codec {
            Id::H264 => Self::Avc(length(4)),
            Id::HEVC => Self::Hevc(length(21)),
            _ => Self::Other,
        }
    }

    /// Whether a packet has a slice of a picture, or is too damaged to tell.
    pub(super) fn hold_a_picture(self, packet: &[u8]) -> bool {
        let (length, is_slice): (_, fn(u8) -> bool) = match self {
            Self::Avc(length) => (length, |head| (1..=5).contains(&(head & 31))),
            Self::Hevc(length) => (length, |head| head >> 1 & 63 < 32),
            Self::Other => return true,
        };
        match length {
            Some(length) => heads_behind_lengths(packet, length).any(|head| head.is_none_or(is_slice)),
            None => {
                let mut heads =
                    packet.windows(4).filter(|bytes| bytes[..3] == [0, 0, 1]).map(|bytes| bytes[3]).peekable();
                heads.peek().is_none() || heads.any(is_slice)
            }
        }
    }
}

/// First byte of each unit; `None` for one that is longer than what is there.
fn heads_behind_lengths(packet: &[u8], length: usize) -> impl Iterator<Item = Option<u8>> {
    let mut rest = packet;
    std::iter::from_fn(move || {
        let (bytes, units) = rest.split_at_checked(length)?;
        let size = bytes.iter().fold(0, |size, byte| size << 8 | usize::from(*byte));
        let unit = units.get(..size).filter(|unit| !unit.is_empty());
        rest = units.get(size..).unwrap_or_default();
        Some(unit.map(|unit| unit[0]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_slices_make_a_picture() {
        let (avc, start_codes) = (Units::Avc(Some(4)), Units::Avc(None));
        let (sei, slice) = ([0, 0, 0, 2, 6, 5], [0, 0, 0, 3, 0x41, 9, 9]);
        assert!(!avc.hold_a_picture(&sei));
        assert!(avc.hold_a_picture(&[&sei[..], &slice].concat()));
        assert!(!start_codes.hold_a_picture(&[0, 0, 0, 1, 9, 0xf0, 0, 0, 1, 6, 5, 4]));
        assert!(start_codes.hold_a_picture(&[0, 0, 0, 1, 9, 0xf0, 0, 0, 1, 0x65, 5, 4]));
        let hevc = Units::of(Id::HEVC, &[&[1; 21][..], &[3]].concat());
        assert_eq!(hevc, Units::Hevc(Some(4)));
        assert!(!hevc.hold_a_picture(&[0, 0, 0, 2, 39 << 1, 1]));
        assert!(hevc.hold_a_picture(&[0, 0, 0, 2, 1 << 1, 1]));
        // Nobody knows what damaged packets held.
        assert!(avc.hold_a_picture(&[255, 255, 255, 255]));
        assert!(avc.hold_a_picture(&[0, 0, 0, 9, 6, 5]));
        assert!(start_codes.hold_a_picture(&[0x55; 40]));
        assert!(Units::Other.hold_a_picture(&[]));
    }
}
