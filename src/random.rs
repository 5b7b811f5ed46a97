//! Addressed randomness: a generator follows from a seed and a purpose, never from what was drawn before.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

/// A random generator of its own for each use of a seed.
pub fn seeded(seed: u64, purpose: &str) -> ChaCha8Rng {
    let mut digest = Sha256::new();
    digest.update(seed.to_le_bytes());
    digest.update(purpose.as_bytes());
    ChaCha8Rng::from_seed(digest.finalize().into())
}
