"""What the program prints of itself is what the README has, and what it really does."""

import pytest
from click.testing import CliRunner, Result

from comfytui.cli.commands import comfytui
from comfytui.errors import REGISTRY
from tests.unit.test_readme import README


def printed(*arguments: str) -> Result:
    return CliRunner().invoke(comfytui, arguments, standalone_mode=False)


@pytest.mark.parametrize("command", ["config", "errors", "keys"])
def test_a_printed_table_is_the_one_of_the_readme(command: str) -> None:
    done = printed(command)
    assert done.return_value == 0
    assert done.output.strip() in README
    assert done.output.startswith("| ")


def test_one_failure_is_explained() -> None:
    done = printed("errors", "disk.space")
    assert done.return_value == 0
    assert "`comfytui resume RUN` goes on with this run." in done.output


def test_no_braces_reach_a_person() -> None:
    assert "{" not in printed("errors", *REGISTRY).output
    assert "There is no run at PLACE." in printed("errors", "run.not_found").output
    assert "`comfytui resume RUN`" in printed("errors").output


def test_a_failure_that_is_none() -> None:
    done = printed("errors", "disk.sapce", "run.plan")
    assert done.return_value == 2
    assert "no failure 'disk.sapce'" in done.output
    assert "The plan of the run, FILE, cannot be used: WHY." in done.output


def test_the_contract_explains_best_attempts_and_fallback_notes() -> None:
    words = printed("contract").output
    for said in ("## The best attempt", "## Fallback notes", "used nvml fallback", "no figure is ever missing without"):
        assert said in words
