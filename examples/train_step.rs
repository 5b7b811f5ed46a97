//! Times training steps of the seed's MobileNetV1: forward, loss, backward, AdamW. `benches/train_step.py` compares it
//! with PyTorch.
//!
//!     cargo run --release --example train_step -- SIDE COLOURS BATCH
//!
//! Each line it reads holds a number of steps. It answers with the average seconds of one step; `RAYON_NUM_THREADS`
//! sets the number of threads.

#[path = "shared/training_steps.rs"]
mod training_steps;

use annotate::picture::Colours;
use candle_core::Device;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    let numbers = std::env::args().skip(1).map(|a| a.parse()).collect::<Result<Vec<usize>, _>>()?;
    let [side, colours, batch] = numbers[..] else { anyhow::bail!("usage: train_step SIDE COLOURS BATCH") };
    let colours = if colours == 1 { Colours::Luma } else { Colours::Rgb };
    training_steps::training_steps(&Device::Cpu, [batch, side], colours, |seconds, _| println!("{seconds}"))
}
