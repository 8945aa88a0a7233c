"""The sketch never counts too few, and forgets."""

from hashlib import blake2b

from preprocess_service.sketch import MOST, Sketch


def key(n: int) -> bytes:
    return blake2b(str(n).encode(), digest_size=16).digest()


def test_it_counts_up_to_its_most() -> None:
    sketch = Sketch(100)
    for n in range(30):
        assert sketch.count(key(1)) == min(n, MOST)
        sketch.mention(key(1))
    assert sketch.count(key(2)) == 0


def test_it_never_counts_too_few_and_seldom_too_many() -> None:
    sketch = Sketch(1_000)
    for n in range(1_000):
        for _ in range(n % 5 + 1):
            sketch.mention(key(n))
    over = [sketch.count(key(n)) - (n % 5 + 1) for n in range(1_000)]
    assert min(over) == 0
    assert sum(o > 0 for o in over) < 20


def test_old_mentions_are_halved() -> None:
    sketch = Sketch(64)
    for _ in range(8):
        sketch.mention(key(0))
    for n in range(640):
        sketch.mention(key(n + 1))
    assert sketch.count(key(0)) <= 5
