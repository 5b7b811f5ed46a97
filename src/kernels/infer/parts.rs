//! Work on one image that several threads share, split by panels of output channels. A panel's results are contiguous,
//! and no number depends on which thread computes it.

use super::blocks::Buffer;
use crate::kernels::simd::Instructions;

/// Multiplications that justify another thread: twice what one core does in the 20 microseconds or so that waking a
/// thread takes.
const WORTH: usize = 2 << 20;

/// A thread's memory for intermediate values.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Rows between two convolutions.
    pub between: Buffer,
    /// Inputs of products in bfloat16.
    pub words: Buffer<u32>,
}

/// Work on panels that do not depend on each other.
pub trait Panels: Sized + Send {
    /// Number of panels.
    fn panels(&self) -> usize;
    /// Number of multiplications in all panels.
    fn multiplications(&self) -> usize;
    /// Splits the work into the first `panels` and the rest.
    fn split(self, panels: usize) -> (Self, Self);
    /// Does all the work in this thread.
    fn run(self, scratch: &mut Scratch, instructions: Instructions);
}

/// Does `work` in as many threads as it justifies, at most one for each `scratch`.
pub fn run<W: Panels>(work: W, rooms: &mut [Scratch], instructions: Instructions) {
    let panels = work.panels();
    let parts = rooms.len().min(panels).min(work.multiplications() / WORTH);
    let [scratch, ..] = rooms else { return };
    if parts < 2 {
        return work.run(scratch, instructions);
    }
    let here = parts / 2;
    let (first, others) = work.split(panels * here / parts);
    let (rooms, other_rooms) = rooms[..parts].split_at_mut(here);
    rayon::join(|| run(first, rooms, instructions), || run(others, other_rooms, instructions));
}
