#!/bin/sh
# Builds the greeter into dist/: the program, the template, and the commit it was made from.
# GREETER names a greeter program that is built already; without it, cargo builds one.
set -eu
cd "$(dirname "$0")"
if [ -z "${GREETER:-}" ]; then
    cargo build --release --package greeter
    GREETER=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release/greeter
fi
rm -rf dist
mkdir dist
cp "$GREETER" dist/greeter
cp templates/greeting.txt dist/greeting.txt
git rev-parse --short HEAD > dist/commit
