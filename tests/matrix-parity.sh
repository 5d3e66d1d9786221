#!/bin/bash
# Operator parity of wgpu's tier `matrix` without a GPU, on Debian: Mesa's lavapipe has cooperative matrices of 8 x 8, but the
# one that does (26.1, in trixie-backports) needs a newer C library than Debian 12 has. So a small userland of Debian 13 is
# unpacked into a folder, and the test runs with its loader; nothing is installed or changed.
# Usage: tests/matrix-parity.sh [FOLDER, target/trixie if not given] [test binary, built if not given]
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(realpath -m "${1:-target/trixie}")
binary=${2:-}
libraries=$folder/root/usr/lib/x86_64-linux-gnu
if [ ! -e "$libraries/libvulkan_lvp.so" ]; then
    mkdir -p "$folder"/{sources,lists/partial,cache/archives/partial,root}
    : >"$folder/status"
    # The mirror that this machine uses.
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' | grep -v security | head -1)
    for suite in trixie trixie-backports; do
        printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n' \
            "$mirror" "$suite"
    done >"$folder/sources/trixie.sources"
    apt=(apt-get -q -y -o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$folder/sources"
        -o "Dir::State::lists=$folder/lists" -o "Dir::State::status=$folder/status" -o "Dir::Cache=$folder/cache"
        -o "APT::Sandbox::User=$(id -un)" -o "Debug::NoLocking=1")
    "${apt[@]}" update
    "${apt[@]}" install --download-only --no-install-recommends -t trixie-backports mesa-vulkan-drivers libvulkan1
    for package in "$folder"/cache/archives/*.deb; do
        dpkg-deb -x "$package" "$folder/root"
    done
    rm -rf "$folder/cache" "$folder/lists"
fi
printf '{"file_format_version": "1.0.0", "ICD": {"library_path": "%s", "api_version": "1.4.0"}}\n' \
    "$libraries/libvulkan_lvp.so" >"$folder/lavapipe.json"
if [ -z "$binary" ]; then
    binary=$(cargo test -p monolens-tests --test operator_parity --no-run 2>&1 | sed -n 's/.*Executable.*(\(.*\))$/\1/p')
fi
VK_DRIVER_FILES=$folder/lavapipe.json exec "$libraries/ld-linux-x86-64.so.2" --library-path "$libraries" \
    "$binary" --nocapture wgpu_matrix
