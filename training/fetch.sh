#!/bin/sh
# Fetches what training needs from package registries, by name, into .venv and .state.
set -eu
cd "$(dirname "$0")"
[ -d .venv ] || python3 -m venv .venv
.venv/bin/pip install -q -r requirements.txt
mkdir -p .state/npm .state/debian
cd .state/npm
[ -f package.json ] || npm init -y >/dev/null
grep -v '^#' ../../data/packages.txt | cut -d' ' -f1 | xargs npm install --ignore-scripts --no-audit --no-fund
cd ../debian
if [ ! -d ../wordnet ]; then
    apt-get download wordnet-base
    dpkg-deb -x wordnet-base_*.deb ../wordnet
fi
