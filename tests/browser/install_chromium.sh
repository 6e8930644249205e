#!/bin/sh
# Browser tests drive the system's Chromium: install it through the package manager where that is allowed.
set -eu
for name in chromium chromium-browser google-chrome chrome; do
    if command -v "$name" >/dev/null 2>&1; then exit 0; fi
done
if command -v apt-get >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ]; then sudo=""; else sudo="sudo -n"; fi
    if { [ -z "$sudo" ] || $sudo true 2>/dev/null; } \
        && $sudo apt-get update -qq && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; then
        exit 0
    fi
fi
echo "The browser tests need Chromium, and it could not be installed from here. Install it, then run make test again:" >&2
echo "    sudo apt-get install chromium        (Debian)" >&2
echo "    sudo apt-get install chromium-browser   (Ubuntu)" >&2
echo "    brew install --cask chromium         (macOS)" >&2
exit 1
