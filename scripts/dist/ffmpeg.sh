#!/bin/sh
# FFmpeg as static libraries under the LGPL, from the distribution's source packages, into target/dist/ffmpeg: what the
# containers and codecs of `src/pipeline/decode/source.rs` need, dav1d for AV1, zlib for PNG, libvpx to write overlays
# and the review page's copies. Six minutes of processor time the first time; quick when it is there.
#
#   scripts/dist/ffmpeg.sh           build it
#   scripts/dist/ffmpeg.sh sources   only fetch and check the sources, into target/dist/sources
set -eu
cd "$(dirname "$0")/../.."

say() { printf '%s\n' "dist: $*" >&2; }

root=$PWD
dist=$root/target/dist
sources=$dist/sources
prefix=$dist/ffmpeg
list=$root/scripts/dist/sources.txt

# --- sources -----------------------------------------------------------------------------------------------------------

entries() { grep -v '^#' "$list"; }

has_sources() {
    entries | (cd "$sources" 2>/dev/null && awk '{print $4 "  " $3}' | sha256sum --check --status 2>/dev/null)
}

# A list of packages of our own: the system's need not name the sources.
fetch() {
    command -v apt-get >/dev/null || { say "no apt-get: put the files of $list into $sources"; exit 1; }
    mkdir -p "$sources" "$dist/apt/lists/partial" "$dist/apt/cache/archives/partial"
    key=/usr/share/keyrings/debian-archive-keyring.gpg
    mirror=http://deb.debian.org
    for suite in "debian bookworm" "debian bookworm-updates" "debian-security bookworm-security"; do
        echo "deb-src [signed-by=$key] $mirror/$suite main"
    done >"$dist/apt/sources.list"
    apt="-o Dir::Etc::SourceList=$dist/apt/sources.list -o Dir::Etc::SourceParts=/dev/null
        -o Dir::State::Lists=$dist/apt/lists -o Dir::Cache=$dist/apt/cache"
    # A list of words.
    # shellcheck disable=SC2086
    apt-get $apt update -q >&2
    entries | awk '{print $1 "=" $2}' | sort -u | while read -r package; do
        # shellcheck disable=SC2086
        (cd "$sources" && apt-get $apt source -q --download-only "$package" >&2)
    done
}

if ! has_sources; then
    say "fetching the sources into $sources"
    fetch
    has_sources || { say "the sources differ from $list"; exit 1; }
fi
[ "${1:-}" = sources ] && exit 0

# --- building ----------------------------------------------------------------------------------------------------------

scripts/dist/tools.sh
# The sources, the compiler with its flags, and what stands below.
made_of=$({ cat "$list" "$dist/tools/compiler"; sed '1,/^# --- building/d' "$0"; } | sha256sum | cut -d ' ' -f 1)
[ "$(cat "$prefix/complete" 2>/dev/null)" = "$made_of" ] && exit 0
export PATH="$dist/tools/bin:$PATH"
export ZIG_GLOBAL_CACHE_DIR="$dist/zig-cache" ZIG_LOCAL_CACHE_DIR="$dist/zig-cache"
export DIST_PREFIX="$prefix" PKG_CONFIG_LIBDIR="$prefix/lib/pkgconfig" SOURCE_DATE_EPOCH=0
jobs=$(nproc)
work=$dist/work
rm -rf "$work" "$prefix"
mkdir -p "$work" "$prefix/lib/pkgconfig" "$prefix/licences"

# The upstream's archive with Debian's patches, in $work/NAME.
unpack() {
    mkdir -p "$work/$1"
    tar -xf "$(ls "$sources"/"$1"_*.orig.tar.*[2z])" -C "$work/$1" --strip-components 1
    tar -xf "$(ls "$sources"/"$1"_*.debian.tar.xz)" -C "$work/$1"
    grep -v '^ *\(#\|$\)' "$work/$1/debian/patches/series" 2>/dev/null | while read -r patch _; do
        (cd "$work/$1" && patch --quiet -p1 <"debian/patches/$patch")
    done
    cp "$work/$1/debian/copyright" "$prefix/licences/$1.txt"
    cd "$work/$1"
}

say "zlib"
unpack zlib
CC=zig-cc AR=zig-ar RANLIB=zig-ranlib CFLAGS="-O3 -fPIC" ./configure --static --prefix="$prefix" >"$work/zlib.log"
make -j "$jobs" libz.a >>"$work/zlib.log" 2>&1
cp libz.a "$prefix/lib/"
mkdir -p "$prefix/include"
cp zlib.h zconf.h "$prefix/include/"

say "dav1d"
unpack dav1d
cat >"$work/zig.ini" <<INI
[binaries]
c = 'zig-cc'
ar = 'zig-ar'
ranlib = 'zig-ranlib'
nasm = 'nasm'
INI
meson setup build --native-file "$work/zig.ini" --prefix "$prefix" --libdir lib --buildtype release \
    --default-library static -Denable_tools=false -Denable_tests=false -Dlogging=false >"$work/dav1d.log"
ninja -C build install >>"$work/dav1d.log"

say "libvpx"
unpack libvpx
CC=zig-cc CXX=zig-c++ AR=zig-ar LD=zig-cc AS=nasm ./configure --target=x86_64-linux-gcc --prefix="$prefix" --enable-pic \
    --enable-static --disable-shared --disable-examples --disable-tools --disable-docs --disable-unit-tests \
    --disable-vp8 --disable-vp9-decoder --disable-webm-io --disable-libyuv --disable-dependency-tracking \
    --enable-runtime-cpu-detect >"$work/libvpx.log"
make -j "$jobs" install >>"$work/libvpx.log" 2>&1

