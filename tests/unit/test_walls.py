"""The house stays in order: walls, style, types, sizes, and no folder at the top that does not belong there."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOP = {"pyproject.toml", "comfytui", "tests", "snapshots", "README.md", "justfile"}
LONGEST_FILE, LONGEST_CLASS = 400, 250


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )


@pytest.mark.timeout(120)
def test_the_walls_stand() -> None:
    done = run("-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-cache")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_ruff_finds_nothing() -> None:
    for command in (["check"], ["format", "--check"]):
        done = run("-m", "ruff", *command, "--no-cache", "comfytui", "tests")
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(240)
def test_types_are_strict(tmp_path: Path) -> None:
    done = run("-m", "mypy", "--cache-dir", str(tmp_path), "comfytui")
    assert done.returncode == 0, done.stdout + done.stderr


def test_rooms_stay_small() -> None:
    large = []
    for path in sorted((ROOT / "comfytui").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if text.count("\n") > LONGEST_FILE:
            large.append(f"{path.relative_to(ROOT)}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef) and (node.end_lineno or 0) - node.lineno >= LONGEST_CLASS:
                large.append(f"{path.relative_to(ROOT)}: class {node.name}")
    assert large == []


def test_the_top_level_holds_what_it_should() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    tops = {line.split("/")[0] for line in listed.stdout.splitlines()}
    assert {top for top in tops if not top.startswith(".")} <= TOP
