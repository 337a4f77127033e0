# Sourced by egs/run.sh and tools/test.sh: finds or makes a Python environment with the package.
# `hybridasr_env EXTRA` (recipes, docs or test) leaves its interpreter in $PYTHON, or returns 1 after
# a message on stderr. It takes, in this order:
#   1. the current environment, as it is, if the package is installed there;
#   2. .venv of this checkout, if setup.cfg is as it was when that was installed;
#   3. .venv made, or brought up to date, by pip: the only step that needs the network.

hybridasr_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd) || return 1

hybridasr_env() {
  local extra=$1 venv="$hybridasr_root/.venv"
  if ! hybridasr_python "$extra"; then
    _hybridasr_install "$venv" "$extra" || return 1
    PYTHON=$venv/bin/python
  fi
  # This checkout's code runs, even if the environment was installed from another one.
  export PYTHONPATH="$hybridasr_root${PYTHONPATH:+:$PYTHONPATH}"
}

# Leaves in $PYTHON the interpreter of steps 1 and 2, or returns 1.
hybridasr_python() {
  local extra=$1 venv="$hybridasr_root/.venv" python
  PYTHON=
  for python in ${VIRTUAL_ENV:+"$VIRTUAL_ENV/bin/python"} python3; do
    if _hybridasr_works "$python" "$extra"; then PYTHON=$python; return 0; fi
  done
  _hybridasr_current "$venv" "$extra" && PYTHON=$venv/bin/python
}

# Whether interpreter $1 has the package installed, and what the tests or the site need if the extra
# $2 is test or docs. Tried away from the checkout, where the bare sources could be imported.
_hybridasr_works() {
  local modules=(hybridasr numba)
  if [ "$2" = test ]; then modules+=(pytest hypothesis); fi
  if [ "$2" = docs ]; then modules+=(mkdocs material mkdocstrings latex2mathml); fi
  command -v "$1" > /dev/null 2>&1 && (cd / && "$1" -c '
import importlib.util, sys
sys.exit(not all(importlib.util.find_spec(name) for name in sys.argv[1:]))' "${modules[@]}") \
    > /dev/null 2>&1
}

# Whether environment $1 has extra $2 for the present setup.cfg. One made by hand has no stamp and
# is taken as it is.
_hybridasr_current() {
  local stamp="$1/hybridasr.stamp"
  _hybridasr_works "$1/bin/python" "$2" || return 1
  [ -e "$stamp" ] || return 0
  # The extra "test" includes the others, and "docs" includes "recipes".
  local other=$2
  if [ "$2" = recipes ]; then other=docs; fi
  [ "$(head -n 1 "$stamp")" = "$(_hybridasr_sum)" ] && grep -qx -e "$2" -e "$other" -e test "$stamp"
}

_hybridasr_sum() { cksum < "$hybridasr_root/setup.cfg"; }

_hybridasr_install() {
  local venv=$1 extra=$2 log="$1/install.log" stamp="$1/hybridasr.stamp"
  # What an earlier install had besides stays.
  if grep -qsx test "$stamp"; then extra=test; fi
  if [ "$extra" = recipes ] && grep -qsx docs "$stamp"; then extra=docs; fi
  if [ -x "$venv/bin/python" ] && "$venv/bin/python" -m pip --version > /dev/null 2>&1; then
    echo "Bringing the environment in .venv up to date ..." >&2
  else
    _hybridasr_venv "$venv" || return 1
    # Empty until all is installed, so that what an interruption leaves is not taken as it is.
    : > "$stamp"
  fi
  if ! (cd "$hybridasr_root" && "$venv/bin/python" -m pip install --disable-pip-version-check \
        --editable ".[$extra]") > "$log" 2>&1 < /dev/null; then
    tail -n 15 "$log" >&2
    echo "error: pip could not install into .venv (whole log: $log);" \
         "check the network, then run the same command again" >&2
    return 1
  fi
  { _hybridasr_sum; echo "$extra"; } > "$stamp"
}

# Make the bare environment $1. Debian's python3 can do so only without pip (its package
# python3-venv has the rest); the pip of the system then puts pip in.
_hybridasr_venv() {
  local venv=$1 python system_pip
  for python in python3 python3.13 python3.12 python3.11 python3.10 none; do
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' > /dev/null 2>&1 && break
  done
  if [ "$python" = none ]; then
    echo "error: no Python 3.10 or newer (python3 is $(python3 --version 2>&1));" \
         "install one, then run the same command again" >&2
    return 1
  fi
  echo "Making the environment in .venv (about a minute) ..." >&2
  "$python" -m venv --clear "$venv" > /dev/null 2>&1 && return 0
  system_pip=$("$python" -c 'import os, pip; print(os.path.dirname(pip.__file__))' 2> /dev/null)
  if [ -n "$system_pip" ] && "$python" -m venv --clear --without-pip "$venv" > /dev/null 2>&1 &&
      "$venv/bin/python" "$system_pip" install --ignore-installed pip \
        > "$venv/install.log" 2>&1 < /dev/null; then
    return 0
  fi
  echo "error: $python can make no environment in $venv; on Debian or Ubuntu run" \
       "'sudo apt install python3-venv python3-pip', then the same command again" >&2
  return 1
}
