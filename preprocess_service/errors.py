"""Why the line refuses a prompt.

RefusedError
├── InvalidFieldError      a field of the request breaks a rule
├── TooManyTokensError     more than the window, where nothing may be cut
├── PinsTooLongError       the protected terms alone exceed the target
├── UnfaithfulError        strict: the result lost what it had to keep
└── UnknownTemplateError   no template of that name
"""

from dataclasses import dataclass


class RefusedError(Exception):
    """The line cannot or may not prepare this prompt. ``str()`` is a sentence for the client."""

    reason = "INVALID_PROMPT"


@dataclass
class InvalidFieldError(RefusedError):
    """``field`` breaks the rule that ``message`` states."""

    field: str
    message: str
    reason = "INVALID_FIELD"

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


@dataclass
class TooManyTokensError(RefusedError):
    """The text has ``count`` tokens and ``limit`` is the most that can be sent untouched."""

    count: int
    limit: int
    reason = "PROMPT_TOKENS_EXCEEDED"

    def __str__(self) -> str:
        return f"the prompt has {self.count} tokens and at most {self.limit} can be sent untouched"


@dataclass
class PinsTooLongError(RefusedError):
    """The protected terms alone take ``count`` tokens and the target is ``limit``."""

    count: int
    limit: int
    reason = "PROTECTED_TERMS_EXCEED_BUDGET"

    def __str__(self) -> str:
        return f"the protected terms alone take {self.count} tokens and the target is {self.limit}"


@dataclass
class UnfaithfulError(RefusedError):
    """The best result lost ``lost``; ``wider`` names a policy that would keep more, or is empty."""

    lost: tuple[str, ...]
    wider: str
    reason = "FIDELITY_BELOW_FLOOR"

    def __str__(self) -> str:
        advice = f"; the policy {self.wider} keeps more" if self.wider else ""
        return f"the shortened prompt would lose: {', '.join(self.lost[:8])}{advice}"


@dataclass
class UnknownTemplateError(RefusedError):
    """No template is called ``name``."""

    name: str
    reason = "UNKNOWN_TEMPLATE"

    def __str__(self) -> str:
        return f"there is no template {self.name!r}"
