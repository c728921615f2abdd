#!/bin/sh
# Prints what the landscape reaches, beside what is possible on this machine in the same run, as one table:
#   ./bench.sh                 all of it, about a quarter of an hour with the servers in Docker
#   ./bench.sh gets overload   some parts: layer, growth, scale, gets, ours, overload
# docs/performance.md says what is measured, and what limits each figure.
set -eu
cd "$(dirname "$0")"
exec cargo bench --quiet -p landscape --bench figures -- "$@"
