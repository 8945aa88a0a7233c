import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Stage(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STAGE_UNSPECIFIED: _ClassVar[Stage]
    STAGE_QUEUED: _ClassVar[Stage]
    STAGE_TEXT: _ClassVar[Stage]
    STAGE_DENOISE: _ClassVar[Stage]
    STAGE_DECODE: _ClassVar[Stage]
    STAGE_ENCODE: _ClassVar[Stage]

class VideoState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VIDEO_STATE_UNSPECIFIED: _ClassVar[VideoState]
    VIDEO_STATE_RUNNING: _ClassVar[VideoState]
    VIDEO_STATE_DONE: _ClassVar[VideoState]
    VIDEO_STATE_CANCELLED: _ClassVar[VideoState]
    VIDEO_STATE_FAILED: _ClassVar[VideoState]

class MemoryRung(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MEMORY_RUNG_UNSPECIFIED: _ClassVar[MemoryRung]
    MEMORY_RUNG_PLAIN: _ClassVar[MemoryRung]
    MEMORY_RUNG_TILED_DECODE: _ClassVar[MemoryRung]
    MEMORY_RUNG_EXPERT_OFFLOADED: _ClassVar[MemoryRung]
    MEMORY_RUNG_GROUPS_OFFLOADED: _ClassVar[MemoryRung]
    MEMORY_RUNG_ALONE: _ClassVar[MemoryRung]
STAGE_UNSPECIFIED: Stage
STAGE_QUEUED: Stage
STAGE_TEXT: Stage
STAGE_DENOISE: Stage
STAGE_DECODE: Stage
STAGE_ENCODE: Stage
VIDEO_STATE_UNSPECIFIED: VideoState
VIDEO_STATE_RUNNING: VideoState
VIDEO_STATE_DONE: VideoState
VIDEO_STATE_CANCELLED: VideoState
VIDEO_STATE_FAILED: VideoState
MEMORY_RUNG_UNSPECIFIED: MemoryRung
MEMORY_RUNG_PLAIN: MemoryRung
MEMORY_RUNG_TILED_DECODE: MemoryRung
MEMORY_RUNG_EXPERT_OFFLOADED: MemoryRung
MEMORY_RUNG_GROUPS_OFFLOADED: MemoryRung
MEMORY_RUNG_ALONE: MemoryRung

class VideoSettings(_message.Message):
    __slots__ = ("tier", "width", "height", "frames", "duration", "steps", "guidance_scale", "guidance_scale_2", "seed")
    TIER_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    GUIDANCE_SCALE_FIELD_NUMBER: _ClassVar[int]
    GUIDANCE_SCALE_2_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    tier: str
    width: int
    height: int
    frames: int
    duration: _duration_pb2.Duration
    steps: int
    guidance_scale: float
    guidance_scale_2: float
    seed: int
    def __init__(self, tier: _Optional[str] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., frames: _Optional[int] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., steps: _Optional[int] = ..., guidance_scale: _Optional[float] = ..., guidance_scale_2: _Optional[float] = ..., seed: _Optional[int] = ...) -> None: ...

class PostProcessing(_message.Message):
    __slots__ = ("fps", "watermark")
    FPS_FIELD_NUMBER: _ClassVar[int]
    WATERMARK_FIELD_NUMBER: _ClassVar[int]
    fps: int
    watermark: str
    def __init__(self, fps: _Optional[int] = ..., watermark: _Optional[str] = ...) -> None: ...

class GenerateVideoRequest(_message.Message):
    __slots__ = ("prompt", "negative_prompt", "settings", "post_processing", "tokenizer_fingerprint", "tenant", "segments", "run")
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_PROMPT_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    POST_PROCESSING_FIELD_NUMBER: _ClassVar[int]
    TOKENIZER_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    prompt: str
    negative_prompt: str
    settings: VideoSettings
    post_processing: PostProcessing
    tokenizer_fingerprint: str
    tenant: str
    segments: _containers.RepeatedCompositeFieldContainer[Segment]
    run: str
    def __init__(self, prompt: _Optional[str] = ..., negative_prompt: _Optional[str] = ..., settings: _Optional[_Union[VideoSettings, _Mapping]] = ..., post_processing: _Optional[_Union[PostProcessing, _Mapping]] = ..., tokenizer_fingerprint: _Optional[str] = ..., tenant: _Optional[str] = ..., segments: _Optional[_Iterable[_Union[Segment, _Mapping]]] = ..., run: _Optional[str] = ...) -> None: ...

class Segment(_message.Message):
    __slots__ = ("prompt", "frames")
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    prompt: str
    frames: int
    def __init__(self, prompt: _Optional[str] = ..., frames: _Optional[int] = ...) -> None: ...

class GenerateVideoResponse(_message.Message):
    __slots__ = ("accepted", "progress", "video")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    VIDEO_FIELD_NUMBER: _ClassVar[int]
    accepted: VideoAccepted
    progress: Progress
    video: Video
    def __init__(self, accepted: _Optional[_Union[VideoAccepted, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., video: _Optional[_Union[Video, _Mapping]] = ...) -> None: ...

class VideoAccepted(_message.Message):
    __slots__ = ("name", "take", "settings", "post_processing", "warnings", "attached", "run", "cached")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TAKE_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    POST_PROCESSING_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    ATTACHED_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    CACHED_FIELD_NUMBER: _ClassVar[int]
    name: str
    take: str
    settings: VideoSettings
    post_processing: PostProcessing
    warnings: _containers.RepeatedScalarFieldContainer[str]
    attached: bool
    run: str
    cached: bool
    def __init__(self, name: _Optional[str] = ..., take: _Optional[str] = ..., settings: _Optional[_Union[VideoSettings, _Mapping]] = ..., post_processing: _Optional[_Union[PostProcessing, _Mapping]] = ..., warnings: _Optional[_Iterable[str]] = ..., attached: _Optional[bool] = ..., run: _Optional[str] = ..., cached: _Optional[bool] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("stage", "step", "steps", "device_ms", "waits_for_store")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    DEVICE_MS_FIELD_NUMBER: _ClassVar[int]
    WAITS_FOR_STORE_FIELD_NUMBER: _ClassVar[int]
    stage: Stage
    step: int
    steps: int
    device_ms: int
    waits_for_store: bool
    def __init__(self, stage: _Optional[_Union[Stage, str]] = ..., step: _Optional[int] = ..., steps: _Optional[int] = ..., device_ms: _Optional[int] = ..., waits_for_store: _Optional[bool] = ...) -> None: ...

class Video(_message.Message):
    __slots__ = ("name", "take", "state", "settings", "post_processing", "media_type", "size_bytes", "sha256", "report", "create_time", "progress", "run")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TAKE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    POST_PROCESSING_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    name: str
    take: str
    state: VideoState
    settings: VideoSettings
    post_processing: PostProcessing
    media_type: str
    size_bytes: int
    sha256: str
    report: Report
    create_time: _timestamp_pb2.Timestamp
    progress: Progress
    run: str
    def __init__(self, name: _Optional[str] = ..., take: _Optional[str] = ..., state: _Optional[_Union[VideoState, str]] = ..., settings: _Optional[_Union[VideoSettings, _Mapping]] = ..., post_processing: _Optional[_Union[PostProcessing, _Mapping]] = ..., media_type: _Optional[str] = ..., size_bytes: _Optional[int] = ..., sha256: _Optional[str] = ..., report: _Optional[_Union[Report, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., run: _Optional[str] = ...) -> None: ...

class Report(_message.Message):
    __slots__ = ("device_time", "steps_run", "steps_reused", "cached", "prompt_tokens", "negative_prompt_tokens", "model_fingerprint", "execution_fingerprint", "failure_reason", "failure_stage", "failure_message", "start_time", "end_time", "versions", "steps_resumed", "steps_lost", "attempts", "peak_bytes", "restarted", "run", "saved_device_ms", "memory_rung", "tiled_decode", "settings")
    class VersionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class SettingsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    DEVICE_TIME_FIELD_NUMBER: _ClassVar[int]
    STEPS_RUN_FIELD_NUMBER: _ClassVar[int]
    STEPS_REUSED_FIELD_NUMBER: _ClassVar[int]
    CACHED_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    FAILURE_REASON_FIELD_NUMBER: _ClassVar[int]
    FAILURE_STAGE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    STEPS_RESUMED_FIELD_NUMBER: _ClassVar[int]
    STEPS_LOST_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    PEAK_BYTES_FIELD_NUMBER: _ClassVar[int]
    RESTARTED_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    SAVED_DEVICE_MS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_RUNG_FIELD_NUMBER: _ClassVar[int]
    TILED_DECODE_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    device_time: DeviceTime
    steps_run: int
    steps_reused: int
    cached: bool
    prompt_tokens: int
    negative_prompt_tokens: int
    model_fingerprint: str
    execution_fingerprint: str
    failure_reason: str
    failure_stage: Stage
    failure_message: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    versions: _containers.ScalarMap[str, str]
    steps_resumed: int
    steps_lost: int
    attempts: int
    peak_bytes: int
    restarted: bool
    run: str
    saved_device_ms: int
    memory_rung: MemoryRung
    tiled_decode: bool
    settings: _containers.ScalarMap[str, str]
    def __init__(self, device_time: _Optional[_Union[DeviceTime, _Mapping]] = ..., steps_run: _Optional[int] = ..., steps_reused: _Optional[int] = ..., cached: _Optional[bool] = ..., prompt_tokens: _Optional[int] = ..., negative_prompt_tokens: _Optional[int] = ..., model_fingerprint: _Optional[str] = ..., execution_fingerprint: _Optional[str] = ..., failure_reason: _Optional[str] = ..., failure_stage: _Optional[_Union[Stage, str]] = ..., failure_message: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., versions: _Optional[_Mapping[str, str]] = ..., steps_resumed: _Optional[int] = ..., steps_lost: _Optional[int] = ..., attempts: _Optional[int] = ..., peak_bytes: _Optional[int] = ..., restarted: _Optional[bool] = ..., run: _Optional[str] = ..., saved_device_ms: _Optional[int] = ..., memory_rung: _Optional[_Union[MemoryRung, str]] = ..., tiled_decode: _Optional[bool] = ..., settings: _Optional[_Mapping[str, str]] = ...) -> None: ...

class DeviceTime(_message.Message):
    __slots__ = ("text_ms", "denoise_ms", "decode_ms", "encode_ms", "denoise_high_ms", "denoise_low_ms")
    TEXT_MS_FIELD_NUMBER: _ClassVar[int]
    DENOISE_MS_FIELD_NUMBER: _ClassVar[int]
    DECODE_MS_FIELD_NUMBER: _ClassVar[int]
    ENCODE_MS_FIELD_NUMBER: _ClassVar[int]
    DENOISE_HIGH_MS_FIELD_NUMBER: _ClassVar[int]
    DENOISE_LOW_MS_FIELD_NUMBER: _ClassVar[int]
    text_ms: int
    denoise_ms: int
    decode_ms: int
    encode_ms: int
    denoise_high_ms: int
    denoise_low_ms: int
    def __init__(self, text_ms: _Optional[int] = ..., denoise_ms: _Optional[int] = ..., decode_ms: _Optional[int] = ..., encode_ms: _Optional[int] = ..., denoise_high_ms: _Optional[int] = ..., denoise_low_ms: _Optional[int] = ...) -> None: ...

class GetVideoRequest(_message.Message):
    __slots__ = ("name", "tenant", "run")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    name: str
    tenant: str
    run: str
    def __init__(self, name: _Optional[str] = ..., tenant: _Optional[str] = ..., run: _Optional[str] = ...) -> None: ...

class GetVideoResponse(_message.Message):
    __slots__ = ("video",)
    VIDEO_FIELD_NUMBER: _ClassVar[int]
    video: Video
    def __init__(self, video: _Optional[_Union[Video, _Mapping]] = ...) -> None: ...

class CancelVideoRequest(_message.Message):
    __slots__ = ("name", "tenant", "run")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    name: str
    tenant: str
    run: str
    def __init__(self, name: _Optional[str] = ..., tenant: _Optional[str] = ..., run: _Optional[str] = ...) -> None: ...

class CancelVideoResponse(_message.Message):
    __slots__ = ("video",)
    VIDEO_FIELD_NUMBER: _ClassVar[int]
    video: Video
    def __init__(self, video: _Optional[_Union[Video, _Mapping]] = ...) -> None: ...

class DownloadVideoRequest(_message.Message):
    __slots__ = ("name", "tenant", "offset")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    name: str
    tenant: str
    offset: int
    def __init__(self, name: _Optional[str] = ..., tenant: _Optional[str] = ..., offset: _Optional[int] = ...) -> None: ...

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
    __slots__ = ("tenant", "page_size", "page_token")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    page_size: int
    page_token: str
    def __init__(self, tenant: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListVideosResponse(_message.Message):
    __slots__ = ("videos", "next_page_token")
    VIDEOS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    videos: _containers.RepeatedCompositeFieldContainer[Video]
    next_page_token: str
    def __init__(self, videos: _Optional[_Iterable[_Union[Video, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class EstimateVideoRequest(_message.Message):
    __slots__ = ("settings", "post_processing", "tenant", "prompt", "negative_prompt")
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    POST_PROCESSING_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_PROMPT_FIELD_NUMBER: _ClassVar[int]
    settings: VideoSettings
    post_processing: PostProcessing
    tenant: str
    prompt: str
    negative_prompt: str
    def __init__(self, settings: _Optional[_Union[VideoSettings, _Mapping]] = ..., post_processing: _Optional[_Union[PostProcessing, _Mapping]] = ..., tenant: _Optional[str] = ..., prompt: _Optional[str] = ..., negative_prompt: _Optional[str] = ...) -> None: ...

class EstimateVideoResponse(_message.Message):
    __slots__ = ("device_ms_p50", "device_ms_p95", "peak_bytes", "available_bytes", "name", "take", "state", "run", "denoised")
    DEVICE_MS_P50_FIELD_NUMBER: _ClassVar[int]
    DEVICE_MS_P95_FIELD_NUMBER: _ClassVar[int]
    PEAK_BYTES_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_BYTES_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TAKE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    DENOISED_FIELD_NUMBER: _ClassVar[int]
    device_ms_p50: int
    device_ms_p95: int
    peak_bytes: int
    available_bytes: int
    name: str
    take: str
    state: VideoState
    run: str
    denoised: bool
    def __init__(self, device_ms_p50: _Optional[int] = ..., device_ms_p95: _Optional[int] = ..., peak_bytes: _Optional[int] = ..., available_bytes: _Optional[int] = ..., name: _Optional[str] = ..., take: _Optional[str] = ..., state: _Optional[_Union[VideoState, str]] = ..., run: _Optional[str] = ..., denoised: _Optional[bool] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetModelResponse(_message.Message):
    __slots__ = ("tiers", "default_tier")
    TIERS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_TIER_FIELD_NUMBER: _ClassVar[int]
    tiers: _containers.RepeatedCompositeFieldContainer[Tier]
    default_tier: str
    def __init__(self, tiers: _Optional[_Iterable[_Union[Tier, _Mapping]]] = ..., default_tier: _Optional[str] = ...) -> None: ...

class Tier(_message.Message):
    __slots__ = ("name", "description", "defaults", "default_post_processing", "limits", "tokenizer_fingerprint", "model_fingerprint", "negative_prompt", "vocabulary", "settings")
    class SettingsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    DEFAULTS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_POST_PROCESSING_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    TOKENIZER_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_PROMPT_FIELD_NUMBER: _ClassVar[int]
    VOCABULARY_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    defaults: VideoSettings
    default_post_processing: PostProcessing
    limits: TierLimits
    tokenizer_fingerprint: str
    model_fingerprint: str
    negative_prompt: str
    vocabulary: _containers.RepeatedScalarFieldContainer[str]
    settings: _containers.ScalarMap[str, str]
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., defaults: _Optional[_Union[VideoSettings, _Mapping]] = ..., default_post_processing: _Optional[_Union[PostProcessing, _Mapping]] = ..., limits: _Optional[_Union[TierLimits, _Mapping]] = ..., tokenizer_fingerprint: _Optional[str] = ..., model_fingerprint: _Optional[str] = ..., negative_prompt: _Optional[str] = ..., vocabulary: _Optional[_Iterable[str]] = ..., settings: _Optional[_Mapping[str, str]] = ...) -> None: ...

class TierLimits(_message.Message):
    __slots__ = ("max_width", "max_height", "max_frames", "max_steps", "max_prompt_tokens")
    MAX_WIDTH_FIELD_NUMBER: _ClassVar[int]
    MAX_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    MAX_FRAMES_FIELD_NUMBER: _ClassVar[int]
    MAX_STEPS_FIELD_NUMBER: _ClassVar[int]
    MAX_PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    max_width: int
    max_height: int
    max_frames: int
    max_steps: int
    max_prompt_tokens: int
    def __init__(self, max_width: _Optional[int] = ..., max_height: _Optional[int] = ..., max_frames: _Optional[int] = ..., max_steps: _Optional[int] = ..., max_prompt_tokens: _Optional[int] = ...) -> None: ...

class ExtendVideoRequest(_message.Message):
    __slots__ = ("name", "tenant", "prompt", "frames")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    name: str
    tenant: str
    prompt: str
    frames: int
    def __init__(self, name: _Optional[str] = ..., tenant: _Optional[str] = ..., prompt: _Optional[str] = ..., frames: _Optional[int] = ...) -> None: ...

class ExtendVideoResponse(_message.Message):
    __slots__ = ("accepted", "progress", "video")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    VIDEO_FIELD_NUMBER: _ClassVar[int]
    accepted: VideoAccepted
    progress: Progress
    video: Video
    def __init__(self, accepted: _Optional[_Union[VideoAccepted, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., video: _Optional[_Union[Video, _Mapping]] = ...) -> None: ...
