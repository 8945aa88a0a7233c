#!/usr/bin/env bash
# Generates the stubs of protos/ into the folder named first (default: the repository), ready to import as reelgate.*.
set -euo pipefail
cd "$(dirname "$0")/.."
out="${1:-.}"
python="${PYTHON:-.venv/bin/python}"
bin="$(dirname "$python")"
mkdir -p "$out"
mapfile -t files < <(find protos -name '*.proto' | sort)
PATH="$bin:$PATH" "$python" -m grpc_tools.protoc -I protos \
  --python_out="$out" --pyi_out="$out" --grpc_python_out="$out" --mypy_grpc_out="$out" "${files[@]}"
find "$out/reelgate/preprocess" "$out/reelgate/generator" -type d -exec touch {}/__init__.py \;
