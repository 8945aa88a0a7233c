"""``reelgate prepare``: the line in this process, or in a running service. The verbs of budgets are in budgets/commands.py."""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf.json_format import MessageToDict
from rich.console import Console

from reelgate import cli_show as show
from reelgate.cli_generate import typed
from reelgate.preprocess.v1 import preprocess_pb2 as pb
from reelgate.rpc.errors import ReelgateError

from . import tokens
from .budgets import commands as budgets
from .convert import prepared_of
from .core import POLICIES, Request
from .pipeline import Line
from .receipt_view import show as show_receipt
from .remote import ask
from .settings import embedded_tokenizer

Answer = dict[str, Any]
"""``prompt``, ``negative_prompt``, ``tokens_before``, ``tokens_after`` and ``receipt``, ready for JSON."""


def register(app: typer.Typer) -> None:
    """Add this service's verbs to the ``reelgate`` command."""
    app.command(name="prepare")(prepare)
    budgets.register(app)


def prepare(
    text: Annotated[str | None, typer.Argument(help="The prompt; - reads it from standard input.")] = None,
    jsonl: Annotated[
        tuple[Path, Path] | None, typer.Option("--jsonl", metavar="IN OUT", help="Many: {id, text} a line.")
    ] = None,
    policy: Annotated[str, typer.Option(help="economy, balanced, full or passthrough.")] = "economy",
    keyword: Annotated[
        list[str] | None,
        typer.Option(
            "--keyword", "--keep", help="A term that must survive; may be repeated. Or mark it: \\[\\[term]]."
        ),
    ] = None,
    ratio: Annotated[
        float | None,
        typer.Option(min=0.1, max=1.0, help="At most this share of its tokens, under the policy's target."),
    ] = None,
    negative: Annotated[str, typer.Option(help="The client's own negative prompt.")] = "",
    strict: Annotated[bool, typer.Option(help="Refuse rather than lose something mandatory.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
    tokenizer: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="tokenizer.json or sentencepiece model.")
    ] = None,
    server: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Ask a running service instead.")] = None,
) -> None:
    """Clean, shorten and count a prompt, and say what happened to it. Nothing is queued or spent."""
    if (text is None) == (jsonl is None):
        raise typer.BadParameter("give a prompt, or --jsonl IN OUT")
    if policy not in POLICIES:
        raise typer.BadParameter(f"is one of {', '.join(POLICIES)}", param_hint="--policy")
    if server and tokenizer:
        raise typer.BadParameter("a running service counts with its own tokenizer", param_hint="--tokenizer")
    options = {
        "policy": policy,
        "keywords": tuple(keyword or ()),
        "negative": negative,
        "strict": strict,
        "ratio": ratio,
    }
    answer = remote(server, options) if server else local(tokenizer or embedded_tokenizer(), options)
    if jsonl:
        raise typer.Exit(many(*jsonl, answer))
    raise typer.Exit(one(typed(str(text)), answer, as_json=as_json))


def local(tokenizer: Path, options: dict[str, Any]) -> Callable[[str], Answer]:
    """The line in this process, counting with ``tokenizer``."""
    try:
        line = Line(tokenizer=tokens.load(tokenizer))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--tokenizer") from error
    rest = {name: value for name, value in options.items() if name != "policy"}
    policy = POLICIES[options["policy"]]
    return lambda text: answer_of(prepared_of(line.prepare(Request(text=text, policy=policy, **rest)), tier=""))


def remote(server: str, options: dict[str, Any]) -> Callable[[str], Answer]:
    """The line of the service at ``server``."""
    return lambda text: answer_of(asyncio.run(ask(server, text, **options)))


def answer_of(prepared: pb.PreparedPrompt) -> Answer:
    """What the line made, with the receipt as the contract's JSON."""
    return {
        "prompt": prepared.prompt,
        "negative_prompt": prepared.negative_prompt,
        "tokens_before": prepared.receipt.tokens_before,
        "tokens_after": prepared.receipt.tokens_after,
        "receipt": MessageToDict(
            prepared.receipt, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        ),
    }


def one(text: str, answer: Callable[[str], Answer], *, as_json: bool) -> int:
    """Print one prompt; the exit code."""
    try:
        result = answer(text)
    except ReelgateError as error:
        show.refusal(error)
        return 1
    if as_json:
        print(json.dumps(result, ensure_ascii=False, indent=2))
        return 0
    print(result["prompt"], flush=True)
    show_receipt(Console(stderr=True), text, result["receipt"])
    return 0


def many(source: Path, target: Path, answer: Callable[[str], Answer]) -> int:
    """Every line of ``source``; a line that fails is written with its error. The exit code: 1 when any did."""
    failed = done = 0
    if not source.is_file():
        raise typer.BadParameter(f"there is no file {source}", param_hint="--jsonl")
    # Beside the target and then renamed: IN may be OUT, and what was there stays until all is written.
    making = target.with_name(f".{target.name}.{os.getpid()}")
    with making.open("w", encoding="utf-8", errors="backslashreplace") as out:
        for number, raw in enumerate(lines(source), 1):
            row: dict[str, Any] = {"id": number}
            try:
                given = json.loads(raw)
                row["id"] = given["id"]
                result = answer(given["text"])
                row |= {name: result[name] for name in ("prompt", "tokens_before", "tokens_after", "receipt")}
                done += 1
            except ReelgateError as refusal:
                row["error"] = {"reason": refusal.reason, "message": str(refusal)}
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                row["error"] = {
                    "reason": "BAD_LINE",
                    "message": f"line {number} is no JSON object with id and text: {type(error).__name__}",
                }
            failed += "error" in row
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    making.replace(target)
    print(f"{done} prepared, {failed} failed", file=sys.stderr)
    return 1 if failed else 0


def lines(source: Path) -> Iterator[str]:
    """The file's lines that are not blank; bytes that are no UTF-8 become a line that fails."""
    with source.open(encoding="utf-8", errors="surrogateescape") as file:
        yield from (line for line in file if line.strip())
