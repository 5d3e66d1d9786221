#!/bin/sh
# Fetches what training needs from package registries, by name, into .venv and .state: about 5 GB, most of it PyTorch.
# Needs python3, npm and, for WordNet, Debian's apt-get (as any user). Run it again after an interruption.
set -eu
cd "$(dirname "$0")"
for tool in python3 npm apt-get dpkg-deb; do
    command -v "$tool" >/dev/null || { echo "fetch.sh needs $tool" >&2; exit 1; }
done
echo "Python packages ..."
[ -x .venv/bin/pip ] || python3 -m venv .venv
.venv/bin/pip install -q -r requirements.txt
mkdir -p .state/npm .state/debian
echo "Emoji, flags and fonts ..."
cd .state/npm
[ -f package.json ] || echo '{"private": true}' >package.json
grep -v '^#' ../../data/packages.txt | cut -d' ' -f1 | xargs npm install --ignore-scripts --no-audit --no-fund
cd ../debian
if [ ! -d ../wordnet ]; then
    echo "WordNet ..."
    apt-get download wordnet-base || { echo "apt-get update may be wanted first" >&2; exit 1; }
    dpkg-deb -x wordnet-base_*.deb ../wordnet
fi
echo "All is there."
