#!/bin/sh
# C to wasm, twice: with and without relaxed SIMD. The results are committed; `build.sh OTHER_FOLDER`
# builds them elsewhere, for comparison. Debian: apt-get install clang-19 lld-19.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
to=${1:-$here}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$here"
build() {
  name=$1
  shift
  for part in product layers context coder; do
    clang-19 --target=wasm32 -std=c11 -O3 -Wall -Wextra -Werror -Wno-unused-function -ffreestanding -ffp-contract=off \
      -msimd128 -mbulk-memory -mnontrapping-fptoint "$@" -c -o "$work/$part.o" "$part.c"
  done
  wasm-ld-19 --no-entry --import-memory -z stack-size=65536 --export=__heap_base --strip-all \
    -o "$to/$name.wasm" "$work/product.o" "$work/layers.o" "$work/context.o" "$work/coder.o"
}
build simd
build relaxed -mrelaxed-simd -DRELAXED
