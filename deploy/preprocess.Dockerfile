# syntax=docker/dockerfile:1
# preprocess_service: no torch, a small image. See generator.Dockerfile for a pip configuration of your own.
FROM python:3.11-slim AS build
RUN python -m venv /opt/reelgate
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY reelgate reelgate
COPY preprocess_service preprocess_service
# The wheel names all three packages; the generator's code and weights are not needed here.
RUN mkdir generator_service && touch generator_service/__init__.py
RUN --mount=type=secret,id=pipconf,target=/etc/pip.conf --mount=type=cache,target=/root/.cache/pip \
    /opt/reelgate/bin/pip install ".[preprocess,postgres,otel]"

FROM python:3.11-slim
RUN useradd --uid 10001 --create-home reelgate && install -d -o reelgate -g reelgate /var/lib/reelgate
COPY --from=build /opt/reelgate /opt/reelgate
ENV PATH=/opt/reelgate/bin:$PATH PYTHONUNBUFFERED=1 \
    REELGATE_PREPROCESS_ADDRESS=0.0.0.0:50050 \
    REELGATE_PREPROCESS_LEDGER=sqlite:////var/lib/reelgate/ledger.db
USER reelgate
VOLUME /var/lib/reelgate
EXPOSE 50050
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 CMD ["reelgate", "health", "127.0.0.1:50050"]
CMD ["python", "-m", "preprocess_service"]
