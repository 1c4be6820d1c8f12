"""The settings as a table for people: made from the one list of them, so that it cannot go stale."""

from comfytui.settings.table import NOTIFY_KEYS, SERVER_KEYS, SERVERS_KEYS, SETTINGS, SUITE_KEYS, WEBHOOK_VARIABLE


def settings_markdown() -> str:
    """Return a Markdown table of every setting: its flag, its variable, its key in ``comfytui.toml``, its default."""
    rows = ["| flag | environment | `comfytui.toml` | default | what it is |", "|---|---|---|---|---|"]
    for one in SETTINGS:
        variable = f"`{one.variable}`" if one.variable else ""
        default = f"`{one.default}`" if one.default else ""
        what = one.help.replace("<", "&lt;")
        rows.append(f"| `{one.flag}` | {variable} | `{one.key}` | {default} | {what} |")
    for table, keys in {"server": SERVER_KEYS, "servers[]": SERVERS_KEYS, "suites[]": SUITE_KEYS}.items():
        for key, (what, default) in ((key, row) for key, row in keys.items() if row[0]):
            rows.append(f"|  |  | `{table}.{key}` | {f'`{default}`' if default else ''} | {what} |")
    for key, (what, default) in NOTIFY_KEYS.items():
        variable = f"`{WEBHOOK_VARIABLE}`" if key == "webhook" else ""
        rows.append(f"|  | {variable} | `notify.{key}` | {f'`{default}`' if default else ''} | {what} |")
    return "\n".join(rows) + "\n"
