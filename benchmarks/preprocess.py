"""The speed of PreparePrompt: a mix with and without the cache, a cached call beside a raw echo, uncached prompts a second.

    python benchmarks/preprocess.py [--quick]

Real prompts from ../shared/data where they are, else made ones. The service runs in a process of its own, as in production (uvloop,
all layers, access log). The cached call and the echo (same server, same bytes in and out) are driven by h2load in alternating
rounds; every cached call is checked to have been a hit by the server's own figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.report import Goal, close
from preprocess_service.app import load_lines
from preprocess_service.cache import PromptCache
from preprocess_service.metrics import Metrics
from preprocess_service.preparer import Preparer
from preprocess_service.settings import Settings
from preprocess_service.worker import Worker
from reelgate.preprocess.v1 import preprocess_pb2 as pb
from reelgate.preprocess.v1.preprocess_pb2_grpc import PreprocessServiceStub

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data" / "prompts"
METHOD = "/reelgate.preprocess.v1.PreprocessService/PreparePrompt"
CONNECTIONS = 16
MIX_ROOM = 2 << 20
"""Bytes of cache for the mix: far fewer than all its prompts take, so that admission matters."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the requests")
    scale = 1 if parser.parse_args().quick else 10
    texts = prompts()
    hundred = [text for text in texts if 90 <= len(text.split()) <= 110]
    print(f"{len(texts)} prompts, {len(hundred)} of 90 to 110 words\n")
    asyncio.run(mix(texts, 1_500 * scale))
    with server() as (port, metrics):
        ratio, why = cached(
            port, metrics, hundred[0], rounds=5 if scale == 1 else 9, calls=1_000 * scale if scale == 1 else 4_000
        )
        rate, p99 = uvloop.run(uncached(port, hundred, 150 * scale))
    missed = close(
        [
            Goal(name="cached PreparePrompt / raw echo", value=ratio, compare=">=", target=0.75, why=why),
            Goal(name="uncached prompts of 100 words", value=rate, compare=">=", target=300, unit="/s"),
            Goal(name="p99 at half of that load", value=p99, compare="<", target=15, unit=" ms"),
        ]
    )
    return missed if scale > 1 else 0


def prompts() -> list[str]:
    """All long prompts, in an order that never changes."""
    rows = [json.loads(raw) for path in sorted(DATA.glob("pairs_*.jsonl")) for raw in path.open(encoding="utf-8")]
    texts = sorted({row["long"] for row in rows})
    if not texts:
        print("no data at ../shared/data: made prompts")
        words = [f"{a}{b}" for a in "bdfgklmnprst" for b in ("ado", "ere", "iling", "ound", "usty", "ave")]
        draw = random.Random(2)
        texts = [
            f"A {' '.join(draw.choices(words, k=50))}, and a {' '.join(draw.choices(words, k=48))}."
            for _ in range(2_000)
        ]
    random.Random(1).shuffle(texts)
    return texts


async def mix(texts: list[str], count: int) -> None:
    """Half of the traffic is the top tenth of 1,000 prompts; one request in ten comes with more white space than the last time."""
    draw, pool = random.Random(3), texts[:1_000]
    traffic = []
    for n in range(count):
        text = pool[draw.randrange(100)] if draw.random() < 0.5 else pool[draw.randrange(100, len(pool))]
        traffic.append(text.replace(" ", "  ", n % 7 + 1) if draw.random() < 0.1 else text)
    print(f"mix: {count} requests, the top tenth of {len(pool)} prompts is half of them, {MIX_ROOM >> 20} MiB of cache")
    print(f"{'cause':34}{'requests':>10}{'share':>8}{'us each':>10}{'time':>8}")
    means = {}
    for name, room in (("without cache", 0), ("with cache", MIX_ROOM)):
        took, stages = await passes(traffic, room)
        total = sum(map(sum, took.values()))
        means[name] = total / count
        runs = sum(sum(times) for cause, times in took.items() if not cause.startswith("hit"))
        stages["protect, fidelity, receipt"] = runs - sum(stages.values())
        print(f"{name:34}{count:10}{1:8.0%}{means[name]:10.0f}{1:8.0%}")
        for cause, times in sorted(took.items()):
            print(
                f"  {cause:32}{len(times):10}{len(times) / count:8.1%}{statistics.mean(times):10.0f}{sum(times) / total:8.1%}"
            )
        for stage, micros in stages.items():
            print(f"    the line: {stage:26}{'':14}{micros / sum(map(len, took.values())):10.0f}{micros / total:8.1%}")
    print(f"time per request without / with cache: {means['without cache'] / means['with cache']:.2f}\n")


