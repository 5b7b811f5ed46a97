//! Work on one image that several threads share, by panels of output channels: a panel's results lie together, and no
//! number depends on who computes it.

use super::blocks::Buffer;
use crate::kernels::simd::Instructions;

/// Multiplications that are worth another thread, which takes some 20 microseconds to wake: twice as long.
const WORTH: usize = 2 << 20;

/// What a thread needs beside its results.
#[derive(Debug, Default)]
pub struct Room {
    /// Rows between two convolutions.
    pub between: Buffer,
    /// Inputs of products in bfloat16.
    pub words: Buffer<u32>,
}

/// Work whose panels do not depend on each other.
pub trait Panels: Sized + Send {
    /// How many there are.
    fn panels(&self) -> usize;
    /// Multiplications in all.
    fn multiplications(&self) -> usize;
    /// The first `panels` of them, and the others.
    fn split(self, panels: usize) -> (Self, Self);
    /// Does them all in this thread.
    fn run(self, room: &mut Room, instructions: Instructions);
}

/// Does `work` in as many threads as there are rooms and as it is worth.
pub fn run<W: Panels>(work: W, rooms: &mut [Room], instructions: Instructions) {
    let panels = work.panels();
    let parts = rooms.len().min(panels).min(work.multiplications() / WORTH);
    let [room, ..] = rooms else { return };
    if parts < 2 {
        return work.run(room, instructions);
    }
    let here = parts / 2;
    let (first, others) = work.split(panels * here / parts);
    let (rooms, other_rooms) = rooms[..parts].split_at_mut(here);
    rayon::join(|| run(first, rooms, instructions), || run(others, other_rooms, instructions));
}
