"""From what the generator tells of a run to the bill."""

from __future__ import annotations

from reelgate.generator.v1 import generator_pb2 as gpb

from . import bills
from .core import Bill, Cause, Hold

CAUSES = {
    gpb.VIDEO_STATE_DONE: Cause.DONE,
    gpb.VIDEO_STATE_CANCELLED: Cause.CANCELLED,
    gpb.VIDEO_STATE_FAILED: Cause.FAILED,
}
"""Of runs that have ended. A run that failed is our fault always: what a client can do wrong is refused before it begins."""


def used(report: gpb.Report) -> int:
    """Device time of all stages, in milliseconds."""
    spent = report.device_time
    return spent.text_ms + spent.denoise_ms + spent.decode_ms + spent.encode_ms


def began(report: gpb.Report) -> bool:
    """The text encoder has read the prompt. On a fast device that may take less than a millisecond, so steps count too."""
    return report.device_time.text_ms > 0 or report.steps_run > 0


def bill_of(video: gpb.Video, hold: Hold) -> Bill:
    """What is due for the run of ``hold``, which has ended as ``video`` says."""
    report = video.report
    return bills.bill(
        CAUSES[video.state],
        tokens=hold.amount.tokens,
        device_ms=used(report),
        began=began(report),
        saved_ms=report.saved_device_ms,
    )


def ended_ms(video: gpb.Video) -> int:
    """When the run ended, Unix ms; 0 where that is not told."""
    return video.report.end_time.ToMilliseconds() if video.report.HasField("end_time") else 0


class Forecast:
    """How much device time a run will have used at the end of its stage, from how fast the stage's steps go.

    The first step of a stage says nothing (loading and warming up are in it), so it speaks from the second on. Stages to come are
    not in it: each raises the forecast when it is there.
    """

    def __init__(self) -> None:
        self._stage, self._from = gpb.STAGE_UNSPECIFIED, gpb.Progress()

    def of(self, progress: gpb.Progress) -> int:
        """In milliseconds; what is used already, where nothing more is known."""
        if progress.stage != self._stage or progress.step < self._from.step:
            self._stage, self._from = progress.stage, progress
        steps = progress.step - self._from.step
        if steps <= 0 or not progress.device_ms or not self._from.device_ms:
            return progress.device_ms
        each = max(0, progress.device_ms - self._from.device_ms) / steps
        return progress.device_ms + round(each * max(0, progress.steps - progress.step))
