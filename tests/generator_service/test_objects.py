"""The same promises in a folder and in a bucket: a real S3 endpoint on loopback (moto's server)."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from generator_service.address import open_objects
from generator_service.objects import LocalObjects, Objects, StoreUnavailableError
from tests.generator_service.bucket import KEYS, endpoint, new_bucket


@pytest.fixture(scope="module", name="endpoint")
def _endpoint() -> Iterator[str]:
    with endpoint() as address:
        yield address


@pytest.fixture(params=["folder", "bucket"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    if request.param == "folder":
        return open_objects(tmp_path / "store")
    address = request.getfixturevalue("endpoint")
    return open_objects(*new_bucket(address, f"b{time.time_ns()}"))


def test_what_is_put_is_read_with_a_tag_that_every_write_changes(objects: Objects) -> None:
    assert objects.get("runs/1") is None
    objects.put("runs/1", b"one")
    first = objects.get("runs/1")
    objects.put("runs/1", b"two")
    second = objects.get("runs/1")
    assert first is not None
    assert second is not None
    assert (first.data, second.data) == (b"one", b"two")
    assert first.tag != second.tag
    assert abs(objects.changed_ms("runs/1") - time.time() * 1000) < 60_000


def test_only_the_first_creates(objects: Objects) -> None:
    tag = objects.create("runs/1", b"first")
    assert tag is not None
    assert objects.create("runs/1", b"second") is None
    found = objects.get("runs/1")
    assert found is not None
    assert (found.data, found.tag) == (b"first", tag)


def test_only_who_has_seen_the_last_state_swaps(objects: Objects) -> None:
    tag = objects.create("runs/1", b"0")
    assert tag is not None
    second = objects.swap("runs/1", tag, b"1")
    assert second is not None
    assert objects.swap("runs/1", tag, b"stale") is None
    assert objects.swap("runs/1", second, b"2") is not None
    objects.delete("runs/1")
    assert objects.swap("runs/1", second, b"3") is None
    assert objects.get("runs/1") is None


def test_a_write_whose_answer_was_lost_meets_itself(objects: Objects) -> None:
    tag = objects.create("runs/1", b"mine")
    assert objects.create("runs/1", b"mine") == tag
    assert tag is not None
    second = objects.swap("runs/1", tag, b"mine again")
    assert objects.swap("runs/1", tag, b"mine again") == second


def test_what_is_replaced_is_still_what_was_seen(objects: Objects, tmp_path: Path) -> None:
    nothing = objects.tag("takes/1")
    assert nothing is None
    assert objects.replace("takes/1", nothing, b"first")
    seen = objects.tag("takes/1")
    assert not objects.replace("takes/1", nothing, b"late")
    assert objects.replace("takes/1", seen, b"second")
    assert not objects.replace("takes/1", seen, b"late")
    assert objects.replace("takes/1", "", b"whatever was there")
    objects.delete("takes/1")
    assert not objects.replace("takes/1", seen, b"late")
    assert list(objects.paths("takes/")) == []
    # Nor is anything staged left beside its place.
    assert list((tmp_path / "store" / "takes").glob("*")) == []


def test_of_many_that_swap_at_once_one_wins(objects: Objects) -> None:
    tag = objects.create("runs/1", b"0")
    assert tag is not None
    won: list[str] = []

    def swap(name: str) -> None:
        if objects.swap("runs/1", tag, name.encode()) is not None:
            won.append(name)

    threads = [threading.Thread(target=swap, args=(f"w{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = objects.get("runs/1")
    assert found is not None
    assert [found.data.decode()] == won


def test_deleting_twice_is_no_error_and_lists_are_of_what_is_there(objects: Objects) -> None:
    for name in ("b", "a", "c"):
        objects.put(f"runs/{name}", b"")
        time.sleep(0.01)
    objects.put("videos/x/request.json", b"")
    objects.delete("runs/a", "runs/nothing")
    objects.delete("runs/a")
    assert set(objects.paths("runs/")) == {"runs/b", "runs/c"}
    assert set(objects.oldest_first("runs/")) == {"runs/b", "runs/c"}
    assert list(objects.paths("videos/")) == ["videos/x/request.json"]
    assert list(objects.paths("nothing/")) == []


def test_more_than_a_page_is_listed(endpoint: str) -> None:
    objects = open_objects(*new_bucket(endpoint, "many"))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: objects.put(f"runs/{i}", b""), range(1010)))
    assert len(set(objects.paths("runs/"))) == len(objects.oldest_first("runs/")) == 1010


def test_an_endpoint_that_is_gone_says_so_soon() -> None:
    begun = time.monotonic()
    objects = open_objects("s3://nowhere/prefix", {**KEYS, "aws_endpoint": "http://127.0.0.1:9"})
    for call in (lambda: objects.get("a"), lambda: objects.put("a", b""), lambda: list(objects.paths("a"))):
        with pytest.raises(StoreUnavailableError):
            call()
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize("where", ["gopher://x/y", "s3://", "nothing://at all"])
def test_a_url_that_cannot_be_is_refused(where: str) -> None:
    with pytest.raises(ValueError, match="store"):
        open_objects(where)


def test_a_dead_process_has_no_life_line(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path / "store")
    script = (
        "import sys, time; from pathlib import Path; from generator_service.objects import LocalObjects;"
        "line = LocalObjects(Path(sys.argv[1])).alive('x'); line.write(b'note'); print('up', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "store")], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    assert objects.life_of("x") == (True, b"note")
    process.kill()
    process.wait()
    process.stdout.close()
    assert objects.life_of("x") == (False, b"note")
    assert objects.life_of("nobody") is None


def test_what_a_dead_process_had_staged_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "store" / "takes" / ("0" * 64)
    folder.mkdir(parents=True)
    (folder / "snapshot.safetensors#1").write_bytes(b"half")
    (folder / "latents.safetensors").write_bytes(b"whole")
    hours_ago = time.time() - 7200
    os.utime(folder / "snapshot.safetensors#1", (hours_ago, hours_ago))
    LocalObjects(tmp_path / "store")
    assert [file.name for file in folder.iterdir()] == ["latents.safetensors"]


def test_a_new_folder_is_relied_on_only_once_its_own_name_is_safe(tmp_path: Path) -> None:
    root, synced, full = tmp_path.absolute(), list[Path](), [True]

    def to_disk(path: Path) -> None:
        if full[0] and path == root / "takes":
            raise OSError("no")
        synced.append(path)

    objects = LocalObjects(tmp_path, to_disk)
    with pytest.raises(StoreUnavailableError):
        objects.put("takes/one/a", b"1")
    full[0] = False
    synced.clear()
    objects.put("takes/one/a", b"1")
    assert synced[:3] == [root / "takes/one/a", root / "takes/one", root / "takes"]
    synced.clear()
    objects.put("takes/one/b", b"1")
    assert synced == [root / "takes/one/b", root / "takes/one"], "what is safe is not made safe again"
    synced.clear()
    objects.put("takes/two/a", b"1")
    assert synced == [root / "takes/two/a", root / "takes/two", root / "takes"]


@pytest.mark.parametrize("place", ["file/store", "file"])
def test_a_store_that_cannot_be_made_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailableError, match=str(tmp_path / place)):
        open_objects(tmp_path / place)
