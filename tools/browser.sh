#!/usr/bin/env bash
# Installs what the tests of pages need besides Python packages: Chromium with a font for hanzi by
# apt-get, as root, and axe-core, which finds what screen readers miss, by npm into build/axe.
set -eu
axe=axe-core@4.10.3
usage="Usage: tools/browser.sh
Installs Chromium (apt-get, as root) and $axe (npm, into build/axe), if they are missing."

for argument in "$@"; do
  case $argument in
    -h|--help) echo "$usage"; exit 0 ;;
    *) echo "browser.sh: unexpected argument '$argument'" >&2; exit 2 ;;
  esac
done
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# What to run, and where its output is shown from if it fails.
quietly() {
  local log
  log=$(mktemp)
  if ! "$@" > "$log" 2>&1 < /dev/null; then
    tail -n 15 "$log" >&2
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
}

if ! command -v chromium chromium-browser google-chrome > /dev/null; then
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get > /dev/null; then
    echo "error: no Chromium; on Debian run 'sudo apt-get install chromium', elsewhere" \
         "put one in PATH" >&2
    exit 1
  fi
  echo "Installing Chromium (half a minute) ..." >&2
  export DEBIAN_FRONTEND=noninteractive
  packages=(chromium fonts-wqy-microhei)
  # The lists of a fresh machine are empty or old.
  quietly apt-get install -y --no-install-recommends "${packages[@]}" ||
    { quietly apt-get update && quietly apt-get install -y --no-install-recommends "${packages[@]}"; }
fi
if [ ! -e build/axe/node_modules/axe-core/axe.min.js ]; then
  if ! command -v npm > /dev/null; then
    echo "error: no npm, which fetches $axe; install Node.js" >&2
    exit 1
  fi
  quietly npm install --no-save --no-audit --no-fund --prefix build/axe "$axe"
fi
