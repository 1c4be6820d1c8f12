"""The envelope: what goes in comes out, whatever the event; what is no envelope is refused with words."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given

from comfytui.model.envelope import Envelope, decode, encode
from comfytui.model.events import AnyEvent, Fact, Pulse, RunNoted, Sample, Unknown, sample_key
from tests.unit.made_up import EVENTS, TIMES

T0 = datetime(2026, 3, 1, 2, 3, 4, 567000, tzinfo=UTC)


@given(event=EVENTS, at=TIMES)
def test_any_event_comes_back_as_it_went(event: AnyEvent, at: datetime) -> None:
    envelope = Envelope(seq=7, at=at, run="r", event=event)
    line = encode(envelope)
    assert b"\n" not in line
    assert decode(line) == envelope
    assert decode(line).is_fact == isinstance(event, Fact)


def test_the_line_is_what_other_tools_read() -> None:
    line = encode(Envelope(seq=7, at=T0, run="20260301-020304", event=RunNoted(text="hello")))
    assert line == (
        b'{"seq":7,"at":"2026-03-01T02:03:04.567000Z","run":"20260301-020304","event":{"type":"run_noted",'
        b'"text":"hello","level":"info","code":null,"remedy":null,"scene":null},"v":1}'
    )


def test_an_unknown_event_is_kept_by_name_and_an_unknown_field_is_tolerated() -> None:
    base = b'{"seq":1,"at":"2026-03-01T02:03:04Z","run":"r","later":1,"event":'
    assert decode(base + b'{"type":"moon_rose","phase":3}}').event == Unknown(kind="moon_rose")
    assert decode(base + b'{"type":"pulse","latency":0.5,"colour":"red"}}').event == Pulse(latency=0.5)
    assert decode(base + b"{}}").event == Unknown()


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b'"text"',
        b'{"seq":"1","at":"2026-03-01T02:03:04Z","run":"r","event":{}}',
        b'{"seq":1,"at":"2026-03-01T02:03:04","run":"r","event":{"type":"queue_held","held":true}}',  # no zone
        b'{"seq":1,"at":"2026-03-01T02:03:04Z","run":"r","event":{"type":"queue_held"}}',
        b'{"seq":1,"at":"2026-03-01T02:03:04Z","run":"r","event":{"type":"queue_held","held":1}}',
        b'{"seq":1,"at":"2026-03-01T02:03:04Z","run":"r","event":' + b"[" * 20_000,
        b'{"seq":1,"at":"2026-03-01T02:03:04Z","run":"r","event":{"deep":' + b"[" * 20_000 + b"]" * 20_000 + b"}}",
        b'{"seq":1,"at":"2026-03-01T02:03:04Z","run":"\xff","event":{"type":"queue_held","held":true}}',
    ],
)  # fmt: skip
def test_what_is_no_envelope_is_refused_with_words(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"not an envelope|does not fit"):
        decode(line)


def test_every_event_is_a_fact_or_a_sample_with_a_tag_of_its_own() -> None:
    kinds: tuple[type[msgspec.Struct], ...] = AnyEvent.__args__
    tags = [kind.__struct_config__.tag for kind in kinds]
    assert len(set(tags)) == len(tags)
    assert all(issubclass(kind, Fact) != issubclass(kind, Sample) for kind in kinds)

    def leaves(kind: type) -> set[type]:
        below: list[type] = kind.__subclasses__()
        return set().union(*(leaves(each) for each in below)) if below else {kind}

    assert leaves(Fact) | leaves(Sample) == set(kinds)  # none was forgotten in the union


@given(event=EVENTS)
def test_samples_of_one_key_are_of_one_kind(event: AnyEvent) -> None:
    if isinstance(event, Sample):
        key = sample_key(event)
        assert key and all(isinstance(part, str) for part in key)
        assert sample_key(event) == key
