#!/bin/sh
# Stands in for nvcc in candle's build (NVCC=scripts/nvcc_lean.sh): it leaves out the kernels of quantised networks and of
# mixtures of experts, which nothing here runs. Their names are there, so that the program links; a call of one ends the
# program.
set -eu
out='' source='' is_ptx=false folder=''
next=''
for word in "$@"; do
    case "$next" in out) out=$word ;; folder) folder=$word ;; esac
    next=''
    case "$word" in
    --ptx) is_ptx=true ;;
    -o) next=out ;;
    --output-directory) next=folder ;;
    *.cu) source=$word ;;
    esac
done
case "$source" in
*/quantized.cu)
    if $is_ptx; then
        echo '// left out' > "$folder/quantized.ptx"
        exit
    fi ;;
*/moe_gguf.cu)
    # candle calls its build in the folder of candle-kernels.
    sed -n 's/^ *pub fn \([a-z_0-9]*\)(.*/void \1(void) { __builtin_trap(); }/p' src/ffi.rs | sort -u |
        cc -c -fPIC -x c - -o "$out"
    exit ;;
*/moe/*.cu | */mmq_gguf/*.cu | */mmvq_gguf.cu)
    echo 'typedef int nothing;' | cc -c -fPIC -x c - -o "$out"
    exit ;;
esac
exec "$CUDA_HOME/bin/nvcc" "$@"
