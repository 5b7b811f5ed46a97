//! Channels in blocks of constant width, so that a block's sums stay in vector registers while a loop runs over pixels.

/// Work on the channels from `first` to `first + LANES`.
pub(super) trait Blocks {
    /// Does the work.
    fn block<const LANES: usize>(&mut self, first: usize);
}

/// Calls `blocks` for all of `channels`, in the widest blocks that fit: four AVX-512 registers, one, half of one, a
/// single lane.
#[inline(always)]
pub(super) fn over_channels(channels: usize, blocks: &mut impl Blocks) {
    let mut first = 0;
    while first + 64 <= channels {
        blocks.block::<64>(first);
        first += 64;
    }
    while first + 16 <= channels {
        blocks.block::<16>(first);
        first += 16;
    }
    while first + 8 <= channels {
        blocks.block::<8>(first);
        first += 8;
    }
    while first < channels {
        blocks.block::<1>(first);
        first += 1;
    }
}

/// The `LANES` values from index `at` on.
#[inline(always)]
pub(super) fn lanes<const LANES: usize>(values: &[f32], at: usize) -> &[f32; LANES] {
    values[at..].first_chunk().expect("a block lies inside its slice")
}

/// As [`lanes`], mutable.
#[inline(always)]
pub(super) fn lanes_mut<const LANES: usize>(values: &mut [f32], at: usize) -> &mut [f32; LANES] {
    values[at..].first_chunk_mut().expect("a block lies inside its slice")
}
