"""A prompt once it is normalised, and the way back from what the line made of it to what the client wrote.

Equal normalised prompts share one result (and one place in the cache), although their originals differ in dirt. So the line
works on the normalised text as if it were the original, and its result is then told in offsets of each client's own text.
"""

from dataclasses import dataclass, replace

from .core import Change, Prepared, Prompt, Receipt, Request, Screening, StageReport

DEEP = 0.5
"""Below this share of its tokens a prompt counts as deeply compressed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """``request`` has the normalised text, no fields; ``prompt`` leads from it to the original. ``reports`` and ``changes``
    are those of the normalising stages, ``tokens`` the original's. ``screening`` judges this original, not the normalised text."""

    request: Request
    prompt: Prompt
    tokens: int
    reports: tuple[StageReport, ...]
    changes: tuple[Change, ...]
    notes: tuple[str, ...]
    screening: Screening

    def close(self, prepared: Prepared) -> Prepared:
        """``prepared`` (made of ``request``) with a receipt for the client's original."""
        receipt = prepared.receipt
        return replace(
            prepared,
            receipt=replace(
                receipt,
                original=self.prompt.original,
                tokens_before=self.tokens,
                stages=self.reports + receipt.stages,
                changes=self.changes + tuple(map(self._moved, receipt.changes)),
                notes=self.notes + receipt.notes + (("deep_compression",) if self._is_deep(receipt) else ()),
                screening=self.screening,
                template=f"{self.request.template.name}@{self.request.template.version}",
            ),
        )

    def _is_deep(self, receipt: Receipt) -> bool:
        return receipt.method != "none" and receipt.tokens_after < DEEP * self.tokens

    def _moved(self, change: Change) -> Change:
        """The change with its span in the original; nothing moves where normalising found nothing to do."""
        if not self.changes:
            return change
        start, end = self.prompt.span(change.start, change.end)
        return replace(change, start=start, end=end, original=self.prompt.original[start:end])
