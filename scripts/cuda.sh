#!/bin/sh
# A CUDA toolkit without a card and without root: NVIDIA's Python wheels, laid out as `CUDA_HOME` in target/cuda/toolkit.
# Downloads about 1.2 GB the first time; quick when it is there.
#
#   scripts/cuda.sh check     set it up; compile everything with the feature `cuda`, clippy denying warnings; see that the
#                             kernels assemble for real cards
#   scripts/cuda.sh CMD...    set it up and run CMD with it, e.g. scripts/cuda.sh cargo build --release --features cuda
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "cuda: $*" >&2; }

# CUDA 13.0: what drivers from 580 on run.
wheels="nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-cuda-runtime==13.0.96
    nvidia-cuda-cccl==13.0.85 nvidia-cuda-nvrtc==13.0.88 nvidia-cublas==13.1.0.3 nvidia-curand==10.4.5.25"
# Turing, Ampere, Hopper, Blackwell.
cards="sm_75 sm_80 sm_90 sm_120"

folder=$PWD/target/cuda
toolkit=$folder/toolkit
if [ ! -e "$toolkit/complete" ]; then
    if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
        say "missing: python3 with venv; on Debian: apt-get install python3-venv"
        exit 1
    fi
    say "setting up a CUDA toolkit in $toolkit (1.2 GB to download)"
    rm -rf "$toolkit"
    mkdir -p "$folder"
    python3 -m venv "$folder/wheels"
    # A list of words.
    # shellcheck disable=SC2086
    "$folder/wheels/bin/pip" install --quiet --disable-pip-version-check --no-deps $wheels
    cp -rs "$folder"/wheels/lib/python3*/site-packages/nvidia/cu13 "$toolkit"
    ln -s lib "$toolkit/lib64"
    # The linker looks for names without a version, which the wheels leave out.
    for library in cublas:13 cublasLt:13 cudart:13 curand:10 nvrtc:13; do
        ln -s "lib${library%%:*}.so.${library##*:}" "$toolkit/lib/lib${library%%:*}.so"
    done
    # The driver's library comes with a card's driver; to link, the names in its header are enough.
    mkdir "$toolkit/lib/stubs"
    grep -oE '\bcu[A-Z][A-Za-z0-9_]+' "$toolkit/include/cuda.h" | sort -u | sed 's/.*/int &(void) { return 999; }/' |
        cc -shared -fPIC -fno-builtin -w -Wl,-soname,libcuda.so.1 -x c - -o "$toolkit/lib/stubs/libcuda.so"
    touch "$toolkit/complete"
fi

export CUDA_HOME="$toolkit" CUDA_PATH="$toolkit" PATH="$toolkit/bin:$PATH"
export LIBRARY_PATH="$toolkit/lib/stubs:$toolkit/lib${LIBRARY_PATH:+:$LIBRARY_PATH}"
export CUDA_COMPUTE_CAP="${CUDA_COMPUTE_CAP:-90}"
# A folder of its own, so that the CPU's program is not overwritten.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$folder/build}"

if [ "${1:-}" != check ]; then
    exec "$@"
fi

nvcc -ptx -O3 -arch=compute_75 -o "$folder/kernels.ptx" src/kernels/cuda/kernels.cu
for card in $cards; do
    ptxas -arch="$card" -o /dev/null "$folder/kernels.ptx"
    say "the kernels assemble for $card"
done

# Candle's own kernels take minutes to compile, and checking links nothing: its build script, which asks NVCC, gets a compiler that
# leaves empty files. Ours are compiled by the real one.
mkdir -p "$folder/check"
cat > "$folder/check/nvcc" <<END
#!/bin/sh
case " \$* " in *" --version "*) exec "$toolkit/bin/nvcc" "\$@" ;; esac
is_ptx=false out=
while [ \$# -gt 0 ]; do
    case "\$1" in
    --ptx) is_ptx=true ;;
    -o) : > "\$2" ;;
    --output-directory) out=\$2 ;;
    *.cu) if \$is_ptx; then : > "\$out/\$(basename "\$1" .cu).ptx"; fi ;;
    esac
    shift
done
END
chmod +x "$folder/check/nvcc"
export NVCC="$folder/check/nvcc" CARGO_TARGET_DIR="$folder/check/build"
cargo clippy --locked --all-targets --features cuda -- -D warnings
say "everything compiles with the feature cuda; nothing was run, that needs a card"
