//! Launches that are recorded once and repeated as one (a CUDA graph), so that a network of a hundred small kernels costs the CPU one call.

use std::sync::{Mutex, PoisonError};

use candle_core::cuda_backend::WrapErr as _;
use candle_core::cuda_backend::cudarc::driver::CudaGraph;
use candle_core::cuda_backend::cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};
use candle_core::{Device, Error, Result};

/// Launches recorded once and repeated as one.
pub struct Recording(Mutex<OneAtATime>);

/// The driver's graph objects take calls from any thread, but only one at a time.
struct OneAtATime(CudaGraph);

// SAFETY: the graph is reached through the mutex only; launching binds the card's context to the calling thread, and destroying needs none.
#[expect(unsafe_code, reason = "the graph holds raw pointers")]
unsafe impl Send for OneAtATime {}

impl Recording {
    /// Records what `f` launches on the device's stream, after running it once, so that its kernels are loaded. What it computes goes
    /// into tensors that outlive the recording, and what it allocates does not. No other thread may use the device meanwhile: what it
    /// asked for would be recorded instead of done.
    ///
    /// # Errors
    /// If the device is no card or cannot record, or `f` fails.
    pub fn of(device: &Device, f: impl Fn() -> Result<()>) -> Result<Self> {
        let card = device.as_cuda_device()?;
        f()?;
        // A copy from the computer's memory would be recorded with an address that is soon something else's: with this, candle refuses.
        let _refuses_copies = card.enable_cuda_graph_htod_cache();
        let stream = card.cuda_stream();
        stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED).w()?;
        let recorded = f();
        // What `f` gave up may have failed to be freed, and such a failure is told by the next call, which would not happen then: the
        // recording has to end, or the stream could not be used again.
        let _ = stream.context().check_err();
        let graph = stream.end_capture(CUgraphInstantiate_flags(0)).w();
        let _ = stream.context().check_err();
        recorded?;
        match graph? {
            Some(graph) => Ok(Self(Mutex::new(OneAtATime(graph)))),
            None => Err(Error::Cuda("nothing was recorded".into())),
        }
    }

    /// Repeats it, in the device's stream, without waiting for it.
    ///
    /// # Errors
    /// If the device fails.
    pub fn launch(&self) -> Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.launch().w()
    }
}
