#!/usr/bin/env bash
# Runs a recipe from recordings to a table of error rates; makes its own environment.
#
#   egs/run.sh                                      built-in corpus: nothing to download
#   egs/run.sh --recipe dsp20 --corpus DIR          a public corpus that you have
#   egs/run.sh --recipe digits --download           a public corpus, fetched
#   egs/run.sh --corpus DIR                         your recordings, one sub-folder per command
#   egs/run.sh --help                               every option, and the stages
set -eu
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../tools/env.sh"
for argument in "$@"; do
  case $argument in
    # Help makes no environment: without one, it is the lines above.
    -h|--help)
      if hybridasr_python recipes; then break; fi
      sed -n '2,/^set -eu/{s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"
      echo "The options are listed once the environment is there; any recipe makes it."
      exit 0 ;;
  esac
done
hybridasr_env recipes || exit 1
exec "$PYTHON" -m hybridasr.cli run-recipe --recipes "$here" "$@"
