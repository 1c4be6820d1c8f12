"""How complete a Telemetry is: which of the fields that the contract requires are there, and told. Pure."""

from msgspec import structs

from comfytui.model.report import Completeness
from comfytui.model.telemetry import ContractStruct, GpuTelemetry, SystemTelemetry, Telemetry
from comfytui.records.report.fields import Fields

OURS = frozenset({"ExecutionStatus", "ExecutionError", "GPU.Source"})
"""Fields that the contract's older form does not have."""

NULLABLE = frozenset(
    {"ExecutionSuccessAt", "ExecutionError", "DoneMarkerPath", "ForcedCopyDebugPath", "GPU.Type", "GPU.Index"}
)
"""Fields of which null says that there is nothing to tell; of any other it says that it could not be read."""


def _names() -> tuple[str, ...]:
    inner: dict[str, type[ContractStruct]] = {"GPU": GpuTelemetry, "System": SystemTelemetry}
    names: list[str] = []
    for field in structs.fields(Telemetry):
        shape = inner.get(field.encode_name)
        below = [f"{field.encode_name}.{each.encode_name}" for each in structs.fields(shape)] if shape else []
        names += below or [field.encode_name]
    return tuple(names)


REQUIRED = _names()
"""Every field of a Telemetry, those of GPU and System one by one."""


def completeness(telemetry: Fields, *, older: bool) -> Completeness:
    """Return which fields ``telemetry`` has; in the contract's ``older`` form ours are not required.

    A field counts when its key is there and its value was read: null counts where the contract means it (no error, no
    marker), a GPU called ``Unknown`` does not.
    """
    required = [name for name in REQUIRED if not (older and name in OURS)]
    missing = tuple(name for name in required if not _told(telemetry, name))
    return Completeness(present=len(required) - len(missing), required=len(required), missing=missing)


def _told(telemetry: Fields, name: str) -> bool:
    parent, _, leaf = name.rpartition(".")
    fields = telemetry.child(parent) if parent else telemetry
    if leaf not in fields:
        return False
    value = fields.raw[leaf]
    if name == "GPU.Name":
        return isinstance(value, str) and value.strip() not in ("", "Unknown")
    if name == "ExecutionSuccessAt" and telemetry.flag("ExecutionSuccessDetected"):
        return value is not None
    return value is not None or name in NULLABLE
