"""Driving a run in this process: what goes wrong beside the run does not end it."""

from pathlib import Path

import anyio
import httpx
import pytest

from comfytui.cli.driving import Driving, _tell_waiting, credentials, drive_in_foreground
from comfytui.cli.planning import make_plan, order_story
from comfytui.clock import system_clock
from comfytui.engine.herald import Herald
from comfytui.engine.server.credentials import Credentials
from comfytui.errors import Failure
from comfytui.faces.headless import LineFormatter
from comfytui.faces.printer import Printer
from comfytui.link.hub import HubFeed
from comfytui.model.commands import Hold, Stop
from comfytui.model.envelope import Envelope
from comfytui.model.events import ExecutionStarted
from comfytui.model.feed import FeedItem
from comfytui.model.plan import RunPlan
from comfytui.records.lock import RunLock
from comfytui.records.rundir import RunDir, create_run, write_plan
from comfytui.settings.merged import load
from tests.e2e.command import story


def prepared(tmp_path: Path) -> tuple[RunDir, RunPlan]:
    settings = load({"server": "sim", "workflow": "smoke"}, {"COMFYTUI_CONFIG": ""}, tmp_path)
    order = order_story(story(tmp_path, scenes=1, frames=1), settings)
    clock = system_clock()
    run = create_run(tmp_path / "runs", clock)
    plan = make_plan(order, settings, run_id=run.run_id, created_at=clock.now(), simulator_speed="instant")
    write_plan(run, plan, order.story_file)
    return run, plan


class Broken(LineFormatter):
    """A formatter that fails at its third item."""

    taken = 0

    def on_item(self, item: FeedItem) -> list[str]:
        self.taken += 1
        if self.taken == 3:
            raise ZeroDivisionError("a fault of the lines")
        return super().on_item(item)


def test_a_fault_of_the_lines_does_not_end_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, plan = prepared(tmp_path)
    printed: list[bytes] = []
    assert drive_in_foreground(run, plan, Broken(system_clock()), Printer(printed.append)) == 0
    assert run.archive.exists()
    err = capsys.readouterr().err
    assert err.startswith("comfytui met an error of its own: ZeroDivisionError: a fault of the lines.")
    Path(err.rpartition("with the file ")[2].partition(". [")[0]).unlink()


def test_who_does_not_wait_for_the_webhook_gets_the_exit_code_of_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, plan = prepared(tmp_path)
    driving = Driving(run, plan, "run", system_clock(), Credentials())

    async def hang(body: bytes) -> None:
        await anyio.sleep_forever()

    monkeypatch.setattr("comfytui.engine.herald.UNSAID", 0.0)
    monkeypatch.setattr("comfytui.cli.driving._tell_waiting", lambda: (_tell_waiting(), driving._interrupted()))
    monkeypatch.setattr(
        "comfytui.cli.driving.herald_of", lambda plan, hub, clock: Herald(hub, hang, ("run_finished",), clock)
    )
    assert anyio.run(driving.drive, None, lambda: None) == 0
    assert capsys.readouterr().err == (
        "The webhook has not taken the last news yet: waiting 5 s at most; interrupt to leave at once.\n"
    )


def test_a_run_that_another_drives(tmp_path: Path) -> None:
    run, plan = prepared(tmp_path)
    with RunLock.acquire(run), pytest.raises(Failure) as caught:
        drive_in_foreground(run, plan, LineFormatter(system_clock()), Printer(lambda _: None))
    assert caught.value.code == "run.locked"


def test_a_command_that_comes_too_late_is_refused(tmp_path: Path) -> None:
    run, plan = prepared(tmp_path)
    driving = Driving(run, plan, "run", system_clock(), Credentials())
    driving._driven = True
    for command in (Hold(id="1"), Stop(id="2")):
        with pytest.raises(Failure, match="No runner answers"):
            driving._command(command)


def test_credentials_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFYTUI_TOKEN", "hidden")
    monkeypatch.setenv("COMFYTUI_HEADERS", "X-Key: also-hidden")
    found = credentials()
    assert (found.token, dict(found.headers)) == ("hidden", {"X-Key": "also-hidden"})
    assert "hidden" not in repr(found)


def test_metrics_of_a_run_are_there_while_it_is_driven(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, plan = prepared(tmp_path)
    scraped: list[str] = []

    async def scrape(feed: HubFeed) -> None:
        async for item in feed.items():
            if isinstance(item, Envelope) and isinstance(item.event, ExecutionStarted):
                address = capsys.readouterr().err.strip().removeprefix("Metrics: ")
                async with httpx.AsyncClient(trust_env=False) as client:
                    scraped.append((await client.get(address)).text)

    driving = Driving(run, plan, "run", system_clock(), credentials(), metrics_port=0)
    assert anyio.run(driving.drive, scrape, lambda: None) == 0
    assert driving.finished
    (text,) = scraped
    assert f'run="{run.run_id}"' in text
    assert text.endswith("# EOF\n")
