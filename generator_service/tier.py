"""A tier is one model with its settings: a YAML file in `tiers/`, validated when it is read and never changed after."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pydantic
import yaml

FOLDER = Path(__file__).parent / "tiers"


class Bound(pydantic.BaseModel):
    """A field's value when a request leaves it out, and the most that it may be."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    default: int = pydantic.Field(ge=1)
    max: int = pydantic.Field(ge=1)

    @pydantic.model_validator(mode="after")
    def _default_fits(self) -> Bound:
        if self.default > self.max:
            raise ValueError(f"the default {self.default} is over the limit {self.max}")
        return self


class Tier(pydantic.BaseModel):
    """``model`` is a folder in ``save_pretrained`` layout or a Hugging Face id; "" means that the tier is off.

    ``draws`` says to people what it can draw, ``words`` are all that it knows (none: no limit), and a prompt that names none
    of ``subjects`` gets a warning (none: never).

    ``priority``: higher ones step first, between any two steps; see `scheduler.Limits.floor` for what the others keep.

    ``flow_shift`` and ``boundary_ratio`` come from the model's own files unless they are set here.

    ``text_kv`` keeps cross-attention's keys and values of a text over the steps; it changes no bit. ``fold_text`` has them
    hold the padding as one row: smaller and faster, equal up to rounding only, so it changes the execution fingerprint.
    ``text_kv_mib`` bounds them, and ``text_states_mib`` what is kept of the text encoder's work, on the device, in MiB.

    ``batch`` lets requests of one small shape share forward passes, ``batch_requests`` at most, of ``batch_tokens`` latent
    tokens at most. Who shares a pass changes bits, so it changes the execution fingerprint. Above about 4,000 tokens it
    buys almost nothing on a GPU.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    tier: str = pydantic.Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")
    model: str
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    width: Bound
    height: Bound
    frames: Bound
    steps: Bound
    fps: int = pydantic.Field(ge=1, le=60)
    guidance: float = pydantic.Field(ge=1, le=30)
    guidance_2: float = pydantic.Field(ge=1, le=30)
    flow_shift: float | None = pydantic.Field(default=None, gt=0)
    boundary_ratio: float | None = pydantic.Field(default=None, ge=0, le=1)
    negative_prompt: str = ""
    priority: int = pydantic.Field(default=0, ge=0, le=9)
    max_sequence_length: int = pydantic.Field(default=512, ge=1)
    text_kv: bool = True
    fold_text: bool = False
    text_kv_mib: int = pydantic.Field(default=256, ge=0)
    text_states_mib: int = pydantic.Field(default=64, ge=0)
    batch: bool = False
    batch_tokens: int = pydantic.Field(default=4000, ge=1)
    batch_requests: int = pydantic.Field(default=8, ge=2, le=64)
    draws: str = ""
    subjects: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    @pydantic.model_validator(mode="after")
    def _settings_fit(self) -> Tier:
        if self.width.default % 16 or self.height.default % 16:
            raise ValueError("the default width and height must be multiples of 16")
        if self.frames.default % 4 != 1:
            raise ValueError("the default number of frames must be 4k+1")
        if self.fold_text and not self.text_kv:
            raise ValueError("fold_text folds what text_kv keeps: it needs text_kv")
        return self


def load(path: Path, model: str | None = None) -> Tier:
    """The tier in ``path``. ``model`` stands instead of the file's own; a relative folder there is relative to the
    file.

    Raises ``ValueError`` with the file's name when the content is not a tier.
    """
    try:
        tier = Tier.model_validate(yaml.safe_load(path.read_text("utf-8")))
    except (pydantic.ValidationError, yaml.YAMLError) as error:
        raise ValueError(f"{path.name}: {error}") from error
    if model is not None:
        return tier.model_copy(update={"model": model})
    beside = path.parent / tier.model
    return tier.model_copy(update={"model": str(beside.resolve())}) if tier.model and beside.is_dir() else tier
