#!/bin/sh
# What web/ is built and tested with: npm's packages, and where this is root on Debian (a container of
# CI, say) browsers to try it in and the compiler of its C. Whatever cannot be had is said and left out.
set -u
cd "$(dirname "$0")"
if ! command -v npm >/dev/null; then
  echo "web/: no npm here; the browser decoder is neither built nor tested"
  exit 0
fi
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error || {
  echo "web/: npm's packages cannot be had; the browser decoder is neither built nor tested"
  rm -rf node_modules
  exit 0
}
for program in chromium firefox-esr clang-19 wasm-ld-19; do
  command -v $program >/dev/null && continue
  package=$(echo $program | sed 's/wasm-ld/lld/')
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get install -qq -y --no-install-recommends "$package" >/dev/null 2>&1 || {
      apt-get update -qq >/dev/null 2>&1 && apt-get install -qq -y --no-install-recommends "$package" >/dev/null 2>&1
    }
  fi
  command -v $program >/dev/null || echo "web/: no $program here; what needs it is left out"
done
mkdir -p build
