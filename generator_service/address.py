"""Where a store is: a folder, or a URL that obstore knows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from obstore.exceptions import BaseError
from obstore.store import from_url

from generator_service.objects import LocalObjects, Objects

# Long enough for a busy store and a whole video; what a lease depends on is asked within a part of its time instead.
CLIENT = {"connect_timeout": "3s", "timeout": "30s"}
RETRY = {"max_retries": 2, "retry_timeout": timedelta(seconds=10)}


def open_objects(where: Path | str, options: Mapping[str, str] | None = None) -> Objects:
    """``where`` is a folder, or a URL that obstore knows (``s3://bucket/prefix``, ``gs://``, ``az://``, ``file://``).

    ``options`` are obstore's, e.g. ``aws_endpoint``; what they leave out comes from the environment (``AWS_...``). Raises
    ``ValueError`` for a URL or options that cannot be.
    """
    text = str(where)
    if "://" not in text:
        return LocalObjects(Path(where))
    if text.startswith("file://"):
        return LocalObjects(Path(text.removeprefix("file://")))
    config = dict(options or {})
    client: dict[str, Any] = {}
    if config.get("aws_endpoint", config.get("endpoint", os.environ.get("AWS_ENDPOINT", ""))).startswith("http://"):
        client["allow_http"] = True

    def hastened(seconds: float) -> Objects:
        # No attempt begins in the second half, and none takes longer than half.
        half = timedelta(seconds=seconds / 2)
        options = {**client, "connect_timeout": min(half, timedelta(seconds=3)), "timeout": half}
        return Objects(
            from_url(text, config=config, client_options=options, retry_config={**RETRY, "retry_timeout": half})
        )

    try:
        return Objects(from_url(text, config=config, client_options={**CLIENT, **client}, retry_config=RETRY), hastened)
    except (BaseError, ValueError) as error:
        raise ValueError(f"the store {text!r}: {error}") from error