async def passes(traffic: list[str], room: int) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Microseconds of every request by where its answer came from, and the line's stages (of runs, not of hits)."""
    settings, metrics = Settings(), Metrics()
    cache = PromptCache(room=room, ttl=3600, metrics=metrics)
    preparer = Preparer(settings, load_lines(settings), Worker(queue=64), cache, metrics)
    took: dict[str, list[float]] = defaultdict(list)
    stages: dict[str, float] = defaultdict(float)
    for text in traffic:
        hits = metrics.hits["raw"]._value.get()
        message = pb.PromptInput(text=text)
        began = time.perf_counter_ns()
        made = await preparer.prepare(message, tier="", tenant="local", into=pb.PreparedPrompt)
        micros = (time.perf_counter_ns() - began) / 1_000
        if made.receipt.cache == pb.CACHE_RESULT_HIT:
            cause = "hit, same bytes" if metrics.hits["raw"]._value.get() > hits else "hit, same once normalised"
        else:
            cause = "miss" if room else "the line every time"
            for stage in made.receipt.stages:
                stages[stage.stage] += stage.duration_us
        took[cause].append(micros)
    await cache.close()
    return took, stages


@contextmanager
def server() -> Iterator[tuple[int, int]]:
    """The service's process; its ports."""
    command = [sys.executable, "-m", "benchmarks.preprocess_server"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin
    assert process.stdout
    ports = json.loads(process.stdout.readline())
    try:
        yield ports["port"], ports["metrics"]
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


def cached(port: int, metrics: int, text: str, *, rounds: int, calls: int) -> tuple[float | None, str]:
    """Calls a second over those of the echo: the median of pairs of rounds. None where h2load is missing."""
    if not shutil.which("h2load"):
        return None, "h2load is missing (Debian: nghttp2-client)"
    message = pb.PreparePromptRequest(input=pb.PromptInput(text=text)).SerializeToString()
    answer = b""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for _ in range(3):
            answer = channel.unary_unary(METHOD)(message)
    assert pb.PreparePromptResponse.FromString(answer).receipt.cache == pb.CACHE_RESULT_HIT
    print(
        f"cached call and echo, {CONNECTIONS} connections, {len(message)} bytes in, {len(answer)} out, {calls} calls a round"
    )
    pairs = []
    for number in range(rounds):
        before = raw_hits(metrics)
        hit = load(port, METHOD, message, calls)
        assert raw_hits(metrics) - before == calls, "a call was no hit"
        echo = load(port, f"/bench.Echo/{len(answer)}", message, calls)
        pairs.append(hit / echo)
        print(f"  round {number + 1}: cached {hit:6.0f}/s, echo {echo:6.0f}/s, ratio {pairs[-1]:.3f}")
    print()
    return statistics.median(pairs), ""


def load(port: int, path: str, message: bytes, calls: int) -> float:
    """Calls a second, one under way on each connection."""
    with tempfile.NamedTemporaryFile() as body:
        body.write(b"\x00" + len(message).to_bytes(4, "big") + message)
        body.flush()
        calls_each = ["-n", str(calls), "-c", str(CONNECTIONS), "-m", "1", "-t", "1", "-d", body.name]
        headers = ["-H", "content-type: application/grpc", "-H", "te: trailers"]
        command = ["h2load", *calls_each, *headers, f"http://127.0.0.1:{port}{path}"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    done = re.search(r"([\d.]+) req/s", said)
    assert done, said
    assert f"{calls} succeeded" in said, said
    return float(done.group(1))


def raw_hits(metrics: int) -> int:
    """The server's own count."""
    said = urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=5).read().decode()
    found = re.search(r'cache_lookups_total\{level="raw",result="hit"\} ([\d.]+)', said)
    return int(float(found.group(1))) if found else 0


async def uncached(port: int, texts: list[str], count: int) -> tuple[float, float]:
    """Prompts a second with 16 callers, no prompt twice; and the p99 in milliseconds at half of that rate, from the moment that
    each call was due."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) for _ in range(CONNECTIONS)]
    stubs = [PreprocessServiceStub(channel) for channel in channels]
    numbers = iter(range(1, 10_000_000))

    async def one(stub: PreprocessServiceStub) -> None:
        number = next(numbers)
        text = f"{texts[number % len(texts)]} Take {number}."
        answer = await stub.PreparePrompt(pb.PreparePromptRequest(input=pb.PromptInput(text=text)), timeout=60)
        assert answer.receipt.cache == pb.CACHE_RESULT_MISS

    async def caller(stub: PreprocessServiceStub, calls: int) -> None:
        for _ in range(calls):
            await one(stub)

    await asyncio.gather(*(caller(stub, 5) for stub in stubs))
    began = time.perf_counter()
    each = max(1, count // CONNECTIONS)
    await asyncio.gather(*(caller(stub, each) for stub in stubs))
    rate = each * CONNECTIONS / (time.perf_counter() - began)
    late: list[float] = []
    begin = time.perf_counter() + 0.05

    async def due(number: int) -> None:
        at = begin + number * 2 / rate
        await asyncio.sleep(max(0.0, at - time.perf_counter()))
        await one(stubs[number % CONNECTIONS])
        late.append((time.perf_counter() - at) * 1e3)

    await asyncio.gather(*(due(n) for n in range(count)))
    for channel in channels:
        await channel.close()
    late.sort()
    p50, p99 = late[len(late) // 2], late[int(len(late) * 0.99)]
    print(
        f"uncached: {rate:.0f}/s with {CONNECTIONS} callers; at {rate / 2:.0f}/s p50 {p50:.1f} ms, p99 {p99:.1f} ms\n"
    )
    return rate, p99


if __name__ == "__main__":
    sys.exit(main())
