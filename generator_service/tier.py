"""A tier is one model with its settings: a YAML file in `tiers/`, validated when it is read and never changed after."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import pydantic
import yaml

from generator_service import conflicts

FOLDER = Path(__file__).parent / "tiers"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
# What `GetModel` tells in fields of its own.
ELSEWHERE = {
    "tier",
    "width",
    "height",
    "frames",
    "steps",
    "fps",
    "guidance",
    "guidance_2",
    "negative_prompt",
    "draws",
    "words",
} | {
    "subjects",
    "max_sequence_length",
}


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


class StepCache(pydantic.BaseModel):
    """Work of a step that the next ones do without: an approximation, whose error depends on the model. See `step_cache.py`.

    ``first_block`` skips an expert's other blocks while its first one changes by less than ``threshold``; ``mag`` while the
    ratios of residuals, measured for each expert (``ratios``, ``ratios_2``: one a step), promise an error below
    ``threshold``; ``taylorseer`` makes every ``interval``-th step and extrapolates the others. None of them in an expert's
    first ``warmup`` steps.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    kind: Literal["first_block", "mag", "taylorseer"]
    threshold: float = pydantic.Field(default=0.05, gt=0, le=1)
    interval: int = pydantic.Field(default=2, ge=2, le=16)
    warmup: int = pydantic.Field(default=3, ge=1)
    ratios: tuple[float, ...] = ()
    ratios_2: tuple[float, ...] = ()


class Parallel(pydantic.BaseModel):
    """One video over several processes, each with a device of its own and the whole of the experts. See `group.py`.

    ``ulysses`` and ``ring`` share the latent tokens of every pass, the one by exchanging them for heads in self-attention, the other by
    handing keys and values around (`ring.py`). ``guidance`` makes the conditional pass in one half of the processes and the
    unconditional one in the other, which share tokens among themselves as ``ulysses`` does where there are more than two.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    processes: int = pydantic.Field(ge=2, le=64)
    method: Literal["ulysses", "ring", "guidance"] = "ulysses"

    @property
    def branches(self) -> int:
        """Passes that are made at the same time."""
        return 2 if self.method == "guidance" else 1

    @property
    def shares(self) -> int:
        """Processes that share the tokens of one pass."""
        return self.processes // self.branches


class Tier(pydantic.BaseModel):
    """``model`` is a folder in ``save_pretrained`` layout or a Hugging Face id; "" means that the tier is off.

    ``draws`` says to people what it can draw, ``words`` are all that it knows (none: no limit), and a prompt that names none
    of ``subjects`` gets a warning (none: never).

    ``priority``: higher ones step first, between any two steps; see `scheduler.Limits.floor` for what the others keep.

    ``flow_shift`` and ``boundary_ratio`` come from the model's own files unless they are set here.

    ``text_kv`` keeps cross-attention's keys and values of a text over the steps; it changes no bit where blocks are not
    compiled. ``fold_text`` has them hold the padding as one row: smaller and faster, equal up to rounding only, so it changes the execution
    fingerprint.
    ``text_kv_mib`` bounds them, and ``text_states_mib`` what is kept of the text encoder's work, on the device, in MiB.

    ``share_passes`` makes what the two passes of a guided step have in common once (`once.py`); it changes no bit.

    ``batch`` lets requests of one small shape share forward passes, ``batch_requests`` at most, of ``batch_tokens`` latent
    tokens at most. Who shares a pass changes bits, so it changes the execution fingerprint. Above about 4,000 tokens it
    buys almost nothing on a GPU.

    ``revision`` pins a hub repository. ``multiple``: width and height must be multiples of it.

    ``dtype`` is that of weights and activations; norms, modulation and the combination of guidance stay in fp32. ``vae_dtype`` is
    that of the VAE, which its authors run in fp32.
    ``quantisation`` keeps the blocks' linear layers in 8 bits instead (`precision.py`). ``attention`` and
    ``cross_attention`` name a kernel, or have one chosen on the device (`attention.py`). ``fuse_qkv`` makes one product of three,
    ``compile`` compiles the blocks (`compiled.py`). ``offload`` begins on that rung of the ladder, and ``text_encoder: host``
    leaves UMT5 on the CPU; ``swap`` keeps it there and brings it to the device for each text that is new.

    ``lora`` and ``lora_2`` are merged into the experts of high and low noise with ``lora_scale``: a file, or
    ``owner/name:file`` on the hub, ``owner/name@revision:file`` to pin it (`lora.py`).

    Guidance is given only where the noise level is in ``guidance_interval``, and its direction is made anew every
    ``guidance_every`` steps (`guidance.py`). ``step_cache`` skips work of steps; a run of such a tier takes no
    snapshots. ``parallel`` makes each step over several devices.
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
    share_passes: bool = True
    batch: bool = False
    batch_tokens: int = pydantic.Field(default=4000, ge=1)
    batch_requests: int = pydantic.Field(default=8, ge=2, le=64)
    revision: str = ""
    multiple: int = pydantic.Field(default=16, ge=16, multiple_of=16)
    vae_dtype: Literal["float32", "bfloat16"] = "float32"
    quantisation: Literal["none", "fp8", "int8"] = "none"
    attention: Literal["native", "cudnn", "flash3", "sage", "auto", "auto-8bit"] = "native"
    cross_attention: Literal["native", "cudnn", "flash3", "auto"] = "native"
    fuse_qkv: bool = False
    compile: bool = False
    offload: Literal["none", "expert", "group"] = "none"
    text_encoder: Literal["device", "host", "swap"] = "device"
    lora: str = ""
    lora_2: str = ""
    lora_scale: float = pydantic.Field(default=1.0, gt=0, le=2)
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    guidance_every: int = pydantic.Field(default=1, ge=1, le=16)
    step_cache: StepCache | None = None
    parallel: Parallel | None = None
    draws: str = ""
    subjects: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    @pydantic.model_validator(mode="after")
    def _settings_fit(self) -> Tier:
        if reasons := "; ".join(conflicts.of(self)):
            raise ValueError(reasons)
        return self

    @property
    def shares_attention(self) -> bool:
        """Whether the first block's self-attention is made once for both passes of a step: not where the block is one compiled graph,
        nor where both passes are one."""
        return self.share_passes and not self.compile and not self.batch

    @property
    def token_shares(self) -> int:
        """Processes among which the latent tokens of a pass are divided."""
        return self.parallel.shares if self.parallel else 1

    @property
    def rings(self) -> bool:
        """Whether keys and values go around among them."""
        return self.parallel is not None and self.parallel.method == "ring"

    @property
    def may_offload(self) -> Literal["none", "expert", "group"]:
        """How far the ladder may take weights off the device: an expert comes and goes as a whole, but what brings single blocks are hooks
        around them, and there compiling and step caches have theirs already; processes that share a step have both."""
        if self.parallel is not None:
            return "none"
        return "expert" if self.compile or self.step_cache is not None else "group"

    def settings(self) -> dict[str, str]:
        """What decides how the tier runs, for people: every setting but those that the contract has a field of its own for."""
        shown = self.model_dump(mode="json", exclude=ELSEWHERE)
        return {name: _plain(value) for name, value in shown.items()}


