"""A tenant's keywords: found where they stand alone, longest first, from files that are read again."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess_service.core import POLICIES, Request
from preprocess_service.lexicons import TERMS_MAX, Lexicon, terms_of
from preprocess_service.pipeline import Line
from preprocess_service.tenants import Tenants
from reelgate.rpc.errors import ProtectedTermsError


def test_terms_stand_alone_also_beside_chinese_and_marks() -> None:
    lexicon = Lexicon(["c++", "猫咪", "AcmeCam", "art"])
    assert lexicon.found("用c++写的猫咪, acmecam; start a cart") == ("c++", "猫咪", "acmecam")


def test_of_overlapping_terms_the_longest_counts_and_a_failed_long_one_hides_no_short_one() -> None:
    lexicon = Lexicon(["Acme", "Acme Cam", "Acme Cam Pro"])
    assert lexicon.found("an Acme Cam Pro and an Acme Cam Professional") == ("Acme Cam Pro", "Acme Cam")


@given(st.lists(st.text("ab ", min_size=1, max_size=4), max_size=6), st.text("ab ", max_size=30))
def test_what_is_found_is_in_the_text(terms: list[str], text: str) -> None:
    assert all(found in text for found in Lexicon(terms).found(text))


def test_a_term_survives_or_the_request_fails(line: Line, long_prompt: str) -> None:
    lexicon = Lexicon(["casting long shadows", "glossy finish", "zeppelin"])
    opened = line.open(Request(text=long_prompt), lexicon)
    prepared = opened.close(line.shorten(opened.request))
    assert "casting long shadows" in prepared.prompt
    assert "glossy finish" in prepared.prompt
    terms = {t.text: (t.kind, t.survived) for t in prepared.receipt.protected if t.kind == "lexicon"}
    assert terms == {"glossy finish": ("lexicon", True), "casting long shadows": ("lexicon", True)}
    everything = Lexicon(part.strip() for part in long_prompt.split("."))
    opened = line.open(Request(text=long_prompt, policy=POLICIES["economy"]), everything)
    with pytest.raises(ProtectedTermsError):
        line.shorten(opened.request)


def test_a_file_has_a_term_a_line_and_comments() -> None:
    assert terms_of(b"\xef\xbb\xbf# brands\n\n  Acme Cam \n#1 Fan\n") == ("Acme Cam", "#1 Fan")


def test_too_many_terms_are_an_error() -> None:
    with pytest.raises(ValueError, match="at most"):
        Lexicon(str(n) for n in range(TERMS_MAX + 1))


def test_a_tenants_keywords_come_on_top_of_everybodys_and_change_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "tenants").mkdir()
    (tmp_path / "default.keywords.txt").write_text("Reelgate\n")
    mine = tmp_path / "tenants" / "acme.keywords.txt"
    mine.write_text("Acme Cam\n", encoding="utf-8")
    tenants, text = Tenants(tmp_path), "an Acme Cam by Reelgate with a 测试机"
    before = tenants.of("acme")
    assert before.lexicon.found(text) == ("Acme Cam", "Reelgate")
    assert tenants.of("other").lexicon.found(text) == ("Reelgate",)
    mine.write_text("Acme Cam\n测试机\n", encoding="utf-8")
    after = tenants.of("acme")
    assert after.lexicon.found(text) == ("Acme Cam", "Reelgate", "测试机")
    assert after.version != before.version


def test_a_keyword_file_that_is_no_text_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "tenants").mkdir()
    (tmp_path / "tenants" / "acme.keywords.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ValueError, match="utf-8"):
        Tenants(tmp_path)


def test_terms_are_cleaned_as_prompts_are(line: Line) -> None:
    raw = "L’Oréal\n“Zen” Bar\nBig  Mac\nｎｉｋｅ\n".encode("utf-8-sig")
    text = "A L’Oréal stand, a “Zen” Bar, a Big  Mac and a ｎｉｋｅ shoe"
    opened = line.open(Request(text=text), Lexicon(terms_of(raw)))
    assert len(opened.request.configured) == 4


def test_a_tenant_whose_first_file_is_broken_gets_everybodys(tmp_path: Path) -> None:
    (tmp_path / "tenants").mkdir()
    (tmp_path / "default.yaml").write_text("screening: reject")
    tenants = Tenants(tmp_path)
    (tmp_path / "tenants" / "acme.yaml").write_text("screening: [")
    assert tenants.of("acme").screening == "reject"


def test_keywords_that_are_too_many_together_stop_the_start(tmp_path: Path) -> None:
    (tmp_path / "tenants").mkdir()
    half = TERMS_MAX // 2 + 1
    (tmp_path / "default.keywords.txt").write_text("\n".join(f"a{n}" for n in range(half)))
    (tmp_path / "tenants" / "acme.keywords.txt").write_text("\n".join(f"b{n}" for n in range(half)))
    with pytest.raises(ValueError, match="at most"):
        Tenants(tmp_path)
