"""The line beside LLMLingua-2's rules (Pan et al., arXiv:2403.12968, section 3.3), at the same number of tokens.

LLMLingua-2 keeps the words whose probability is over a percentile, in order, without phrases; marks that end a sentence and words
with digits may be forced. Its rules are run here over our own odds, since its classifier's weights cannot be had: what the classifier
itself would choose is not measured.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.prompt_data import Check, Row, load_metric
from benchmarks.prompts_reads import phrased
from preprocess_service.clean import clean
from preprocess_service.core import Prompt, Request
from preprocess_service.pipeline import Line
from preprocess_service.summarise import lexicon
from preprocess_service.summarise.units import SENTENCE_END, chunks_of, words_of
from preprocess_service.summarise.values import weigh


def beside(rows: Sequence[Row], line: Line) -> Check:
    """Prints the table; the check says what could not be measured."""
    metric = load_metric()
    print("at equal tokens (each prompt's own count of the line), English")
    print(f"{'method':52}{'recall':>8}{'tokens':>8}{'phrases':>9}{'joined':>8}")
    made = {row["id"]: line.prepare(Request(text=row["long"])).prompt for row in rows}
    rules = {row["id"]: threshold(row["long"], line.tokenizer.count(made[row["id"]]), line) for row in rows}
    for name, outputs in (("the line", made), ("LLMLingua-2's rules over our odds", rules)):
        found = metric.run([{**row, "compressed": outputs[row["id"]]} for row in rows], line.tokenizer.count)
        words = [words_of(text) for text in outputs.values()]
        phrases = sum(map(phrased, words)) / len(words)
        joined = sum(any(w.lower in lexicon.PREPOSITIONS for w in some) for some in words) / len(words)
        print(f"{name:52}{found['reachable_recall']:8.3f}{found['mean_tokens']:8.1f}{phrases:9.3f}{joined:8.3f}")
    return Check(
        "LLMLingua-2 itself at equal tokens", None, "its weights cannot be had here; only its rules ran, above"
    )


def threshold(text: str, target: int, line: Line) -> str:
    """The words over the highest percentile that fits ``target`` tokens; digits and the ends of sentences are forced."""
    source = clean(Prompt.of(text))[0].text
    words = words_of(source)
    weigh(words, chunks_of(words))
    forced = [word.lower[0].isdigit() for word in words]
    order = sorted(
        (i for i, word in enumerate(words) if not word.mark and not forced[i]), key=lambda i: -words[i].value
    )

    def kept(size: int) -> str:
        chosen = {*order[:size], *(i for i, force in enumerate(forced) if force)}
        out: list[str] = []
        for i, word in enumerate(words):
            if i in chosen:
                out.append((" " if out else "") + source[word.start : word.end])
            elif word.lower in SENTENCE_END and out and out[-1] not in SENTENCE_END:
                out.append(source[word.start : word.end])
        return "".join(out)

    low, high = 0, len(order)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if line.tokenizer.count(kept(middle)) <= target else (low, middle - 1)
    return kept(low)
