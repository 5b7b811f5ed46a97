#!/bin/sh
# Encodes small videos for the fuzzing of the decode stage to start from: scripts/fuzz_media.sh FOLDER
set -eu
mkdir -p "$1"
while read -r name arguments; do
    [ -e "$1/$name" ] && continue
    # The arguments are a list of words.
    # shellcheck disable=SC2086
    ffmpeg -nostdin -v error -f lavfi -i testsrc2=size=32x24:rate=10:duration=0.6 $arguments "$1/$name" </dev/null
done <<'LIST'
h264.mp4 -c:v libx264 -bf 2 -movflags +faststart
fragmented.mp4 -c:v libx264 -movflags frag_keyframe+empty_moov
h264.mkv -c:v libx264
h264.ts -c:v libx264
raw.h264 -c:v libx264
hevc.mp4 -c:v libx265 -x265-params log-level=none
mpeg2.mpg -c:v mpeg2video
interlaced.ts -c:v mpeg2video -flags +ildct+ilme -vf setfield=tff
mpeg4.avi -c:v mpeg4
mjpeg.avi -c:v mjpeg
vp8.webm -c:v libvpx
vp9.webm -c:v libvpx-vp9
theora.ogv -c:v libtheora
flv.flv -c:v flv
wmv.wmv -c:v wmv2
gif.gif
ten_bit.mkv -c:v ffv1 -pix_fmt yuv420p10le
wide_pixels.mkv -c:v ffv1 -vf setsar=2/1
turned.mp4 -c:v libx264 -metadata:s:v:0 rotate=90
LIST
