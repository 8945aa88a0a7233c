import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from reelgate.generator.v1 import generator_pb2 as _generator_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ScreeningVerdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCREENING_VERDICT_UNSPECIFIED: _ClassVar[ScreeningVerdict]
    SCREENING_VERDICT_PASS: _ClassVar[ScreeningVerdict]
    SCREENING_VERDICT_FLAGGED: _ClassVar[ScreeningVerdict]

class Compressor(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COMPRESSOR_UNSPECIFIED: _ClassVar[Compressor]
    COMPRESSOR_NONE: _ClassVar[Compressor]
    COMPRESSOR_BART: _ClassVar[Compressor]
    COMPRESSOR_EXTRACTIVE: _ClassVar[Compressor]
    COMPRESSOR_CUT: _ClassVar[Compressor]

class CacheResult(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CACHE_RESULT_UNSPECIFIED: _ClassVar[CacheResult]
    CACHE_RESULT_MISS: _ClassVar[CacheResult]
    CACHE_RESULT_HIT: _ClassVar[CacheResult]
    CACHE_RESULT_BYPASS: _ClassVar[CacheResult]
SCREENING_VERDICT_UNSPECIFIED: ScreeningVerdict
SCREENING_VERDICT_PASS: ScreeningVerdict
SCREENING_VERDICT_FLAGGED: ScreeningVerdict
COMPRESSOR_UNSPECIFIED: Compressor
COMPRESSOR_NONE: Compressor
COMPRESSOR_BART: Compressor
COMPRESSOR_EXTRACTIVE: Compressor
COMPRESSOR_CUT: Compressor
CACHE_RESULT_UNSPECIFIED: CacheResult
CACHE_RESULT_MISS: CacheResult
CACHE_RESULT_HIT: CacheResult
CACHE_RESULT_BYPASS: CacheResult

class PromptInput(_message.Message):
    __slots__ = ("text", "structured", "negative_prompt", "policy", "keywords", "template", "strict", "ratio")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    STRUCTURED_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_PROMPT_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    KEYWORDS_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    RATIO_FIELD_NUMBER: _ClassVar[int]
    text: str
    structured: StructuredPrompt
    negative_prompt: str
    policy: str
    keywords: _containers.RepeatedScalarFieldContainer[str]
    template: str
    strict: bool
    ratio: float
    def __init__(self, text: _Optional[str] = ..., structured: _Optional[_Union[StructuredPrompt, _Mapping]] = ..., negative_prompt: _Optional[str] = ..., policy: _Optional[str] = ..., keywords: _Optional[_Iterable[str]] = ..., template: _Optional[str] = ..., strict: _Optional[bool] = ..., ratio: _Optional[float] = ...) -> None: ...

class StructuredPrompt(_message.Message):
    __slots__ = ("subject", "action", "scene", "style", "camera")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    SCENE_FIELD_NUMBER: _ClassVar[int]
    STYLE_FIELD_NUMBER: _ClassVar[int]
    CAMERA_FIELD_NUMBER: _ClassVar[int]
    subject: str
    action: str
    scene: str
    style: str
    camera: str
    def __init__(self, subject: _Optional[str] = ..., action: _Optional[str] = ..., scene: _Optional[str] = ..., style: _Optional[str] = ..., camera: _Optional[str] = ...) -> None: ...

class PreparePromptRequest(_message.Message):
    __slots__ = ("input", "settings", "check_budget")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    CHECK_BUDGET_FIELD_NUMBER: _ClassVar[int]
    input: PromptInput
    settings: _generator_pb2.VideoSettings
    check_budget: bool
    def __init__(self, input: _Optional[_Union[PromptInput, _Mapping]] = ..., settings: _Optional[_Union[_generator_pb2.VideoSettings, _Mapping]] = ..., check_budget: _Optional[bool] = ...) -> None: ...

class PreparePromptResponse(_message.Message):
    __slots__ = ("prompt", "negative_prompt", "receipt", "cost", "budget")
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_PROMPT_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    prompt: str
    negative_prompt: str
    receipt: Receipt
    cost: CostEstimate
    budget: BudgetVerdict
    def __init__(self, prompt: _Optional[str] = ..., negative_prompt: _Optional[str] = ..., receipt: _Optional[_Union[Receipt, _Mapping]] = ..., cost: _Optional[_Union[CostEstimate, _Mapping]] = ..., budget: _Optional[_Union[BudgetVerdict, _Mapping]] = ...) -> None: ...

class GenerateVideoRequest(_message.Message):
    __slots__ = ("input", "settings", "post_processing", "request_id")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    POST_PROCESSING_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    input: PromptInput
    settings: _generator_pb2.VideoSettings
    post_processing: _generator_pb2.PostProcessing
    request_id: str
    def __init__(self, input: _Optional[_Union[PromptInput, _Mapping]] = ..., settings: _Optional[_Union[_generator_pb2.VideoSettings, _Mapping]] = ..., post_processing: _Optional[_Union[_generator_pb2.PostProcessing, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class GenerateVideoResponse(_message.Message):
    __slots__ = ("prepared", "accepted", "progress", "video", "bill")
    PREPARED_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    VIDEO_FIELD_NUMBER: _ClassVar[int]
    BILL_FIELD_NUMBER: _ClassVar[int]
    prepared: PreparedPrompt
    accepted: _generator_pb2.VideoAccepted
    progress: _generator_pb2.Progress
    video: _generator_pb2.Video
    bill: Bill
    def __init__(self, prepared: _Optional[_Union[PreparedPrompt, _Mapping]] = ..., accepted: _Optional[_Union[_generator_pb2.VideoAccepted, _Mapping]] = ..., progress: _Optional[_Union[_generator_pb2.Progress, _Mapping]] = ..., video: _Optional[_Union[_generator_pb2.Video, _Mapping]] = ..., bill: _Optional[_Union[Bill, _Mapping]] = ...) -> None: ...

class PreparedPrompt(_message.Message):
    __slots__ = ("prompt", "negative_prompt", "receipt", "cost", "budget")
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_PROMPT_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    prompt: str
    negative_prompt: str
    receipt: Receipt
    cost: CostEstimate
    budget: BudgetVerdict
    def __init__(self, prompt: _Optional[str] = ..., negative_prompt: _Optional[str] = ..., receipt: _Optional[_Union[Receipt, _Mapping]] = ..., cost: _Optional[_Union[CostEstimate, _Mapping]] = ..., budget: _Optional[_Union[BudgetVerdict, _Mapping]] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("line_version", "tier", "tokenizer_fingerprint", "policy", "target_tokens", "tokens_before", "tokens_after", "negative_tokens", "stages", "changes", "protected_terms", "fidelity", "compressor", "deep_compression", "cache", "warnings", "original_sha256", "screening", "template")
    LINE_VERSION_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    TOKENIZER_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    TARGET_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_BEFORE_FIELD_NUMBER: _ClassVar[int]
    TOKENS_AFTER_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    PROTECTED_TERMS_FIELD_NUMBER: _ClassVar[int]
    FIDELITY_FIELD_NUMBER: _ClassVar[int]
    COMPRESSOR_FIELD_NUMBER: _ClassVar[int]
    DEEP_COMPRESSION_FIELD_NUMBER: _ClassVar[int]
    CACHE_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    ORIGINAL_SHA256_FIELD_NUMBER: _ClassVar[int]
    SCREENING_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    line_version: str
    tier: str
    tokenizer_fingerprint: str
    policy: str
    target_tokens: int
    tokens_before: int
    tokens_after: int
    negative_tokens: int
    stages: _containers.RepeatedCompositeFieldContainer[StageReport]
    changes: _containers.RepeatedCompositeFieldContainer[Change]
    protected_terms: _containers.RepeatedCompositeFieldContainer[ProtectedTerm]
    fidelity: Fidelity
    compressor: Compressor
    deep_compression: bool
    cache: CacheResult
    warnings: _containers.RepeatedScalarFieldContainer[str]
    original_sha256: str
    screening: Screening
    template: str
    def __init__(self, line_version: _Optional[str] = ..., tier: _Optional[str] = ..., tokenizer_fingerprint: _Optional[str] = ..., policy: _Optional[str] = ..., target_tokens: _Optional[int] = ..., tokens_before: _Optional[int] = ..., tokens_after: _Optional[int] = ..., negative_tokens: _Optional[int] = ..., stages: _Optional[_Iterable[_Union[StageReport, _Mapping]]] = ..., changes: _Optional[_Iterable[_Union[Change, _Mapping]]] = ..., protected_terms: _Optional[_Iterable[_Union[ProtectedTerm, _Mapping]]] = ..., fidelity: _Optional[_Union[Fidelity, _Mapping]] = ..., compressor: _Optional[_Union[Compressor, str]] = ..., deep_compression: _Optional[bool] = ..., cache: _Optional[_Union[CacheResult, str]] = ..., warnings: _Optional[_Iterable[str]] = ..., original_sha256: _Optional[str] = ..., screening: _Optional[_Union[Screening, _Mapping]] = ..., template: _Optional[str] = ...) -> None: ...

class Screening(_message.Message):
    __slots__ = ("policy", "verdict", "score", "signals")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    SIGNALS_FIELD_NUMBER: _ClassVar[int]
    policy: str
    verdict: ScreeningVerdict
    score: float
    signals: _containers.RepeatedCompositeFieldContainer[ScreeningSignal]
    def __init__(self, policy: _Optional[str] = ..., verdict: _Optional[_Union[ScreeningVerdict, str]] = ..., score: _Optional[float] = ..., signals: _Optional[_Iterable[_Union[ScreeningSignal, _Mapping]]] = ...) -> None: ...

class ScreeningSignal(_message.Message):
    __slots__ = ("name", "value", "limit", "severity")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    limit: float
    severity: float
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ..., limit: _Optional[float] = ..., severity: _Optional[float] = ...) -> None: ...

class StageReport(_message.Message):
    __slots__ = ("stage", "tokens_in", "tokens_out", "duration_us")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    TOKENS_IN_FIELD_NUMBER: _ClassVar[int]
    TOKENS_OUT_FIELD_NUMBER: _ClassVar[int]
    DURATION_US_FIELD_NUMBER: _ClassVar[int]
    stage: str
    tokens_in: int
    tokens_out: int
    duration_us: int
    def __init__(self, stage: _Optional[str] = ..., tokens_in: _Optional[int] = ..., tokens_out: _Optional[int] = ..., duration_us: _Optional[int] = ...) -> None: ...

class Change(_message.Message):
    __slots__ = ("start", "end", "stage", "reason", "original", "replacement")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ORIGINAL_FIELD_NUMBER: _ClassVar[int]
    REPLACEMENT_FIELD_NUMBER: _ClassVar[int]
    start: int
    end: int
    stage: str
    reason: str
    original: str
    replacement: str
    def __init__(self, start: _Optional[int] = ..., end: _Optional[int] = ..., stage: _Optional[str] = ..., reason: _Optional[str] = ..., original: _Optional[str] = ..., replacement: _Optional[str] = ...) -> None: ...

class ProtectedTerm(_message.Message):
    __slots__ = ("term", "source", "survived")
    TERM_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SURVIVED_FIELD_NUMBER: _ClassVar[int]
    term: str
    source: str
    survived: bool
    def __init__(self, term: _Optional[str] = ..., source: _Optional[str] = ..., survived: _Optional[bool] = ...) -> None: ...

class Fidelity(_message.Message):
    __slots__ = ("passed", "reasons", "rung", "semantic")
    PASSED_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    RUNG_FIELD_NUMBER: _ClassVar[int]
    SEMANTIC_FIELD_NUMBER: _ClassVar[int]
    passed: bool
    reasons: _containers.RepeatedScalarFieldContainer[str]
    rung: str
    semantic: float
    def __init__(self, passed: _Optional[bool] = ..., reasons: _Optional[_Iterable[str]] = ..., rung: _Optional[str] = ..., semantic: _Optional[float] = ...) -> None: ...

class CostEstimate(_message.Message):
    __slots__ = ("tokens", "device_ms_p50", "device_ms_p95", "price")
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    DEVICE_MS_P50_FIELD_NUMBER: _ClassVar[int]
    DEVICE_MS_P95_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    tokens: int
    device_ms_p50: int
    device_ms_p95: int
    price: Money
    def __init__(self, tokens: _Optional[int] = ..., device_ms_p50: _Optional[int] = ..., device_ms_p95: _Optional[int] = ..., price: _Optional[_Union[Money, _Mapping]] = ...) -> None: ...

class Money(_message.Message):
    __slots__ = ("micros", "currency", "price_version")
    MICROS_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    PRICE_VERSION_FIELD_NUMBER: _ClassVar[int]
    micros: int
    currency: str
    price_version: str
    def __init__(self, micros: _Optional[int] = ..., currency: _Optional[str] = ..., price_version: _Optional[str] = ...) -> None: ...

class BudgetVerdict(_message.Message):
    __slots__ = ("allowed", "reason", "warnings", "held_tokens", "held_device_ms", "window", "reset_time")
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    HELD_TOKENS_FIELD_NUMBER: _ClassVar[int]
    HELD_DEVICE_MS_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    RESET_TIME_FIELD_NUMBER: _ClassVar[int]
    allowed: bool
    reason: str
    warnings: _containers.RepeatedScalarFieldContainer[str]
    held_tokens: int
    held_device_ms: int
    window: str
    reset_time: _timestamp_pb2.Timestamp
    def __init__(self, allowed: _Optional[bool] = ..., reason: _Optional[str] = ..., warnings: _Optional[_Iterable[str]] = ..., held_tokens: _Optional[int] = ..., held_device_ms: _Optional[int] = ..., window: _Optional[str] = ..., reset_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Bill(_message.Message):
    __slots__ = ("tokens", "device_ms", "overrun_device_ms", "cause", "price")
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    DEVICE_MS_FIELD_NUMBER: _ClassVar[int]
    OVERRUN_DEVICE_MS_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    tokens: int
    device_ms: int
    overrun_device_ms: int
    cause: str
    price: Money
    def __init__(self, tokens: _Optional[int] = ..., device_ms: _Optional[int] = ..., overrun_device_ms: _Optional[int] = ..., cause: _Optional[str] = ..., price: _Optional[_Union[Money, _Mapping]] = ...) -> None: ...

class GetVideoRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetVideoResponse(_message.Message):
    __slots__ = ("video",)
    VIDEO_FIELD_NUMBER: _ClassVar[int]
    video: _generator_pb2.Video
    def __init__(self, video: _Optional[_Union[_generator_pb2.Video, _Mapping]] = ...) -> None: ...

class CancelVideoRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class CancelVideoResponse(_message.Message):
    __slots__ = ("video",)
    VIDEO_FIELD_NUMBER: _ClassVar[int]
    video: _generator_pb2.Video
    def __init__(self, video: _Optional[_Union[_generator_pb2.Video, _Mapping]] = ...) -> None: ...

class DownloadVideoRequest(_message.Message):
    __slots__ = ("name", "offset")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    name: str
    offset: int
    def __init__(self, name: _Optional[str] = ..., offset: _Optional[int] = ...) -> None: ...

class DownloadVideoResponse(_message.Message):
    __slots__ = ("data", "offset", "total_bytes")
    DATA_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    offset: int
    total_bytes: int
    def __init__(self, data: _Optional[bytes] = ..., offset: _Optional[int] = ..., total_bytes: _Optional[int] = ...) -> None: ...

class ListVideosRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListVideosResponse(_message.Message):
    __slots__ = ("videos", "next_page_token")
    VIDEOS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    videos: _containers.RepeatedCompositeFieldContainer[_generator_pb2.Video]
    next_page_token: str
    def __init__(self, videos: _Optional[_Iterable[_Union[_generator_pb2.Video, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ExtendVideoRequest(_message.Message):
    __slots__ = ("name", "input", "frames")
    NAME_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    name: str
    input: PromptInput
    frames: int
    def __init__(self, name: _Optional[str] = ..., input: _Optional[_Union[PromptInput, _Mapping]] = ..., frames: _Optional[int] = ...) -> None: ...

class ExtendVideoResponse(_message.Message):
    __slots__ = ("prepared", "accepted", "progress", "video")
    PREPARED_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    VIDEO_FIELD_NUMBER: _ClassVar[int]
    prepared: PreparedPrompt
    accepted: _generator_pb2.VideoAccepted
    progress: _generator_pb2.Progress
    video: _generator_pb2.Video
    def __init__(self, prepared: _Optional[_Union[PreparedPrompt, _Mapping]] = ..., accepted: _Optional[_Union[_generator_pb2.VideoAccepted, _Mapping]] = ..., progress: _Optional[_Union[_generator_pb2.Progress, _Mapping]] = ..., video: _Optional[_Union[_generator_pb2.Video, _Mapping]] = ...) -> None: ...

class BudgetLimit(_message.Message):
    __slots__ = ("window", "tokens", "device_ms", "soft", "carry_over")
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    DEVICE_MS_FIELD_NUMBER: _ClassVar[int]
    SOFT_FIELD_NUMBER: _ClassVar[int]
    CARRY_OVER_FIELD_NUMBER: _ClassVar[int]
    window: str
    tokens: int
    device_ms: int
    soft: bool
    carry_over: bool
    def __init__(self, window: _Optional[str] = ..., tokens: _Optional[int] = ..., device_ms: _Optional[int] = ..., soft: _Optional[bool] = ..., carry_over: _Optional[bool] = ...) -> None: ...

class BudgetRaise(_message.Message):
    __slots__ = ("window", "tokens", "device_ms", "expire_time", "note")
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    DEVICE_MS_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    window: str
    tokens: int
    device_ms: int
    expire_time: _timestamp_pb2.Timestamp
    note: str
    def __init__(self, window: _Optional[str] = ..., tokens: _Optional[int] = ..., device_ms: _Optional[int] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., note: _Optional[str] = ...) -> None: ...

class Budget(_message.Message):
    __slots__ = ("limits", "shadow", "concurrent", "abnormal")
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    CONCURRENT_FIELD_NUMBER: _ClassVar[int]
    ABNORMAL_FIELD_NUMBER: _ClassVar[int]
    limits: _containers.RepeatedCompositeFieldContainer[BudgetLimit]
    shadow: bool
    concurrent: int
    abnormal: str
    def __init__(self, limits: _Optional[_Iterable[_Union[BudgetLimit, _Mapping]]] = ..., shadow: _Optional[bool] = ..., concurrent: _Optional[int] = ..., abnormal: _Optional[str] = ...) -> None: ...

class BudgetState(_message.Message):
    __slots__ = ("limit", "charged_tokens", "held_tokens", "charged_device_ms", "held_device_ms", "reset_time", "free_tokens", "free_device_ms", "overrun_device_ms")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    CHARGED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    HELD_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CHARGED_DEVICE_MS_FIELD_NUMBER: _ClassVar[int]
    HELD_DEVICE_MS_FIELD_NUMBER: _ClassVar[int]
    RESET_TIME_FIELD_NUMBER: _ClassVar[int]
    FREE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    FREE_DEVICE_MS_FIELD_NUMBER: _ClassVar[int]
    OVERRUN_DEVICE_MS_FIELD_NUMBER: _ClassVar[int]
    limit: BudgetLimit
    charged_tokens: int
    held_tokens: int
    charged_device_ms: int
    held_device_ms: int
    reset_time: _timestamp_pb2.Timestamp
    free_tokens: int
    free_device_ms: int
    overrun_device_ms: int
    def __init__(self, limit: _Optional[_Union[BudgetLimit, _Mapping]] = ..., charged_tokens: _Optional[int] = ..., held_tokens: _Optional[int] = ..., charged_device_ms: _Optional[int] = ..., held_device_ms: _Optional[int] = ..., reset_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., free_tokens: _Optional[int] = ..., free_device_ms: _Optional[int] = ..., overrun_device_ms: _Optional[int] = ...) -> None: ...

class GetBudgetRequest(_message.Message):
    __slots__ = ("tenant",)
    TENANT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    def __init__(self, tenant: _Optional[str] = ...) -> None: ...

class GetBudgetResponse(_message.Message):
    __slots__ = ("tenant", "windows", "budget", "source", "version", "raises", "open_runs", "abnormal")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    WINDOWS_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RAISES_FIELD_NUMBER: _ClassVar[int]
    OPEN_RUNS_FIELD_NUMBER: _ClassVar[int]
    ABNORMAL_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    windows: _containers.RepeatedCompositeFieldContainer[BudgetState]
    budget: Budget
    source: str
    version: int
    raises: _containers.RepeatedCompositeFieldContainer[BudgetRaise]
    open_runs: int
    abnormal: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, tenant: _Optional[str] = ..., windows: _Optional[_Iterable[_Union[BudgetState, _Mapping]]] = ..., budget: _Optional[_Union[Budget, _Mapping]] = ..., source: _Optional[str] = ..., version: _Optional[int] = ..., raises: _Optional[_Iterable[_Union[BudgetRaise, _Mapping]]] = ..., open_runs: _Optional[int] = ..., abnormal: _Optional[_Iterable[str]] = ...) -> None: ...

class SetBudgetRequest(_message.Message):
    __slots__ = ("tenant", "budget", "remove", "expected_version")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    RAISE_FIELD_NUMBER: _ClassVar[int]
    REMOVE_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    budget: Budget
    remove: bool
    expected_version: int
    def __init__(self, tenant: _Optional[str] = ..., budget: _Optional[_Union[Budget, _Mapping]] = ..., remove: _Optional[bool] = ..., expected_version: _Optional[int] = ..., **kwargs) -> None: ...

class SetBudgetResponse(_message.Message):
    __slots__ = ("budget",)
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    budget: GetBudgetResponse
    def __init__(self, budget: _Optional[_Union[GetBudgetResponse, _Mapping]] = ...) -> None: ...

class QueryUsageRequest(_message.Message):
    __slots__ = ("tenant", "start_time", "end_time", "bucket", "page_size", "page_token", "group_by", "tier", "policy")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    GROUP_BY_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    bucket: str
    page_size: int
    page_token: str
    group_by: _containers.RepeatedScalarFieldContainer[str]
    tier: str
    policy: str
    def __init__(self, tenant: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., bucket: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., group_by: _Optional[_Iterable[str]] = ..., tier: _Optional[str] = ..., policy: _Optional[str] = ...) -> None: ...

class UsageRow(_message.Message):
    __slots__ = ("tenant", "tier", "policy", "bucket_start", "requests", "tokens", "tokens_saved", "device_ms", "overrun_device_ms", "device_ms_saved", "prepare_us", "done", "stored", "cancelled", "failed", "tokens_micros", "device_micros", "tokens_saved_micros", "device_saved_micros", "prepare_micros", "currency")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    BUCKET_START_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_SAVED_FIELD_NUMBER: _ClassVar[int]
    DEVICE_MS_FIELD_NUMBER: _ClassVar[int]
    OVERRUN_DEVICE_MS_FIELD_NUMBER: _ClassVar[int]
    DEVICE_MS_SAVED_FIELD_NUMBER: _ClassVar[int]
    PREPARE_US_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    TOKENS_MICROS_FIELD_NUMBER: _ClassVar[int]
    DEVICE_MICROS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_SAVED_MICROS_FIELD_NUMBER: _ClassVar[int]
    DEVICE_SAVED_MICROS_FIELD_NUMBER: _ClassVar[int]
    PREPARE_MICROS_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    tier: str
    policy: str
    bucket_start: _timestamp_pb2.Timestamp
    requests: int
    tokens: int
    tokens_saved: int
    device_ms: int
    overrun_device_ms: int
    device_ms_saved: int
    prepare_us: int
    done: int
    stored: int
    cancelled: int
    failed: int
    tokens_micros: int
    device_micros: int
    tokens_saved_micros: int
    device_saved_micros: int
    prepare_micros: int
    currency: str
    def __init__(self, tenant: _Optional[str] = ..., tier: _Optional[str] = ..., policy: _Optional[str] = ..., bucket_start: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., requests: _Optional[int] = ..., tokens: _Optional[int] = ..., tokens_saved: _Optional[int] = ..., device_ms: _Optional[int] = ..., overrun_device_ms: _Optional[int] = ..., device_ms_saved: _Optional[int] = ..., prepare_us: _Optional[int] = ..., done: _Optional[int] = ..., stored: _Optional[int] = ..., cancelled: _Optional[int] = ..., failed: _Optional[int] = ..., tokens_micros: _Optional[int] = ..., device_micros: _Optional[int] = ..., tokens_saved_micros: _Optional[int] = ..., device_saved_micros: _Optional[int] = ..., prepare_micros: _Optional[int] = ..., currency: _Optional[str] = ...) -> None: ...

class QueryUsageResponse(_message.Message):
    __slots__ = ("rows", "next_page_token")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[UsageRow]
    next_page_token: str
    def __init__(self, rows: _Optional[_Iterable[_Union[UsageRow, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
