"""What ``comfytui ask`` makes of its words, and that flags which do not fit are told."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import anyio
import click
import pytest
from click.testing import CliRunner

from comfytui.cli import asking
from comfytui.cli.asking import ORDERS, command_for
from comfytui.cli.commands import ask
from comfytui.errors import Failure
from comfytui.model import commands as c
from comfytui.model import events as e
from comfytui.model.envelope import Envelope
from comfytui.model.feed import CaughtUp, FeedItem

AT = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("order", "scenes", "flags", "command"),
    [
        ("rerun", ("s1", "s2"), {}, c.Rerun(id="t", scenes=("s1", "s2"))),
        ("rerun", ("s1",), {"seed": 0, "prompt": "a"}, c.Rerun(id="t", scenes=("s1",), seed=0, prompt="a")),
        ("rerun", (), {"failed": True}, c.Rerun(id="t", scenes=())),
        ("cancel", ("s1",), {}, c.Cancel(id="t", scenes=("s1",))),
        ("skip", ("s1",), {}, c.Skip(id="t", scenes=("s1",))),
        ("move", ("s1",), {"by": -2}, c.Move(id="t", scenes=("s1",), by=-2)),
        ("hold", (), {}, c.Hold(id="t")),
        ("release", (), {}, c.Release(id="t")),
        ("stop", (), {}, c.Stop(id="t")),
    ],
)
def test_orders(order: str, scenes: tuple[str, ...], flags: dict[str, Any], command: c.AnyCommand) -> None:
    assert command_for(order, scenes, flags, "t") == command


@pytest.mark.parametrize(
    ("order", "scenes", "flags"),
    [
        ("rerun", (), {}),
        ("rerun", ("s1",), {"failed": True}),
        ("rerun", ("s1",), {"by": 1}),
        ("cancel", (), {}),
        ("cancel", ("s1",), {"seed": 1}),
        ("cancel", (), {"failed": True}),
        ("move", ("s1",), {}),
        ("hold", ("s1",), {}),
        ("stop", (), {"prompt": "a"}),
    ],
)
def test_what_does_not_fit_is_told(order: str, scenes: tuple[str, ...], flags: dict[str, Any]) -> None:
    with pytest.raises(click.UsageError):
        command_for(order, scenes, flags, "t")


def test_the_command_line_knows_the_same_orders() -> None:
    assert f"{{{'|'.join(ORDERS)}}}" in CliRunner().invoke(ask, ["--help"]).output


class Deaf:
    """A feed whose runner takes a command and never answers."""

    def __init__(self) -> None:
        self.sent: list[c.AnyCommand] = []

    async def items(self) -> AsyncIterator[FeedItem]:
        answer = e.CommandAnswered(id="another", command="hold", accepted=True)
        yield Envelope(seq=1, at=AT, run="r", event=answer)
        yield CaughtUp()
        await anyio.sleep_forever()

    async def send(self, command: c.AnyCommand) -> None:
        self.sent.append(command)


async def test_a_runner_that_does_not_answer_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "ANSWER_SECONDS", 0.05)
    feed = Deaf()
    with pytest.raises(Failure) as caught:
        async with anyio.create_task_group() as tasks:
            try:
                await asking._told(feed, c.Hold(id="t"), tasks.start_soon, failed=False)
            except Failure as failure:
                told = failure
        raise told
    assert caught.value.code == "run.no_answer"
    assert feed.sent == [c.Hold(id="t")]


async def test_a_rerun_of_the_failed_where_none_failed_starts_no_runner() -> None:
    feed = Deaf()
    with pytest.raises(Failure) as caught:
        async with anyio.create_task_group() as tasks:
            try:
                await asking._told(feed, c.Rerun(id="t", scenes=()), tasks.start_soon, failed=True)
            except Failure as failure:
                told = failure
        raise told
    assert caught.value.code == "run.none_failed"
    assert not feed.sent
