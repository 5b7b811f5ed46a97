//! Whether it is memory that a decoder lacks.
#![expect(unsafe_code, reason = "FFmpeg's allocator")]

use ffmpeg_next as ffmpeg;
use ffmpeg_next::ffi;

/// Whether an error says so itself.
pub(super) fn is_out_of_memory(error: ffmpeg::Error) -> bool {
    error == ffmpeg::Error::Other { errno: ffmpeg::error::ENOMEM }
}

/// Pictures that a decoder may hold at once in the most common structures of references: what it gave back when it failed, too.
const PICTURES: usize = 4;
/// The most that a pixel of a decoded picture takes, with what a decoder keeps beside it.
const BYTES_PER_PIXEL: u64 = 4;
/// What else a decoder allocates at a time.
const REST: u64 = 4 << 20;

/// Whether memory for a few pictures of this size is not to be had. Decoders that get none mostly call the packet damaged, in words
/// that they use for true damage too; they have given back part of what they held by then.
pub(super) fn is_short(width: u32, height: u32) -> bool {
    let bytes = u64::from(width) * u64::from(height) * BYTES_PER_PIXEL + REST;
    // One allocation of FFmpeg's is never larger.
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).min(i32::MAX as usize);
    // SAFETY: allocates untouched memory, or gives null.
    let blocks = [(); PICTURES].map(|()| unsafe { ffi::av_malloc(bytes) });
    let is_short = blocks.iter().any(|block| block.is_null());
    for block in blocks {
        // SAFETY: allocated above and not used; null is allowed.
        unsafe { ffi::av_free(block) };
    }
    is_short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_for_lack_of_memory_is_known() {
        assert!(is_out_of_memory(ffmpeg::Error::from(ffi::AVERROR(ffmpeg::error::ENOMEM))));
        assert!(!is_out_of_memory(ffmpeg::Error::InvalidData));
    }

    #[test]
    fn memory_for_a_small_picture_is_there() {
        assert!(!is_short(64, 64));
    }
}
