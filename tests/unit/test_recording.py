"""A recording gives at every position the fold of what came before it, whichever way it was reached."""

import random
from datetime import timedelta

import pytest

from comfytui.model import recording
from comfytui.model.envelope import Envelope
from comfytui.model.fold import fold
from comfytui.model.recording import Recording
from comfytui.model.state import State
from tests.ui.script import finished


@pytest.fixture(params=[3, 64, 100_000])
def made(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[Recording, list[Envelope]]:
    monkeypatch.setattr(recording, "STRIDE", request.param)
    envelopes = [item for item in finished().items if isinstance(item, Envelope)]
    made = Recording()
    for envelope in envelopes:
        made.add(envelope)
    return made, envelopes


def test_every_position_forwards_backwards_and_at_random(made: tuple[Recording, list[Envelope]]) -> None:
    tape, envelopes = made
    states = [State()]
    for envelope in envelopes:
        states.append(fold(states[-1], envelope))
    assert len(tape) == len(envelopes) > 50
    ways = [*range(len(tape) + 1), *reversed(range(len(tape) + 1))]
    ways += random.Random(7).sample(range(len(tape)), 40)
    assert all(tape.state(position) == states[position] for position in ways)
    assert tape.state(-5) == State()
    assert tape.state(10**9) == states[-1]


def test_facts_forwards_and_backwards(made: tuple[Recording, list[Envelope]]) -> None:
    tape, envelopes = made
    facts = [place for place, envelope in enumerate(envelopes, 1) if envelope.is_fact]
    position, forwards = 0, []
    for _ in facts:
        position = tape.fact(position, 1)
        forwards.append(position)
    assert forwards == facts
    assert tape.fact(position, 1) == len(tape)
    assert tape.facts == len(facts)
    assert tape.fact(facts[5], -1) == facts[4]
    assert tape.fact(facts[0], -1) == 0
    assert tape.fact_number(facts[5]) == 6


def test_moments(made: tuple[Recording, list[Envelope]]) -> None:
    tape, envelopes = made
    assert tape.moment(0) == tape.moment(1) == envelopes[0].at
    assert tape.at(envelopes[0].at - timedelta(seconds=1)) == 0
    middle = envelopes[30].at
    assert envelopes[tape.at(middle) - 1].at == middle
    assert tape.at(envelopes[-1].at) == len(tape)
    assert Recording().moment(0) is None


def test_a_clock_that_was_set_back_stands_still() -> None:
    tape = Recording()
    first, second = [item for item in finished().items if isinstance(item, Envelope)][:2]
    tape.add(first)
    tape.add(Envelope(seq=second.seq, at=first.at - timedelta(hours=1), run=second.run, event=second.event))
    assert tape.moment(2) == first.at
    assert tape.at(first.at) == 2