say "FFmpeg"
unpack ffmpeg
cp COPYING.LGPLv2.1 LICENSE.md "$prefix/licences/"
comma() { tr -s ' \n' ',' | sed 's/^,//; s/,$//'; }
video=$(comma <<'NAMES'
aasc aic amv apng asv1 asv2 avrn avui ayuv bmp camtasia cavs cfhd cinepak cljr cllc cscd cyuv dirac dnxhd dvvideo dxv
eightbps escape124 escape130 ffv1 ffvhuff flashsv flashsv2 flic flv fraps frwu gif h261 h263 h263i h263p h264 hap hevc hq_hqa
hqx huffyuv hymt indeo2 indeo3 indeo4 indeo5 jpeg2000 kgv1 lagarith libdav1d loco m101 magicyuv mjpeg mjpegb mpeg1video
mpeg2video mpeg4 mpegvideo msa1 mscc msmpeg4v1 msmpeg4v2 msmpeg4v3 msrle mss1 mss2 msvideo1 mszh mts2 mvha mwsc mxpeg
notchlc pixlet png prores qdraw qtrle r10k r210 rasc rawvideo rpza rscc rv10 rv20 rv30 rv40 screenpresso sheervideo smc snow
sp5x speedhq svq1 svq3 targa theora tiff truemotion1 truemotion2 truemotion2rt tscc tscc2 ulti utvideo v210 v210x v308 v408
v410 vb vble vc1 vc1image vcr1 vmnc vp3 vp4 vp5 vp6 vp6a vp6f vp7 vp8 vp9 webp wmv1 wmv2 wmv3 wmv3image wnv1 xan_wc4 xl y41p
ylc yuv4 zerocodec zlib zmbv
NAMES
)
# Sound is never listened to, but FFmpeg looks into it to know a stream's length.
audio=$(comma <<'NAMES'
aac aac_latm ac3 adpcm_ima_qt adpcm_ima_wav adpcm_ms adpcm_swf adpcm_yamaha adpcm_g722 adpcm_g726 alac amrnb amrwb ape atrac3
cook dca dvaudio eac3 evrc flac g723_1 gsm gsm_ms imc mace3 mace6 mlp mp1float mp1 mp2float mp2 mp3float mp3 nellymoser opus
pcm_alaw pcm_bluray pcm_dvd pcm_f32be pcm_f32le pcm_f64be pcm_f64le pcm_mulaw pcm_s16be pcm_s16be_planar pcm_s16le
pcm_s16le_planar pcm_s24be pcm_s24daud pcm_s24le pcm_s24le_planar pcm_s32be pcm_s32le pcm_s32le_planar pcm_s8 pcm_s8_planar
pcm_u16be pcm_u16le pcm_u24be pcm_u24le pcm_u32be pcm_u32le pcm_u8 qcelp qdm2 qdmc ra_144 ra_288 ralf s302m sipr speex truehd
tta vorbis wavpack wmalossless wmapro wmav1 wmav2 wmavoice
NAMES
)
demuxers="mov,matroska,avi,mpegts,mpegtsraw,mpegps,mpegvideo,gif,flv,live_flv,ogg,asf,asf_o,mxf,h264,hevc,av1,obu,ivf,m4v,dv,nut"
demuxers="$demuxers,rm,wtv,yuv4mpegpipe,hls,rtsp,rtp,sdp"
./configure --prefix=/usr/local --cc=zig-cc --ar=zig-ar --ranlib=zig-ranlib --nm=nm --pkg-config=pkg-config \
    --pkg-config-flags=--static --enable-pic --enable-static --disable-shared --disable-autodetect --disable-programs \
    --disable-doc --disable-debug --disable-avdevice --disable-postproc --disable-everything --enable-zlib --enable-libdav1d \
    --enable-libvpx --enable-parsers --enable-bsfs --enable-decoder="$video" --enable-decoder="$audio" \
    --enable-encoder=libvpx_vp9 --enable-demuxer="$demuxers" --enable-muxer=mov,mp4,matroska,webm \
    --enable-protocol=file,pipe,http,tcp,udp,rtp,rtmp,crypto \
    --enable-filter=bwdif,hflip,vflip,copy,format,scale,setsar,transpose,crop,pad,null \
    >"$work/ffmpeg.log" 2>&1 || { tail -30 "$work/ffmpeg.log" ffbuild/config.log >&2; exit 1; }
if grep -q 'did not match anything' "$work/ffmpeg.log"; then
    grep 'did not match anything' "$work/ffmpeg.log" >&2
    exit 1
fi
grep -q '^License: LGPL version 2.1 or later' "$work/ffmpeg.log"
# zig's headers for glibc 2.17 have no sys/sysctl.h, its library does.
sed -i 's/^#define HAVE_SYSCTL 1/#define HAVE_SYSCTL 0/' config.h
make -j "$jobs" >>"$work/ffmpeg.log" 2>&1 || { tail -30 "$work/ffmpeg.log" >&2; exit 1; }
make install DESTDIR="$work/installed" >>"$work/ffmpeg.log" 2>&1
cp -r "$work"/installed/usr/local/include/. "$prefix/include/"
cp "$work"/installed/usr/local/lib/*.a "$prefix/lib/"

# One archive, so that whoever links libavcodec gets the others' objects with it.
cd "$prefix/lib"
mkdir merge
{
    echo CREATE merge/libavcodec.a
    for library in avcodec dav1d vpx z; do echo "ADDLIB lib$library.a"; done
    echo SAVE
    echo END
} | zig-ar -M
mv merge/libavcodec.a libavcodec.a
rm -r merge libdav1d.a libvpx.a libz.a

printf '%s' "$made_of" >"$prefix/complete"
rm -rf "$work"
say "FFmpeg is in $prefix"
