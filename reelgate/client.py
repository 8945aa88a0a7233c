"""The typed client of preprocess_service, which is all that a caller needs."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Self

from reelgate import convert
from reelgate import values as v
from reelgate.client_budgets import BudgetCalls
from reelgate.client_budgets import UnreachableError as UnreachableError
from reelgate.generator.v1 import generator_pb2 as gpb
from reelgate.landing import landing, target_of
from reelgate.preprocess.v1 import preprocess_pb2 as pb
from reelgate.preprocess.v1 import preprocess_pb2_grpc as rpc
from reelgate.rpc.channel import connect
from reelgate.rpc.config import ChannelConfig
from reelgate.rpc.errors import InternalError, UnavailableError
from reelgate.rpc.status import typed_errors

DEFAULT_ADDRESS = "127.0.0.1:50050"
SHORT_CALL_SECONDS = 30.0
# A broken download goes on from where it broke, this often.
DOWNLOAD_ATTEMPTS = 3


class Client(BudgetCalls):
    """One connection to Reelgate; make it inside a running event loop and close it, or use ``async with``.

        async with Client() as reelgate:
            video = await reelgate.generate_to_file("A red ball rolls to the left on grass", "ball.mp4")

    ``token`` is a bearer token, where the service has a token file. Every method raises the errors of `reelgate.rpc.errors`:
    each has a stable ``reason``, the ``next_step`` to take and, where waiting helps, ``retry_after`` in seconds.
    """

    def __init__(self, address: str = DEFAULT_ADDRESS, *, token: str | None = None, tls: bool = False) -> None:
        self._channel = connect(ChannelConfig(target=address, token=token, tls=tls))
        self._stub = rpc.PreprocessServiceStub(self._channel)
        self._usage = rpc.UsageServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection. Runs go on."""
        await self._channel.close()

    async def prepare(
        self,
        prompt: str | v.Fields,
        *,
        policy: str = "",
        keywords: Sequence[str] = (),
        negative_prompt: str | None = None,
        template: str = "",
        strict: bool = False,
        ratio: float | None = None,
        tier: str = "",
        settings: v.Settings | None = None,
        check_budget: bool = False,
        timeout: float | None = SHORT_CALL_SECONDS,
    ) -> v.Prepared:
        """The dry run: the final prompt, its receipt and what it would cost; nothing is queued or spent. ``timeout`` in seconds.

        ``settings`` (whose tier may stand in ``tier`` alone) matter for the cost. ``check_budget``: also what the budget would say.
        """
        request = convert.message(
            pb.PreparePromptRequest,
            input=convert.prompt_input(
                prompt,
                policy=policy,
                keywords=tuple(keywords),
                negative_prompt=negative_prompt,
                template=template,
                strict=strict,
                ratio=ratio,
            ),
            settings=convert.settings_message(settings or v.Settings(tier=tier)),
            check_budget=check_budget,
        )
        with typed_errors(UnreachableError):
            return convert.prepared(await self._stub.PreparePrompt(request, timeout=timeout))

    async def generate(
        self,
        prompt: str | v.Fields,
        *,
        policy: str = "",
        keywords: Sequence[str] = (),
        negative_prompt: str | None = None,
        template: str = "",
        strict: bool = False,
        ratio: float | None = None,
        settings: v.Settings | None = None,
        post_processing: v.PostProcessing | None = None,
        request_id: str = "",
        timeout: float | None = None,
    ) -> AsyncGenerator[v.Event, None]:
        """Start or attach, and yield events: `Prepared`, `Accepted`, `Progress`…, and last the finished `Video` with its bill.

        ``request_id`` is your own id of this request: however often it is sent again with that, it is charged once.

        Leaving the iterator does not stop the run: the same request attaches to it again. Equal requests are one video.
        """
        finish = post_processing or v.PostProcessing()
        request = convert.message(
            pb.GenerateVideoRequest,
            input=convert.prompt_input(
                prompt,
                policy=policy,
                keywords=tuple(keywords),
                negative_prompt=negative_prompt,
                template=template,
                strict=strict,
                ratio=ratio,
            ),
            settings=convert.settings_message(settings or v.Settings()),
            post_processing=convert.message(gpb.PostProcessing, fps=finish.fps, watermark=finish.watermark),
            request_id=request_id,
        )
        with typed_errors(UnreachableError):
            call = self._stub.GenerateVideo(request, timeout=timeout)
            try:
                async for message in call:
                    if event := convert.event(message):
                        yield event
            finally:
                call.cancel()

    async def generate_to_file(
        self,
        prompt: str | v.Fields,
        path: str | Path,
        *,
        on_event: Callable[[v.Event], None] | None = None,
        policy: str = "",
        keywords: Sequence[str] = (),
        negative_prompt: str | None = None,
        template: str = "",
        strict: bool = False,
        ratio: float | None = None,
        settings: v.Settings | None = None,
        post_processing: v.PostProcessing | None = None,
        request_id: str = "",
        timeout: float | None = None,
    ) -> v.Video:
        """Generate, download and verify; ``on_event`` sees every event. Returns the finished video.

        Raises ``OSError`` at once where ``path`` can be no file: a video that took minutes is not made for nothing.
        """
        target, done = target_of(path), None
        run = self.generate(
            prompt,
            policy=policy,
            keywords=keywords,
            negative_prompt=negative_prompt,
            template=template,
            strict=strict,
            ratio=ratio,
            settings=settings,
            post_processing=post_processing,
            request_id=request_id,
            timeout=timeout,
        )
        async with aclosing(run) as events:
            async for event in events:
                if on_event:
                    on_event(event)
                if isinstance(event, v.Video):
                    done = event
        if done is None:
            raise InternalError("the stream ended without a video")
        await self.download(done.name, target)
        return done

    async def get(self, name: str, *, timeout: float | None = SHORT_CALL_SECONDS) -> v.Video:
        """The state of ``videos/<sha256>``. Raises ``NotFoundError`` for a name that this tenant never asked for."""
        request = convert.message(pb.GetVideoRequest, name=name)
        with typed_errors(UnreachableError):
            return convert.video((await self._stub.GetVideo(request, timeout=timeout)).video)

    async def videos(
        self, *, page_size: int = 0, timeout: float | None = SHORT_CALL_SECONDS
    ) -> AsyncGenerator[v.Video, None]:
        """All videos of this tenant, newest first, whatever their state; over all pages. ``timeout`` in seconds, of each page."""
        request = convert.message(pb.ListVideosRequest, page_size=page_size)
        while True:
            with typed_errors(UnreachableError):
                page = await self._stub.ListVideos(request, timeout=timeout)
            for each in page.videos:
                yield convert.video(each)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def cancel(self, name: str, *, timeout: float | None = SHORT_CALL_SECONDS) -> v.Video:
        """Stop a run between two steps; a run that has ended stays as it ended."""
        request = convert.message(pb.CancelVideoRequest, name=name)
        with typed_errors(UnreachableError):
            answer = await self._stub.CancelVideo(request, timeout=timeout)
        return convert.video(answer.video)

    async def download(self, name: str, path: str | Path) -> Path:
        """Write the finished video to ``path``, whole or not at all, verified by its sha256.

        A connection that breaks is taken up again where it broke. Raises ``OSError`` where the file cannot be written.
        """
        target = target_of(path)
        wanted = (await self.get(name)).sha256
        with landing(target) as out:
            found = await self._fetch(name, out.write)
            if found != wanted:
                raise InternalError(f"{name} arrived damaged: sha256 {found}, not {wanted}")
        return target

    async def _fetch(self, name: str, write: Callable[[bytes], object]) -> str:
        """Pass all bytes on, in order; their sha256 in hex."""
        found, offset = hashlib.sha256(), 0
        for attempt in range(1, DOWNLOAD_ATTEMPTS + 1):
            try:
                with typed_errors(UnreachableError):
                    async for chunk in self._stub.DownloadVideo(pb.DownloadVideoRequest(name=name, offset=offset)):
                        found.update(chunk.data)
                        write(chunk.data)
                        offset += len(chunk.data)
                return found.hexdigest()
            except UnavailableError:
                if attempt == DOWNLOAD_ATTEMPTS:
                    raise
        raise AssertionError("unreachable")
