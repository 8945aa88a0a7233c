"""A real S3 endpoint on loopback: moto's server, which knows If-None-Match and If-Match."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator

KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "aws_region": "us-east-1"}


@contextlib.contextmanager
def endpoint() -> Iterator[str]:
    """Its address, for as long as the block lasts."""
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stderr is not None
    address = next(line.split()[-1] for line in process.stderr if "Running on" in line)
    # It logs every request, and stops when nobody reads that.
    reader = threading.Thread(target=process.stderr.read)
    reader.start()
    yield address
    process.kill()
    process.wait()
    reader.join()
    process.stderr.close()


def new_bucket(address: str, name: str) -> tuple[str, dict[str, str]]:
    """URL and options of an empty bucket."""
    urllib.request.urlopen(urllib.request.Request(f"{address}/{name}", method="PUT")).close()  # noqa: S310 - loopback
    return f"s3://{name}/prefix", {**KEYS, "aws_endpoint": address}
