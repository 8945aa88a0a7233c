"""What an environment says that a service does not know: a mistyped name would be ignored without a word."""

from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Mapping

from pydantic import AliasChoices
from pydantic_settings import BaseSettings

log = logging.getLogger(__name__)


def warn_of_unknown(settings: type[BaseSettings], environment: Mapping[str, str] = os.environ) -> None:
    """One warning for each variable that begins as those of ``settings`` do and is none of them. No error: an older version may run
    in the environment of a newer one."""
    prefix, known = settings.model_config.get("env_prefix", ""), _names(settings)
    for name in sorted(environment):
        if name.upper().startswith(prefix) and name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, n=1)
            log.warning("%s is no setting and changes nothing%s", name, f"; is {near[0]} meant?" if near else "")


def _names(settings: type[BaseSettings]) -> set[str]:
    prefix, names = settings.model_config.get("env_prefix", ""), set()
    for name, field in settings.model_fields.items():
        aliases = field.validation_alias
        names |= {str(each) for each in aliases.choices} if isinstance(aliases, AliasChoices) else {prefix + name}
    return {name.upper() for name in names}
