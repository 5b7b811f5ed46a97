//! How the CUDA kernels' work is laid out over blocks and threads. This is plain arithmetic, so the tests need no card.

use super::Window;

/// Threads in a block where each thread has one element.
const THREADS: u32 = 256;
/// Channels and rows of a block that sums over pixels: `over_rows` in kernels.cu.
const COLUMN_THREADS: (u32, u32, u32) = (32, 8, 1);
/// Fewest pixels in a piece of a sum, so that all 8 rows of threads have work.
const PIECE: u32 = 256;
/// Most pieces that a sum is split into.
const PIECES: u32 = 64;

/// Channels that a thread of the inference kernels computes: `GROUP` in kernels.cu.
pub const GROUP: usize = 4;

/// Batches in flight on a card: one being computed, one being copied, one being put together.
pub const UNDER_WAY: usize = 3;

/// Blocks and threads of a launch, in x, y and z.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaunchGrid {
    /// Blocks.
    pub blocks: (u32, u32, u32),
    /// Threads of each.
    pub threads: (u32, u32, u32),
}

/// One thread for each of `count` elements.
pub fn elements(count: u32) -> LaunchGrid {
    LaunchGrid { blocks: (count.div_ceil(THREADS).max(1), 1, 1), threads: (THREADS, 1, 1) }
}

/// Sums over `rows` of each of `channels`: blocks of channels in x, pieces of the rows in y.
pub fn column_pieces(channels: usize, rows: u32) -> LaunchGrid {
    let blocks = (channels as u32).div_ceil(COLUMN_THREADS.0);
    LaunchGrid { blocks: (blocks, pieces(rows), 1), threads: COLUMN_THREADS }
}

/// Sums over the pixels of each of `channels` in each of `images`: blocks of channels in x, images in y.
pub fn image_columns(channels: usize, images: u32) -> LaunchGrid {
    let blocks = (channels as u32).div_ceil(COLUMN_THREADS.0);
    LaunchGrid { blocks: (blocks, images, 1), threads: COLUMN_THREADS }
}

/// Sums over `pixels` of each of `channels` for each of `taps`: blocks of channels in x, taps in y, pieces in z.
pub fn columns(channels: usize, taps: usize, pixels: u32) -> LaunchGrid {
    let blocks = (channels as u32).div_ceil(COLUMN_THREADS.0);
    LaunchGrid { blocks: (blocks, taps as u32, pieces(pixels)), threads: COLUMN_THREADS }
}

fn pieces(rows: u32) -> u32 {
    rows.div_ceil(PIECE).clamp(1, PIECES)
}

/// Number of images in `length` values of `[images, height, width, channels]`.
pub fn images(length: usize, channels: usize, window: &Window) -> usize {
    length / (window.height * window.width * channels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_has_a_thread() {
        for count in [1, 255, 256, 257, 1_000_000, i32::MAX as u32] {
            let grid = elements(count);
            let threads = u64::from(grid.blocks.0) * u64::from(grid.threads.0);
            assert!(threads >= u64::from(count) && threads < u64::from(count) + u64::from(THREADS));
        }
    }

    #[test]
    fn sums_cover_channels_and_stay_within_the_grids_limits() {
        for (channels, taps, pixels) in [(1, 9, 1), (24, 25, 300), (1024, 9, 401_408), (2048, 49, i32::MAX as u32)] {
            let grid = columns(channels, taps, pixels);
            assert!(grid.blocks.0 as usize * 32 >= channels && grid.blocks.1 as usize == taps);
            // CUDA's limit in y and z.
            assert!(grid.blocks.1 <= 65_535 && (1..=PIECES).contains(&grid.blocks.2));
            assert_eq!(column_pieces(channels, pixels).blocks.1, grid.blocks.2);
            // Pieces of equal size reach the end.
            assert!(pixels.div_ceil(grid.blocks.2) as u64 * u64::from(grid.blocks.2) >= u64::from(pixels));
        }
    }
}
