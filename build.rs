//! With the feature `cuda`: compiles our CUDA kernels to PTX with `nvcc`, which candle's own kernels need as well. The
//! driver turns PTX into code for the card that is there. Without the feature there is nothing to do.

use std::path::PathBuf;
use std::process::Command;

/// Turing, the oldest that CUDA 13 knows; newer cards run its PTX as well. `CUDA_COMPUTE_CAP`, which candle's build reads
/// too, names another one, whose PTX older cards do not run.
const OLDEST: &str = "75";
const KERNELS: &str = "src/kernels/cuda/kernels.cu";

fn main() {
    println!("cargo:rerun-if-changed={KERNELS}");
    println!("cargo:rerun-if-env-changed=CUDA_HOME");
    println!("cargo:rerun-if-env-changed=CUDA_COMPUTE_CAP");
    if std::env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    let nvcc = std::env::var_os("CUDA_HOME").map_or_else(|| "nvcc".into(), |home| PathBuf::from(home).join("bin/nvcc"));
    let capability = std::env::var("CUDA_COMPUTE_CAP").unwrap_or_else(|_| OLDEST.into());
    let ptx = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("kernels.ptx");
    let status = Command::new(&nvcc)
        .args(["-ptx", "-O3", "-Werror", "all-warnings"])
        .arg(format!("-arch=compute_{capability}"))
        .arg("-o")
        .arg(&ptx)
        .arg(KERNELS)
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("{} ended with {status} on {KERNELS}", nvcc.display()),
        Err(e) => panic!("{}: {e}; set CUDA_HOME to a CUDA toolkit, or use `make check-cuda`", nvcc.display()),
    }
}
