#!/bin/sh
# Packs what a bare machine with a card gets into target/card/annotate-card.tar.xz: the program and examples/card.rs for
# CUDA 13, a small FFmpeg, crops that show nobody, training pictures where there are any, and the scripts. On that machine:
#
#   sh on_card.sh annotate-card.tar.xz OUT      (scripts/on_card.sh; 8 minutes)
#
# FFMPEG_SOURCE names FFmpeg's source archive where apt-get has none. PROGRAMS names a folder with `annotate` and `card`
# that are packed instead of being built.
set -eu
cd "$(dirname "$0")/.."

# MiB; a machine with a card may take 64 in all.
largest=60
data=${ANNOTATE_DATA:-../shared/data}
work=$PWD/target/card
folder=$work/annotate-card

say() { printf '%s\n' "card: $*" >&2; }

# The libraries that Debian ships need 160 others, 219 MB of them. This is the same version with what the clip needs.
ffmpeg() {
    [ ! -e "$work/ffmpeg/lib/libavcodec.so" ] || return 0
    version=$(pkg-config --modversion libavcodec)
    mkdir -p "$work/source"
    if [ -z "${FFMPEG_SOURCE:-}" ]; then
        say "fetching FFmpeg's source"
        . /etc/os-release
        mkdir -p "$work/apt/lists/partial"
        echo "deb-src http://deb.debian.org/debian $VERSION_CODENAME main" > "$work/apt/sources.list"
        options="-o Dir::Etc::SourceList=$work/apt/sources.list -o Dir::Etc::SourceParts=/dev/null"
        options="-qq $options -o Dir::State::Lists=$work/apt/lists"
        # A list of words.
        # shellcheck disable=SC2086
        (cd "$work/source" && apt-get $options update && apt-get $options source --download-only --tar-only ffmpeg)
        FFMPEG_SOURCE=$(ls "$work"/source/ffmpeg_*.tar.*)
    fi
    tar -xf "$FFMPEG_SOURCE" -C "$work/source" --strip-components 1
    say "building FFmpeg (one to two minutes)"
    (
        cd "$work/source"
        ./configure --prefix="$work/ffmpeg" --disable-everything --disable-autodetect --disable-programs --disable-doc \
            --disable-static --enable-shared --disable-avdevice --disable-x86asm --disable-network --disable-debug \
            --enable-protocol=file,pipe,fd --enable-demuxer=mov,matroska,mpegts --enable-decoder=h264,hevc,vp9 \
            --enable-parser=h264,hevc,vp9 --enable-bsf=h264_mp4toannexb,hevc_mp4toannexb,extract_extradata \
            --enable-filter=buffer,buffersink,format,null,copy,scale,bwdif,transpose,hflip,vflip
        make -s -j"${CARGO_BUILD_JOBS:-2}"
        make -s install
    ) > "$work/ffmpeg.log" 2>&1 || { say "FFmpeg did not build; see $work/ffmpeg.log"; exit 1; }
    built=$(PKG_CONFIG_PATH="$work/ffmpeg/lib/pkgconfig" pkg-config --modversion libavcodec)
    if [ "$built" != "$version" ]; then
        say "the program is built against libavcodec $version, the source is of $built; set FFMPEG_SOURCE"
        exit 1
    fi
}

programs() {
    [ -z "${PROGRAMS:-}" ] || return 0
    say "building for CUDA 13, compute capability 9.0 (20 minutes the first time)"
    NVCC="$PWD/scripts/nvcc_lean.sh" CUDA_COMPUTE_CAP=90 \
        scripts/cuda.sh cargo build --release --locked --features cuda --bin annotate --example card
    PROGRAMS=$work/programs
    mkdir -p "$PROGRAMS"
    cp target/cuda/build/release/annotate target/cuda/build/release/examples/card "$PROGRAMS"
}

mkdir -p "$work"
ffmpeg
programs
rm -rf "$folder"
mkdir -p "$folder/bin" "$folder/lib" "$folder/data" "$folder/crops"
for program in annotate card; do strip -o "$folder/bin/$program" "$PROGRAMS/$program"; done
cp -a "$work"/ffmpeg/lib/lib*.so.* "$folder/lib"
strip "$folder"/lib/*.so.*.*.*
cp benches/card.py scripts/on_card.sh assets/demo/demo.mp4 "$folder"
cp pipelines/default/recipe.toml assets/models/default/config.json "$folder"
[ ! -e pipelines/default/teacher.toml ] || cp pipelines/default/teacher.toml "$folder"
# The programs want the driver's library by this name, and the toolkit has a stand-in for it without the number. Without a card nothing
# of it is called.
mkdir -p "$work/stubs"
ln -sf "$PWD/target/cuda/toolkit/lib/stubs/libcuda.so" "$work/stubs/libcuda.so.1"
CARD_LIBRARIES=$PWD/target/cuda/toolkit/lib:$work/stubs
export CARD_LIBRARIES
LD_LIBRARY_PATH="$folder/lib:$CARD_LIBRARIES" python3 benches/card.py prepare "$folder" "$data"

tar -C "$work" -cf - annotate-card | xz -T2 -6 > "$work/annotate-card.tar.xz"
size=$(($(wc -c < "$work/annotate-card.tar.xz") / 1048576))
say "$work/annotate-card.tar.xz: $size MiB"
if [ "$size" -ge "$largest" ]; then
    say "that is more than the $largest MiB that may be carried"
    exit 1
fi
say "a dry run, on the CPU, of all but the card's calls"
scripts/on_card.sh --dry-run "$work/annotate-card.tar.xz" "$work/dry-run"