def folder(path: Path) -> dict[str, Tier]:
    """The tiers of the YAML files in ``path``, by name. Raises ``ValueError`` for a file that is none, for two of one name, and
    where there is no such folder."""
    if not path.is_dir():
        raise ValueError(f"{path} is no folder of tiers")
    found: dict[str, Tier] = {}
    for file in sorted(path.glob("*.yaml")):
        tier = load(file)
        if tier.tier in found:
            raise ValueError(f"{file.name}: another file here has a tier named {tier.tier} too")
        found[tier.tier] = tier
    return found


def load(path: Path, model: str | None = None) -> Tier:
    """The tier in ``path``. ``model`` stands instead of the file's own; a relative folder there is relative to the
    file.

    Raises ``ValueError`` with the file's name when the content is not a tier.
    """
    try:
        tier = Tier.model_validate(yaml.safe_load(path.read_text("utf-8")))
    except yaml.YAMLError as error:
        raise ValueError(f"{path.name}: {error}") from error
    except pydantic.ValidationError as error:
        raise ValueError(f"{path.name}: {_reasons(error)}") from error
    if model is None and tier.model and (path.parent / tier.model).is_dir():
        model = str((path.parent / tier.model).resolve())
    return tier if model is None else tier.model_copy(update={"model": model})


def check_model(tier: Tier) -> None:
    """Raises ``ValueError`` where its model can be nowhere; whether all of it is there shows when it is loaded."""
    if not Path(tier.model).is_dir() and not HUB_ID.fullmatch(tier.model):
        what = "no folder that is here, and no Hugging Face id; a relative one is seen from the tier's file"
        raise ValueError(f"tier {tier.tier}: model {tier.model!r} is {what}")


def _reasons(error: pydantic.ValidationError) -> str:
    """Each setting with what is wrong with it, without pydantic's own words around."""
    found = [(".".join(map(str, each["loc"])), each["msg"].removeprefix("Value error, ")) for each in error.errors()]
    return "; ".join(f"{setting}: {why}" if setting else why for setting, why in found)


def _plain(value: object) -> str:
    """As YAML writes it on one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False).removesuffix("...\n").strip()
