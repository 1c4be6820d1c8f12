"""The mailbox of the socket: everything that counts in order, of the rest the latest, and never a lost read."""

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfytui.sources.comfy import messages as m
from comfytui.sources.comfy.mailbox import MAX_WAITING, Mailbox, latest_wins

MESSAGES = st.one_of(
    st.builds(m.Executing, prompt_id=st.sampled_from("pq"), node=st.sampled_from("12")),
    st.builds(m.ExecutionSuccess, prompt_id=st.sampled_from("pq")),
    st.builds(m.Status, remaining=st.integers(0, 9)),
    st.builds(
        m.Progress,
        prompt_id=st.sampled_from("pq"),
        node=st.sampled_from("12"),
        value=st.floats(0, 9),
        maximum=st.just(9.0),
    ),
    st.builds(m.ProgressState, prompt_id=st.sampled_from("pq"), finished=st.integers(0, 9)),
    st.builds(m.Preview, format=st.just("png"), size=st.integers(0, 9), image=st.just(b"")),
    st.builds(m.TextProgress, node=st.sampled_from("12"), text=st.text(max_size=3)),
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def taken(mailbox: Mailbox[str]) -> list[object]:
    mailbox.put("the end")
    items: list[object] = []
    async for item in mailbox:
        if item == "the end":
            break
        items.append(item)
    return items


@given(st.lists(MESSAGES, max_size=60))
def test_superseded_messages_alone_are_left_out(sent: list[m.Message]) -> None:
    mailbox: Mailbox[str] = Mailbox()
    for message in sent:
        assert mailbox.put(message)
    last = {latest_wins(message): number for number, message in enumerate(sent)}
    wanted = [
        message
        for number, message in enumerate(sent)
        if latest_wins(message) is None or last[latest_wins(message)] == number
    ]
    assert anyio.run(taken, mailbox) == wanted


async def test_a_read_that_is_cancelled_loses_nothing() -> None:
    mailbox: Mailbox[str] = Mailbox()
    with anyio.move_on_after(0) as gone:
        await anext(mailbox)
    assert gone.cancelled_caught
    mailbox.put("one")
    with anyio.CancelScope() as scope:
        scope.cancel()
        await anext(mailbox)
    assert await anext(mailbox) == "one"


async def test_closing_ends_a_reader_that_waits() -> None:
    mailbox: Mailbox[str] = Mailbox()
    read: list[object] = []

    async def reader() -> None:
        read.extend([item async for item in mailbox])

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(reader)
            await anyio.lowlevel.checkpoint()
            mailbox.put("one")
            await anyio.wait_all_tasks_blocked()
            mailbox.close()
    assert read == ["one"]


async def test_whoever_is_too_far_behind_is_told() -> None:
    mailbox: Mailbox[str] = Mailbox()
    told = [mailbox.put(f"{number}") for number in range(MAX_WAITING)]
    assert told == [True] * (MAX_WAITING - 1) + [False]
    mailbox.clear()
    assert mailbox.put("afresh")
    assert await anext(mailbox) == "afresh"
