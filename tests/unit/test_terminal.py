"""What the doctor says of terminals, each told by its environment alone."""

import pytest

from comfytui.cli.terminal import terminal

KITTY = {"TERM": "xterm-kitty", "KITTY_WINDOW_ID": "1", "COLORTERM": "truecolor"}


def told(environ: dict[str, str], encoding: str = "utf-8", size: tuple[int, int] | None = (120, 40)) -> dict[str, str]:
    found = list(terminal(environ, encoding=encoding, size=size))
    assert all(finding.remedy for finding in found if finding.verdict in ("warn", "fail"))
    return {finding.check: f"{finding.verdict}: {finding.what}" for finding in found}


def test_a_good_terminal() -> None:
    found = told(KITTY)
    assert found == {
        "terminal": "ok: 120x40", "colours": "ok: as many as a theme wants", "unicode": "ok: text is written as utf-8",
        "graphics": "ok: pictures are drawn by Kitty's graphics protocol",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("environ", "check", "words"),
    [
        ({"TERM": "vt220"}, "colours", "ok: none"), ({"TERM": "xterm"}, "colours", "warn: xterm tells of sixteen"),
        ({**KITTY, "NO_COLOR": "1"}, "colours", "ok: none"), ({**KITTY, "TMUX": "x"}, "multiplexer", "ok: tmux"),
        ({**KITTY, "TMUX": "x"}, "graphics", "ok: pictures are drawn of half cells"),
        ({"TERM": "xterm"}, "graphics", "ok: pictures are drawn of half cells"),
        ({"TERM": "screen-256color"}, "multiplexer", "ok: tmux or"), ({**KITTY, "STY": "x"}, "multiplexer", "ok"),
        ({**KITTY, "SSH_CONNECTION": "x"}, "ssh", "ok: over SSH"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "graphics", "ok: pictures are drawn as Sixel"),
        ({**KITTY, "ZELLIJ": "0"}, "multiplexer", "ok: zellij"),
        ({"TERM": "dumb"}, "terminal", "unknown"),
    ],
)  # fmt: skip
def test_what_the_environment_tells(environ: dict[str, str], check: str, words: str) -> None:
    assert told(environ)[check].startswith(words)


def test_what_is_not_the_environments_to_tell() -> None:
    assert told(KITTY, encoding="ascii")["unicode"].startswith("warn: text is written as ascii")
    assert told(KITTY, size=(59, 40))["terminal"].startswith("warn: 59x40")
    assert list(told(KITTY, size=None)) == ["terminal"]
