"""The small generator of the tests as a process of its own, over the real contract: no model, three steps, nothing kept.

    python -m benchmarks.budgets_twin     says on standard output where it listens, and serves until SIGTERM

It stores no video, so that equal prompts are made anew each time and what differs between two gates is the gates' alone.
"""

from __future__ import annotations

import json

from preprocess_service import tokens
from preprocess_service.settings import embedded_tokenizer
from reelgate.rpc.server import run, settle, stop_event
from tests.preprocess_service.generator_twin import Twin, serve


async def main() -> None:
    stop = stop_event()
    twin = Twin({"embedded": tokens.load(embedded_tokenizer()).fingerprint})
    twin.loses = True
    server = await serve(twin)
    settle()
    for event in ({"event": "listening", "address": f"127.0.0.1:{server.port}"}, {"event": "ready"}):
        print(json.dumps(event), flush=True)
    await stop.wait()
    await twin.close()
    await server.stop()


if __name__ == "__main__":
    run(main())
