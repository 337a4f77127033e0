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
hybridasr_env recipes || exit 1
exec "$PYTHON" -m hybridasr.cli run-recipe --recipes "$here" "$@"
