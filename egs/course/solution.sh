#!/usr/bin/env bash
# A solution of the course project (docs/course.md): recordings, two runs, a report.
#
#   egs/course/solution.sh                       synthetic speakers; everything into work/
#   egs/course/solution.sh --corpus DIR          the recordings of your class, a folder per command
#   egs/course/solution.sh --place DIR           where work goes (the current folder)
#   egs/course/solution.sh --commands FILE       another list of commands
#   egs/course/solution.sh --speakers N          synthetic speakers (22)
#   egs/course/solution.sh ... -- ARGUMENT ...   further arguments of both runs, e.g. -- --nj 4
set -eu
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../../tools/env.sh"

corpus= place=. commands=$here/commands.txt speakers=22
while [ $# -gt 0 ]; do
  case $1 in
    --corpus) corpus=$2; shift 2 ;;
    --place) place=$2; shift 2 ;;
    --commands) commands=$2; shift 2 ;;
    --speakers) speakers=$2; shift 2 ;;
    --) shift; break ;;
    -h|--help) sed -n '2,/^set -eu/{s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) echo "solution.sh: unexpected '$1' (see --help)" >&2; exit 2 ;;
  esac
done
hybridasr_env recipes || exit 1
hybridasr() { "$PYTHON" -m hybridasr.cli "$@"; }
run() { hybridasr run-recipe --recipes "$here/.." --recipe course --corpus "$corpus" "$@"; }

# 1 Recordings: those of the class, or synthetic ones.
mkdir -p "$place"
if [ -z "$corpus" ]; then
  corpus=$place/course-recordings
  hybridasr synthesize-words --speakers "$speakers" "$commands" "$corpus"
fi

# 2 A first system, without altered copies of the recordings.
runs=$place/work
plain=$runs/course_plain
run --work "$plain" --set augment.copies=0 --set augment.speeds=1.0 "$@"

# 3 The same with copies: other speeds, noise, rooms.
work=$runs/course
run --work "$work" "$@"
noisy=$work/data/test_noisy
hybridasr augment-data --speeds 1.0 --copies 1 --noise-share 1.0 --reverb-share 0.0 \
  "$work/data/test" "$noisy"
for system in "$plain" "$work"; do
  hybridasr evaluate "$system/exp/dnn" "$noisy" > "$system/noisy.json"
done

# 4 Errors: who, which words, which phones.
hybridasr report --against "$plain" "$work" "$place/report.html"
hybridasr show systems --against "$plain" "$work" "$place/systems.svg"
hybridasr show confusion "$work/data/test" "$work/exp/dnn/decode_test" "$place/words.png"
hybridasr show confusion --unit phone "$work/data/test" "$work/exp/tri1/decode_test" \
  "$place/phones.png"

# 5 Saying no: what is accepted of the test's commands.
hybridasr evaluate --commands "$commands" "$work/exp/dnn" "$work/data/test" \
  > "$place/decisions.json"
hybridasr suggest-fillers --lang "$work/exp/dnn" "$commands" > "$place/suggested.txt"

# 6 One file for the robot.
hybridasr pack --int8 --commands "$commands" "$work/exp/dnn" "$place/robot.hyb"
echo "report: $place/report.html; for the robot: $place/robot.hyb"
