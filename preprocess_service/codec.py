"""A prepared prompt as versioned bytes, bound to its key, and back."""

from hashlib import blake2b
from typing import Final

from pydantic import TypeAdapter, ValidationError

from .core import Prepared

FORMAT: Final = b"RGP1"
"""Changes whenever old bytes could be read wrongly; a new field of ``Prepared`` without a default refuses them by itself."""
CHECK: Final = 16
_PREPARED: Final = TypeAdapter(Prepared)


def encode(key: bytes, prepared: Prepared) -> bytes:
    """Format, checksum over key and content, content as JSON."""
    content = _PREPARED.dump_json(prepared)
    return FORMAT + _checksum(key, content) + content


def decode(key: bytes, raw: bytes) -> Prepared | None:
    """What ``encode`` was given; None for bytes of another version or key, and for damaged ones."""
    head = len(FORMAT) + CHECK
    content = raw[head:]
    if raw[:head] != FORMAT + _checksum(key, content):
        return None
    try:
        return _PREPARED.validate_json(content)
    except ValidationError:
        return None


def _checksum(key: bytes, content: bytes) -> bytes:
    return blake2b(content, key=key, digest_size=CHECK).digest()
