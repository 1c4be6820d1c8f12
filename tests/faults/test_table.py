"""The fault table is true to the tests: each row names one that exists, and no module of faults goes without a row."""

import ast
from pathlib import Path

from click.testing import CliRunner

from comfytui.cli.commands import comfytui
from comfytui.fault_table import fault_table, fault_table_markdown
from comfytui.untrusted import plain

ROOT = Path(__file__).parents[2]
ROWS = fault_table()


def named_in(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, kinds) and node.name.startswith("test_")}


def test_every_row_has_its_test() -> None:
    assert len(ROWS) >= 40
    missing = []
    for row in ROWS:
        path, _, name = row.test.partition("::")
        if not (ROOT / path).is_file() or name not in named_in(path):
            missing.append(row.test)
    assert missing == []


def test_every_module_of_faults_has_a_row() -> None:
    named = {row.test.partition("::")[0] for row in ROWS}
    modules = {f"tests/faults/{path.name}" for path in Path(__file__).parent.glob("test_*.py")}
    assert modules - named == {f"tests/faults/{Path(__file__).name}"}


def test_no_row_comes_twice() -> None:
    assert len({row.test for row in ROWS}) == len(ROWS)
    assert len({row.fault for row in ROWS}) == len(ROWS)


def test_every_cell_is_one_line_of_words() -> None:
    for row in ROWS:
        for cell in (row.fault, row.happens, row.kept, row.test):
            assert cell.strip() == cell == plain(cell) != ""
            assert "|" not in cell


def test_the_doctor_prints_it() -> None:
    printed = CliRunner().invoke(comfytui, ["doctor", "--faults"], standalone_mode=False)
    assert printed.return_value == 0
    assert printed.output == fault_table_markdown()
