"""What each tenant has set up: a folder of YAML, read again when it changes.

<folder>/default.yaml              for everybody
<folder>/default.keywords.txt      terms that must survive, one a line; "# " begins a comment
<folder>/tenants/<tenant>.yaml     for one tenant; wins name by name
<folder>/tenants/<tenant>.keywords.txt    more terms for one tenant

screening: reject                  observe, flag or reject, instead of the service's own setting
budget: {...}                      what may be spent (budgets/filed.py)
templates:
  product:
    version: "3"
    order: [subject, action, scene, style, camera]
    join: ", "
    defaults: {style: studio light}
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reelgate.rpc.errors import NotFoundError

from .budgets.core import Budget, Filed
from .budgets.filed import BudgetSection
from .core import Template
from .lexicons import Lexicon, terms_of

log = logging.getLogger(__name__)
Name = Literal["subject", "action", "scene", "style", "camera"]
Signature = tuple[tuple[int, int, int] | None, ...]
BUILT_IN: Final = {"default": Template()}


class _Template(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    version: str = "1"
    order: Annotated[tuple[Name, ...], Field(min_length=1)] = ("subject", "action", "scene", "style", "camera")
    join: Annotated[str, Field(min_length=1, max_length=8)] = ", "
    defaults: dict[Name, Annotated[str, Field(max_length=400)]] = {}


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    templates: dict[str, _Template] = {}
    screening: Literal["", "observe", "flag", "reject"] = ""
    budget: BudgetSection | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Tenant:
    """One tenant's configuration; ``version`` (hex) changes with any byte of its files and is part of every cache key."""

    templates: Mapping[str, Template]
    version: str
    lexicon: Lexicon = field(default_factory=Lexicon)
    screening: str = ""
    filed: Filed = field(default_factory=Filed)

    def template(self, name: str) -> Template:
        """Raises ``NotFoundError``."""
        if name not in self.templates:
            raise NotFoundError.of("template", name)
        return self.templates[name]


class Tenants:
    """Looks at the files' stamps at every question, so a change counts from the next request on.

    At the start a file that cannot be read raises ``ValueError``. Later it is logged, and the tenant's last good configuration stays;
    a tenant that never had one gets everybody's.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._known: dict[str, tuple[Signature, Tenant]] = {}
        self._built_in = Tenant(templates=BUILT_IN, version="")
        self._everybody = self._built_in
        if folder is None:
            return
        if not folder.is_dir():
            raise ValueError(f"the tenants' folder {folder} is no folder")
        self._everybody = _load((folder / "default.yaml",))
        inside = folder / "tenants"
        for tenant in sorted({name_of(path) for path in inside.iterdir()} if inside.is_dir() else ()):
            self._known[tenant] = (self._signature(tenant), _load(self._paths(tenant)))

    def fresh(self, tenant: str) -> Tenant | None:
        """The configuration of ``tenant`` where it is loaded and its files are as they were then."""
        if self._folder is None:
            return self._built_in
        known = self._known.get(tenant)
        return known[1] if known and known[0] == self._signature(tenant) else None

    async def now(self, tenant: str) -> Tenant:
        """`fresh`, or `of` beside the event loop."""
        configured = self.fresh(tenant)
        return configured if configured is not None else await asyncio.to_thread(self.of, tenant)

    async def filed(self, tenant: str) -> Filed:
        """The budgets that are set for ``tenant``."""
        return (await self.now(tenant)).filed

    def of(self, tenant: str) -> Tenant:
        """The configuration of ``tenant``; the built-in one where there is no folder. May read files and build a lexicon, which for
        tens of thousands of keywords takes a good part of a second: not for the event loop."""
        if (fresh := self.fresh(tenant)) is not None:
            return fresh
        signature, known = self._signature(tenant), self._known.get(tenant)
        try:
            current = _load(self._paths(tenant))
        except (OSError, ValueError) as error:
            log.error(
                "tenant configuration is wrong, the last good one stays", extra={"tenant": tenant, "detail": str(error)}
            )
            current = known[1] if known else self._everybody
        self._known[tenant] = (signature, current)
        return current

    def _paths(self, tenant: str) -> tuple[Path, ...]:
        folder = self._folder or Path()
        return (folder / "default.yaml", folder / "tenants" / f"{tenant}.yaml")

    def _signature(self, tenant: str) -> Signature:
        return tuple(stamp for path in self._paths(tenant) for stamp in (_stamp(path), _stamp(_beside(path))))


def name_of(path: Path) -> str:
    """The tenant whose file ``path`` is."""
    return path.name.removesuffix(".yaml").removesuffix(".keywords.txt")


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _load(paths: tuple[Path, ...]) -> Tenant:
    """The tenant that ``paths`` (each a YAML file, with its keywords beside it) describe. Raises ``ValueError``, ``OSError``."""
    templates, digest, screening, terms = dict(BUILT_IN), hashlib.sha256(), "", dict[str, None]()
    budgets: list[Budget | None] = []
    for path in paths:
        raw, file = _read(path)
        words = _keywords(path)
        for part in (raw, words):
            digest.update(len(part).to_bytes(8, "little") + part)
        templates |= {name: _template(name, given) for name, given in file.templates.items()}
        screening = file.screening or screening
        budgets.append(file.budget.budget() if file.budget else None)
        try:
            terms |= dict.fromkeys(terms_of(words))
        except ValueError as error:
            raise ValueError(f"{_beside(path).name}: {error}") from error
    return Tenant(
        templates=templates,
        version=digest.hexdigest(),
        lexicon=Lexicon(terms),
        screening=screening,
        filed=Filed(default=budgets[0], own=budgets[1] if len(budgets) > 1 else None),
    )


def _beside(path: Path) -> Path:
    """The keywords of the same tenant."""
    return path.with_name(f"{path.stem}.keywords.txt")


def _keywords(path: Path) -> bytes:
    """The bytes of the keyword file beside ``path``, none where there is no file."""
    beside = _beside(path)
    return beside.read_bytes() if beside.exists() else b""


def _template(name: str, given: _Template) -> Template:
    defaults = tuple((field, given.defaults[field]) for field in given.order if field in given.defaults)
    return Template(name=name, version=given.version, order=given.order, join=given.join, defaults=defaults)


def _read(path: Path) -> tuple[bytes, _File]:
    """The file's bytes and content, both empty where there is none. Raises ``ValueError`` that names the file."""
    if not path.exists():
        return b"", _File()
    raw = path.read_bytes()
    try:
        document: Any = yaml.safe_load(raw)
        return raw, _File.model_validate(document or {})
    except (yaml.YAMLError, ValidationError) as error:
        raise ValueError(f"{path.name}: {error}") from error
