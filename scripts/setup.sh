#!/usr/bin/env bash
# Makes .venv with everything: found by `make setup`, and safe to run again. Uses uv; honours pip's own configuration, which uv
# does not read: its find-links, its indexes and its certificate are passed on. A machine without an NVIDIA GPU gets PyTorch's CPU build.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python3}"

need() { command -v "$1" >/dev/null 2>&1; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "Reelgate needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2
  exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  echo "installing python3-venv (apt)" >&2
  as_root apt-get update -qq && as_root apt-get install -y -qq python3-venv
fi
[ -x .venv/bin/python ] || "$python" -m venv .venv
if need uv; then uv=uv; else
  [ -x .venv/bin/uv ] || .venv/bin/python -m pip install --quiet --disable-pip-version-check uv
  uv=.venv/bin/uv
fi

# The tests run a real Redis and a real PostgreSQL, and check alert rules with Prometheus's own tool.
packages=()
need redis-server || packages+=(redis-server)
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || packages+=(postgresql)
need promtool || packages+=(prometheus)
if [ ${#packages[@]} -gt 0 ]; then
  echo "installing ${packages[*]} (apt)" >&2
  as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
fi

# What pip is configured with, one value a line; environment variables win over files, as in pip.
pip_setting() {
  .venv/bin/python -m pip config list 2>/dev/null |
    sed -n "s/^\(global\|install\|:env:\)\.$1='\(.*\)'$/\2/p" | tail -n 1 | sed 's/\\n/ /g'
}
links="$(pip_setting find-links)"
index="$(pip_setting index-url)"
extra="$(pip_setting extra-index-url)"
[ -n "$links" ] && export UV_FIND_LINKS="${UV_FIND_LINKS:-$(echo "$links" | tr ' ' ',')}"
[ -n "$index" ] && export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}"
cert="$(pip_setting cert)"
[ -n "$cert" ] && export SSL_CERT_FILE="${SSL_CERT_FILE:-$cert}"

# PyTorch's CPU build: from find-links where one lies there, else from PyTorch's own index; never CUDA on a machine without a GPU.
options=()
has_cpu_wheel() { for d in $links; do ls "$d"/torch-*cpu*.whl >/dev/null 2>&1 && return 0; done; return 1; }
if ! need nvidia-smi && ! has_cpu_wheel; then
  options+=(--torch-backend cpu)
fi
# An extra index of pip's that is a plain folder on disk has wheels that the default index has too; uv takes only real indexes.
for url in $extra; do case "$url" in http*) options+=(--index "$url") ;; esac; done

"$uv" pip install --quiet --python .venv/bin/python "${options[@]}" -e '.[preprocess,postgres,bart,generator,otel]' --group dev
date -u +%FT%TZ >.venv/.reelgate-setup
