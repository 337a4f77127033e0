#!/usr/bin/env bash
# Runs the checks of this checkout: ruff, then the fast tests; further arguments go to pytest.
set -u

usage="Usage: tools/test.sh [--all] [PYTEST ARGUMENT ...]
Makes the environment in .venv if there is none, then runs ruff and the fast tests.
  --all   the slow tests too, as continuous integration does
Examples: tools/test.sh tests/score    tools/test.sh -k bootstrap -x"

. "$(dirname "${BASH_SOURCE[0]}")/env.sh" || exit 1

select='not slow'
arguments=()
for argument in "$@"; do
  case $argument in
    --all) select=; continue ;;
    -h|--help) echo "$usage"; exit 0 ;;
    # Typed in another directory, a path still means the file that it names there.
    */*|*.py*) if [ -e "$PWD/${argument%%::*}" ]; then argument=$PWD/$argument; fi ;;
  esac
  arguments+=("$argument")
done

hybridasr_env test || exit 1
cd "$hybridasr_root" || exit 1

style=0
if "$PYTHON" -m ruff --version > /dev/null 2>&1; then
  "$PYTHON" -m ruff check --quiet --output-format concise . || style=$?
else
  echo "ruff is not installed: style not checked" >&2
fi

parallel=()
cores=$("$PYTHON" -c 'import os; print(os.cpu_count() or 1)')
if [ "$cores" -ge 2 ] && "$PYTHON" -c 'import xdist' > /dev/null 2>&1; then
  # By file: what a file prepares once is not prepared again by every worker. In the order of
  # tests/conftest.py.
  parallel=(-n "$((cores < 4 ? cores : 4))" --dist loadfile --no-loadscope-reorder)
fi
# The workers share the cores: more threads below them would only get in each other's way.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OPENBLAS_NUM_THREADS=${OPENBLAS_NUM_THREADS:-1}

# ${array[@]+...}: bash 4.3 and older take an empty array for an unset name.
"$PYTHON" -m pytest -q -m "$select" ${parallel[@]+"${parallel[@]}"} \
  ${arguments[@]+"${arguments[@]}"}
status=$?
if [ "$style" -ne 0 ]; then
  echo "ruff found faults of style: see the top of this output" >&2
  if [ "$status" -eq 0 ]; then status=$style; fi
fi
exit "$status"
