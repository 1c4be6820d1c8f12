"""Text from outside that has nothing to strip passes as it is; which characters that are is Python's own table."""

import sys

from comfytui.untrusted import _visible, plain


def test_every_character_that_python_calls_printable_may_reach_a_terminal() -> None:
    printable = [chr(code) for code in range(sys.maxunicode + 1) if chr(code).isprintable()]
    assert len(printable) > 100_000
    assert all(map(_visible, printable))
    assert not any(char in "\n\r\t\x0b\x0c\x85\u2028\u2029\x1b\x9b\x9d\x90\x98\x9e\x9f" for char in printable)
    assert not any("\ud800" <= char <= "\udfff" for char in printable)


def test_printable_text_is_cut_only_where_it_is_too_long() -> None:
    assert plain("Café 東京 — ok") == "Café 東京 — ok"
    assert plain("abcd", 4) == "abcd"
    assert plain("abcde", 4) == "abc…"
