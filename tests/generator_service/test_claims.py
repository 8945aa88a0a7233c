"""A run has one owner, and its claim says what its owners came to."""

from __future__ import annotations

from pathlib import Path

import pytest

from generator_service.claims import ClaimLostError, Claims
from generator_service.objects import LocalObjects

NAME = "videos/" + "1" * 64


@pytest.fixture
def claims(tmp_path: Path) -> Claims:
    return Claims(LocalObjects(tmp_path / "store"))


def test_a_run_is_claimed_once(claims: Claims) -> None:
    held = claims.open(NAME, "a")
    assert held is not None
    assert claims.open(NAME, "b") is None
    assert claims.read(NAME) == held
    assert claims.names() == [NAME]
    claims.end(NAME)
    assert claims.read(NAME) is None
    again = claims.open(NAME, "b")
    assert again is not None
    assert again.claim.run != held.claim.run


def test_of_two_that_take_it_one_gets_it(claims: Claims) -> None:
    held = claims.open(NAME, "dead")
    assert held is not None
    taken = claims.change(NAME, held, held.claim.taken("a", 0))
    with pytest.raises(ClaimLostError):
        claims.change(NAME, held, held.claim.taken("b", 0))
    with pytest.raises(ClaimLostError):
        claims.begin(NAME, held)
    assert claims.begin(NAME, taken).claim.attempts == 1


def test_what_is_given_back_is_nobodys_and_no_failed_attempt(claims: Claims) -> None:
    held = claims.open(NAME, "a")
    assert held is not None
    claims.give_back(NAME, claims.begin(NAME, held))
    found = claims.read(NAME)
    assert found is not None
    assert (found.claim.owner, found.claim.attempts) == ("", 1)
    assert found.claim.taken("b", 0).barren == 0


def test_a_torn_claim_is_nobodys(claims: Claims, tmp_path: Path) -> None:
    claims.open(NAME, "a")
    (tmp_path / "store" / "runs" / ("1" * 64)).write_bytes(b'{"run": "')
    found = claims.read(NAME)
    assert found is not None
    assert found.claim.owner == ""


def test_a_wish_to_cancel_is_for_one_run_and_goes_with_it(claims: Claims) -> None:
    held = claims.open(NAME, "a")
    assert held is not None
    claims.ask_to_cancel(NAME, held.claim.run)
    assert claims.cancels() == [NAME]
    assert claims.is_cancelled(NAME, held.claim.run)
    assert not claims.is_cancelled(NAME, "a later run")
    claims.end(NAME)
    assert claims.cancels() == []
    claims.ask_to_cancel(NAME, held.claim.run)
    assert claims.cancels() == [], "a wish that comes too late is not kept"


def test_a_wish_that_comes_after_the_next_run_of_its_name_has_begun_is_not_kept(claims: Claims) -> None:
    first = claims.open(NAME, "a")
    assert first is not None
    claims.end(NAME)
    second = claims.open(NAME, "b")
    claims.ask_to_cancel(NAME, first.claim.run)
    assert (claims.cancels(), claims.read(NAME)) == ([], second)


def test_a_wish_that_is_stored_while_its_run_ends_goes_with_it(tmp_path: Path) -> None:
    class Between(LocalObjects):
        def delete(self, *paths: str) -> None:
            super().delete(*paths)
            if any(path.startswith("runs/") for path in paths):
                self.put(f"cancels/{NAME.removeprefix('videos/')}", b"of the run that has just ended")

    claims = Claims(Between(tmp_path / "store"))
    assert claims.open(NAME, "a") is not None
    claims.end(NAME)
    assert claims.cancels() == []


def test_a_wish_that_is_forgotten_takes_no_claim_with_it(claims: Claims) -> None:
    held = claims.open(NAME, "a")
    assert held is not None
    claims.ask_to_cancel(NAME, "an earlier run")
    claims.forget_wish(NAME)
    assert claims.cancels() == []
    assert claims.read(NAME) == held
    claims.ask_to_cancel(NAME, held.claim.run)
    claims.forget_wish(NAME)
    assert claims.is_cancelled(NAME, held.claim.run), "its run is there, so it is not too late"


def test_who_buries_a_claim_leaves_the_one_that_came_after_it(claims: Claims) -> None:
    old = claims.open(NAME, "dead")
    assert old is not None
    claims.end(NAME)
    new = claims.open(NAME, "a")
    assert new is not None
    assert not claims.bury(NAME, old, "b")
    assert claims.read(NAME) == new
    assert claims.bury(NAME, new, "b")
    assert claims.read(NAME) is None
