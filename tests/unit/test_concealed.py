"""What may hold a login shows nothing of itself."""

from pathlib import Path

from rich.pretty import pretty_repr

from comfytui.engine.server.credentials import Credentials
from comfytui.settings.notify_table import Notify
from comfytui.settings.server_table import ServerStart
from comfytui.settings.servers_table import ServerEntry

SECRET = "s3cr3t"
HOLDERS = (
    Credentials(token=SECRET, headers={"X-Key": SECRET}, server_env={"KEY": SECRET}),
    Credentials(own={"a": Credentials(token=SECRET)}),
    Notify(webhook=f"https://hooks.example.com/{SECRET}"),
    ServerStart(command=("python",), cwd=Path(), file=Path(), env={"KEY": SECRET}),
    ServerEntry("http://a", start=ServerStart(command=(), cwd=Path(), file=Path(), env={"KEY": SECRET})),
)


def test_no_value_shows_where_it_is_printed_by_python_or_by_rich() -> None:
    for holder in HOLDERS:
        for text in (repr(holder), str(holder), f"{[holder]}", pretty_repr(holder)):
            assert SECRET not in text
            assert type(holder).__name__ in text
