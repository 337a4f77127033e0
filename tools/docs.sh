#!/usr/bin/env bash
# Builds the site of docs/ into build/site and checks it; further arguments go to mkdocs.
set -eu
usage="Usage: tools/docs.sh [MKDOCS ARGUMENT ...]
Makes the environment in .venv if there is none, trains the small models of the pictures (once, some
minutes), draws the pictures and builds the site into build/site. Any broken link is an error.
Example: tools/docs.sh --site-dir DIR"

. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
for argument in "$@"; do
  case $argument in -h|--help) echo "$usage"; exit 0 ;; esac
done
hybridasr_env docs || exit 1
export PYTHONPATH="$hybridasr_root/tools/docs:$PYTHONPATH"
# mkdocs-material advertises in the output of every build unless told not to.
export DISABLE_MKDOCS_2_WARNING=true NO_MKDOCS_2_WARNING=true
exec "$PYTHON" -m mkdocs build --strict --config-file "$hybridasr_root/tools/docs/mkdocs.yml" "$@"
