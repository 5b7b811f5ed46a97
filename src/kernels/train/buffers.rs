//! Memory for what a training step holds between its forward and its backward pass, used again in the next step: fresh pages
//! have to be cleared by the system first, and zeros that are overwritten are a pass over memory for nothing.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Buffers that nobody uses, by length.
#[derive(Debug, Default)]
pub struct BufferPool(Mutex<BTreeMap<usize, Vec<Vec<f32>>>>);

impl BufferPool {
    /// `length` values, whatever they are; they go back when they are dropped.
    pub fn take(self: &Arc<Self>, length: usize) -> PooledBuffer {
        let mut free = self.lock();
        // A much longer one is left for those that need it.
        let fitting = free.range_mut(length..=2 * length).find_map(|(_, buffers)| buffers.pop());
        PooledBuffer { values: fitting.unwrap_or_else(|| vec![0.0; length]), length, home: Arc::clone(self) }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, Vec<Vec<f32>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Values in memory that is used again.
#[derive(Debug)]
pub struct PooledBuffer {
    /// At least `length` of them.
    values: Vec<f32>,
    length: usize,
    home: Arc<BufferPool>,
}

impl Deref for PooledBuffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[..self.length]
    }
}

impl DerefMut for PooledBuffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[..self.length]
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.values);
        self.home.lock().entry(values.len()).or_default().push(values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_where_it_fits() {
        let buffers = Arc::new(BufferPool::default());
        let first = buffers.take(100);
        let place = first.as_ptr();
        drop(first);
        let [same, other] = [buffers.take(60), buffers.take(60)];
        assert_eq!((same.as_ptr(), same.len(), other.len()), (place, 60, 60));
        assert_ne!(other.as_ptr(), place);
        drop(same);
        assert_ne!(buffers.take(101).as_ptr(), place);
        assert_ne!(buffers.take(49).as_ptr(), place);
        assert_eq!(buffers.take(50).as_ptr(), place);
    }
}
