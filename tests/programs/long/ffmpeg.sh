#!/bin/bash
# ffmpeg: a generated clip encoded with threads, probed and decoded.
. "$(dirname "$0")/../lib.sh"

ffmpeg -v error -f lavfi -i testsrc=duration=3:size=320x240:rate=25 -f lavfi -i sine=duration=3 -c:v libx264 -preset fast -c:a aac -threads 4 a.mp4
is streams "$(ffprobe -v error -show_entries stream=codec_name,nb_frames -of csv=p=0 a.mp4 | sed -n 's/^h264,/h264 /p')" "h264 75"
is frames "$(ffmpeg -v error -i a.mp4 -map 0:v -f framemd5 - | grep -vc '^#')" 75
ffmpeg -v error -i a.mp4 -map 0:v -f framemd5 -threads 1 one
ffmpeg -v error -i a.mp4 -map 0:v -f framemd5 -threads 4 four
cmp one four
