"""The README is true: its tables are those the code prints, its pictures exist, its two lines are there."""

import re
from pathlib import Path

import pytest

from comfytui.errors import REGISTRY, registry_markdown
from comfytui.faces.tui.keys import key_table_markdown
from comfytui.fault_table import fault_table_markdown
from comfytui.model.failure_classes import failure_classes_markdown
from comfytui.settings.reference import settings_markdown

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GENERATED = {
    "keys": key_table_markdown,
    "retry": failure_classes_markdown,
    "settings": settings_markdown,
    "errors": registry_markdown,
    "faults": fault_table_markdown,
}


def test_the_two_lines_of_a_newcomer() -> None:
    assert re.search(r"^    pip install \. && comfytui demo +#", README, re.M)
    assert re.search(r"^    pip install '\.\[test\]' && pytest +#", README, re.M)


@pytest.mark.parametrize("name", GENERATED)
def test_tables_are_what_the_code_prints(name: str) -> None:
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", README, re.S)
    assert found is not None
    assert found[1].strip() == GENERATED[name]().strip(), f"python -m tests.unit.test_readme writes the {name} table"


def test_pictures_exist() -> None:
    for path in re.findall(r"!\[[^\]]*\]\((.+?\.(?:svg|png))\)", README):
        assert (ROOT / path).is_file(), path


def test_every_failure_is_in_the_registry_and_raised_somewhere() -> None:
    raised = set()
    for path in (ROOT / "comfytui").rglob("*.py"):
        raised |= (
            set(re.findall(r'"([a-z]+(?:\.[a-z_]+)?)"', path.read_text(encoding="utf-8")))
            if path.name != ("errors.py")
            else set()
        )
    assert {code for code in REGISTRY if code not in raised} == set()


if __name__ == "__main__":
    for name, make in GENERATED.items():
        table = make()
        README = re.sub(
            rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", lambda m, t=table: f"{m[1]}\n{t}\n{m[2]}", README, flags=re.S
        )
    (ROOT / "README.md").write_text(README, encoding="utf-8")
