"""Any value of a model type, for property tests: a hypothesis strategy worked out of the type's own annotations."""

from datetime import UTC, datetime
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from hypothesis import strategies as st
from msgspec import Meta, Struct, UnsetType, structs

from comfytui.model.events import AnyEvent

TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)).map(
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
)
TEXTS = st.sampled_from(["scene-001", "scene-002"]) | st.text(max_size=12)  # so that events meet in a scene
JSON = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXTS

_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXTS,
    bool: st.booleans(),
    NoneType: st.none(),
    datetime: TIMES,
    Any: JSON,
    float: st.floats(0.5, 1e12),
}


def any_of(kind: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for values of the type ``kind``; numbers are positive."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        if any(isinstance(note, Meta) and note.pattern for note in parts[1:]):
            return st.sampled_from(["a" * 64])
        return any_of(parts[0])
    if origin in (Union, UnionType):
        return st.one_of([any_of(part) for part in parts if part is not UnsetType])
    if origin is Literal:
        return st.sampled_from(parts)
    if origin is tuple:
        return st.lists(any_of(parts[0]), max_size=2).map(tuple)
    if origin is dict:
        return st.dictionaries(any_of(parts[0]), any_of(parts[1]), max_size=2)
    if kind is int:
        return st.sampled_from([1, 2]) | st.integers(1, 2**53)
    if isinstance(kind, type) and issubclass(kind, Struct):
        return st.builds(kind, **{field.name: any_of(field.type) for field in structs.fields(kind)})
    return _PLAIN[kind]


EVENTS = any_of(AnyEvent)
