"""The whole line, both services as processes: a long, dirty prompt in, an MP4 out that shows what the prompt says."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from generator_service.models.training.scorer import score
from reelgate import Accepted, Client, Prepared, Progress, Video
from reelgate.cli_demo import PROMPT
from reelgate.processes import Services


@pytest.mark.timeout(240)
async def test_the_demo_prompt_becomes_the_video_that_it_describes(tmp_path: Path) -> None:
    async with Services(store=tmp_path / "store", log=None) as services, Client(services.address) as client:
        events: list[object] = []
        target = tmp_path / "video.mp4"
        video = await client.generate_to_file(PROMPT, target, on_event=events.append, timeout=120)
        again: list[object] = []
        stored = await client.generate_to_file(PROMPT, tmp_path / "again.mp4", on_event=again.append, timeout=120)
    prepared = next(e for e in events if isinstance(e, Prepared))
    assert prepared.receipt.tokens_after <= 64 < prepared.receipt.tokens_before
    assert [type(e) for e in events if not isinstance(e, Progress)] == [Prepared, Accepted, Video]
    assert any(isinstance(e, Progress) for e in events)
    seen = score(frames_of(target))
    assert (seen.color, seen.motion, seen.background) == ("red", "right", "grass")
    assert video.report
    assert video.report.steps_run == 16
    assert stored.name == video.name
    assert stored.report
    assert stored.report.cached
    assert not any(isinstance(e, Progress) for e in again)


def frames_of(path: Path) -> np.ndarray:
    """(frames, height, width, 3) in [0, 1], decoded from the file."""
    with av.open(str(path)) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack(pictures).astype(np.float32) / 255
