# syntax=docker/dockerfile:1
# generator_service. TORCH_INDEX picks the build of torch: the CPU's by default, https://pypi.org/simple for CUDA.
# A pip configuration of your own (mirrors, certificates): --secret id=pipconf,src=$HOME/.config/pip/pip.conf
FROM python:3.11-slim AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN python -m venv /opt/reelgate
RUN --mount=type=secret,id=pipconf,target=/etc/pip.conf --mount=type=cache,target=/root/.cache/pip \
    /opt/reelgate/bin/pip install --extra-index-url "$TORCH_INDEX" "torch>=2.11,<2.14"
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY reelgate reelgate
COPY preprocess_service preprocess_service
COPY generator_service generator_service
RUN --mount=type=secret,id=pipconf,target=/etc/pip.conf --mount=type=cache,target=/root/.cache/pip \
    /opt/reelgate/bin/pip install ".[generator,otel]"

FROM python:3.11-slim
RUN useradd --uid 10001 --create-home reelgate && install -d -o reelgate /var/lib/reelgate
COPY --from=build /opt/reelgate /opt/reelgate
ENV PATH=/opt/reelgate/bin:$PATH PYTHONUNBUFFERED=1 \
    REELGATE_GENERATOR_ADDRESS=0.0.0.0:50051 \
    REELGATE_GENERATOR_STORE=/var/lib/reelgate/store \
    HF_HOME=/var/lib/reelgate/hub
USER reelgate
VOLUME /var/lib/reelgate
EXPOSE 50051
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=120s --retries=3 CMD ["reelgate", "health", "127.0.0.1:50051"]
CMD ["python", "-m", "generator_service"]
