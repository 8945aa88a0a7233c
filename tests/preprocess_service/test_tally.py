"""What receipts add up to, and that no label grows with the callers."""

from __future__ import annotations

import random
from threading import Thread

from prometheus_client import CollectorRegistry

from preprocess_service.convert import prepared_of
from preprocess_service.core import POLICIES, Request
from preprocess_service.metrics import Metrics
from preprocess_service.pipeline import Line
from preprocess_service.tally import REASONS, WAITING, Tally
from preprocess_service.tenant_labels import MOST, TenantLabels
from reelgate.preprocess.v1 import preprocess_pb2 as pb


def samples(tally: Tally) -> dict[tuple[str, ...], float]:
    """(name, label values) -> value."""
    return {
        (sample.name.removeprefix("reelgate_preprocess_"), *sample.labels.values()): sample.value
        for family in tally.collect()
        for sample in family.samples
    }


def made(line: Line, text: str, policy: str = "economy") -> pb.PreparedPrompt:
    return prepared_of(line.prepare(Request(text=text, policy=POLICIES[policy])), "embedded")


def test_tokens_by_stage_are_those_of_the_receipt(line: Line, long_prompt: str) -> None:
    tally, prompt = Tally(TenantLabels("a")), made(line, long_prompt)
    tally.first("a", prompt.receipt)
    found = samples(tally)
    for stage in prompt.receipt.stages:
        assert found["stage_tokens_in_total", stage.stage] == stage.tokens_in
        assert found["stage_tokens_out_total", stage.stage] == stage.tokens_out
    assert found["tokens_in_total", "a", "embedded", "economy"] == prompt.receipt.tokens_before
    assert found["tokens_out_total", "a", "embedded", "economy"] == prompt.receipt.tokens_after
    removed = sum(max(0, len(c.original) - len(c.replacement)) for c in prompt.receipt.changes)
    assert sum(value for key, value in found.items() if key[0] == "removed_characters_total") == removed > 0


def test_a_hit_counts_as_the_prompt_that_it_is_but_takes_no_time(line: Line, long_prompt: str) -> None:
    first, again = Tally(TenantLabels("a")), Tally(TenantLabels("a"))
    prompt = made(line, long_prompt)
    for _ in range(3):
        first.first("a", prompt.receipt)
        again.again("a", prompt.SerializeToString())
    by_receipt = {key: value for key, value in samples(first).items() if key[0] != "stage_seconds_total"}
    assert samples(again) == by_receipt
    assert by_receipt["screened_total", "a", "pass"] == 3


def test_many_different_hits_do_not_pile_up(line: Line) -> None:
    tally, prompt = Tally(TenantLabels("a")), made(line, "a red ball")
    for number in range(3 * WAITING):
        prompt.prompt = f"a red ball {number}"
        tally.again("a", prompt.SerializeToString())
        assert len(tally._waiting) < WAITING
    assert samples(tally)["screened_total", "a", "pass"] == 3 * WAITING


def test_nothing_is_lost_while_others_scrape(line: Line) -> None:
    tally, answer = Tally(TenantLabels("a")), made(line, "a red ball").SerializeToString()

    def count() -> None:
        for _ in range(5000):
            tally.again("a", answer)

    threads = [Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        samples(tally)
    assert samples(tally)["screened_total", "a", "pass"] == 20_000


def test_tenants_that_are_not_listed_are_summed_up(line: Line) -> None:
    tally, receipt = Tally(TenantLabels("a, b")), made(line, "a red ball").receipt
    for tenant in ("a", "b", "c", "d", "*", "other"):
        tally.first(tenant, receipt)
    screened = {key[1]: value for key, value in samples(tally).items() if key[0] == "screened_total"}
    assert screened == {"a": 1, "b": 1, "other": 4}


def test_everybody_is_a_thousand_at_most() -> None:
    labels = TenantLabels("*")
    found = {labels.of(f"tenant-{number}") for number in range(3 * MOST)}
    assert len(found) == MOST + 1
    assert labels.of("tenant-1") == "tenant-1"


def test_without_a_list_nobody_has_figures_of_their_own() -> None:
    assert {TenantLabels().of(f"tenant-{number}") for number in range(10)} == {"other"}


def test_ten_thousand_callers_with_strange_receipts_make_few_samples(line: Line) -> None:
    tally, receipt, rng = Tally(TenantLabels("a")), made(line, "a red ball").receipt, random.Random(1)
    before = len(samples(tally))
    for number in range(10_000):
        change = pb.Change(stage="clean", reason=f"reason-{rng.random()}", original="xx")
        receipt.ClearField("changes")
        receipt.changes.append(change)
        tally.first(f"tenant-{number}", receipt)
    assert before == 0
    assert len(samples(tally)) < REASONS + 50


def test_budget_tokens_that_are_sent_have_the_name_of_opentelemetry() -> None:
    metrics = Metrics()
    metrics.sent("embedded", 64)
    metrics.sent("embedded", 65)
    labels = {
        "gen_ai_operation_name": "generate_content",
        "gen_ai_provider_name": "reelgate",
        "gen_ai_token_type": "input",
        "gen_ai_request_model": "embedded",
    }
    read = metrics.registry.get_sample_value
    assert read("gen_ai_client_token_usage_sum", labels) == 129
    assert read("gen_ai_client_token_usage_bucket", labels | {"le": "64.0"}) == 1
    assert isinstance(metrics.registry, CollectorRegistry)
