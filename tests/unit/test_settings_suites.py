"""The tables ``[[suites]]``: check commands from the configuration file into the plan of a run."""

from pathlib import Path

import pytest

from comfytui.cli.planning import make_plan, order_sample
from comfytui.clock import system_clock
from comfytui.errors import Failure
from comfytui.model.plan import SuitePlan
from comfytui.settings.merged import DEMO, Settings, load
from comfytui.settings.suites_table import Suite
from comfytui.settings.table import SUITE_KEYS

GOOD = '[[suites]]\nlabel = "Vitest e2e"\ncommand = ["npx", "vitest"]\n'


def settings(folder: Path, text: str) -> Settings:
    file = folder / "comfytui.toml"
    file.write_text(text, encoding="utf-8")
    return load({}, {"COMFYTUI_CONFIG": str(file)}, folder)


def test_suites_reach_the_plan_in_their_order(tmp_path: Path) -> None:
    more = '[[suites]]\nlabel = "lint"\ncommand = ["./lint", "-q"]\ncwd = "web"\ntimeout = 5\n'
    told = settings(tmp_path, f'server = "sim"\n{GOOD}{more}')
    assert told.suites == (
        Suite(label="Vitest e2e", command=("npx", "vitest"), cwd=tmp_path),
        Suite(label="lint", command=(str(tmp_path / "web" / "lint"), "-q"), cwd=tmp_path / "web", timeout=5.0),
    )
    plan = make_plan(
        order_sample(told), told, run_id="20260301-102003", created_at=system_clock().now(), simulator_speed="instant"
    )
    assert [suite.label for suite in plan.suites] == ["Vitest e2e", "lint"]
    assert SUITE_KEYS["timeout"][1] == f"{told.suites[0].timeout:g}" == f"{SuitePlan.__struct_defaults__[-1]:g}"


def test_the_demo_runs_none(tmp_path: Path) -> None:
    settings(tmp_path, GOOD)
    assert load({}, {"COMFYTUI_CONFIG": str(tmp_path / "comfytui.toml")}, tmp_path, DEMO).suites == ()


@pytest.mark.parametrize(
    ("text", "place", "why"),
    [
        ('suites = "x"', "suites", "no list of tables; write [[suites]]"),
        ('[suites]\nlabel = "x"', "suites", "no list of tables; write [[suites]]"),
        ('[[suites]]\nlabel = "x"', "suites[0].command", "missing"),
        ('[[suites]]\ncommand = ["x"]', "suites[0].label", "missing"),
        (f'{GOOD}lable = "x"', "suites[0].lable", "did you mean `label`?"),
        (GOOD.replace('["npx", "vitest"]', '"npx vitest"'), "suites[0].command", "it is one text; write a list"),
        (f"{GOOD}timeout = 0", "suites[0].timeout", "not more than 0"),
        (f"{GOOD}timeout = 1{'0' * 400}", "suites[0].timeout", "more than 1000000000"),
        (f"{GOOD}timeout = inf", "suites[0].timeout", "inf is not a number"),
        (f"{GOOD}timeout = true", "suites[0].timeout", "not a number"),
        ('[[suites]]\nlabel = ""\ncommand = ["x"]', "suites[0].label", "empty"),
        (f'[[suites]]\nlabel = "{"x" * 61}"\ncommand = ["x"]', "suites[0].label", "61 characters"),
        (GOOD + GOOD.replace("Vitest e2e", "vitest-E2E"), "suites[1].label", "would share a log"),
        (GOOD + GOOD, "suites[1].label", "would share a log"),
        ('[[suite]]\nlabel = "x"', "suite", "did you mean the table [suites]?"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_place(tmp_path: Path, text: str, place: str, why: str) -> None:
    with pytest.raises(Failure) as caught:
        settings(tmp_path, text)
    assert caught.value.code == "config.value"
    assert caught.value.what.startswith(f"{place} in ")
    assert why in caught.value.what
