"""The flags of the commands, made from the table of settings."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from comfytui.settings.table import LLM, LOOKS, PLACES, QUEUE, Setting

Command = TypeVar("Command", bound=Callable[..., Any])

_BY_NAME = {setting.name: setting for setting in (*PLACES, *LOOKS, *QUEUE, *LLM)}


def settings_flags(*names: str) -> Callable[[Command], Command]:
    """Return a decorator that gives a command the flags of these settings.

    Values stay texts: the settings check them, so that a flag, a variable and a file are judged by one rule.
    """
    return _decorated(_option(_BY_NAME[name]) for name in names)


def queue_flags(command: Command) -> Command:
    """Give ``command`` the flags of the queue's policy."""
    return settings_flags(*(setting.name for setting in QUEUE))(command)


def llm_flags(command: Command) -> Command:
    """Give ``command`` the flags of the language model."""
    return settings_flags(*(setting.name for setting in LLM))(command)


def story_flags(command: Command) -> Command:
    """Give ``command`` the flags that say what a story is to be."""
    return _decorated(
        [
            click.option("--scenes", type=click.IntRange(1, 100), metavar="N", help="Scenes of the story. [3]"),
            click.option("--idea", metavar="TEXT", help="What the story is about."),
        ]
    )(command)


def look_flags(command: Command) -> Command:
    """Give ``command`` the flags of the dashboard."""
    readonly = click.option("--readonly", is_flag=True, default=None, help="Send no commands from the dashboard.")
    return readonly(settings_flags("theme", "ascii", "ssh")(command))


def output_flags(command: Command) -> Command:
    """Give ``command`` the flags of the headless face."""
    return _decorated(
        [
            click.option("--headless", is_flag=True, default=None, help="Plain lines instead of the dashboard."),
            click.option("--json", "as_json", is_flag=True, default=None, help="NDJSON instead of the dashboard."),
            click.option("--verbose", is_flag=True, default=None, help="Progress every second, in lines too."),
        ]
    )(command)


def metrics_flag(command: Command) -> Command:
    """Give ``command`` the flag of the metrics endpoint."""
    words = "Serve OpenMetrics at 127.0.0.1:PORT/metrics meanwhile; 0: on a free port."
    return click.option(
        "--metrics-port", type=click.IntRange(0, 65535), metavar="PORT", default=None, help=words
    )(command)  # fmt: skip


def refuse_unused(ctx: click.Context, flags: dict[str, Any]) -> None:
    """Raise ``click.UsageError`` for a flag before the name of a command that the command does not take."""
    group = ctx.command
    assert isinstance(group, click.Group)
    taken = {each.name for each in group.commands[str(ctx.invoked_subcommand)].params}
    for each in group.params:
        if each.name not in taken and flags.get(str(each.name)) is not None:
            raise click.UsageError(f"{ctx.invoked_subcommand} takes no {each.opts[0]}.", ctx)


def _option(setting: Setting) -> Callable[[Command], Command]:
    if setting.kind == "switch":
        return click.option(f"{setting.flag}/--no-{setting.flag[2:]}", setting.name, default=None, help=setting.help)
    default = f" [{setting.default}]" if setting.default else ""
    if setting.kind == "server":
        return click.option(
            setting.flag, setting.name, metavar=setting.metavar, multiple=True, callback=_one_or_more,
            help=setting.help + default,
        )  # fmt: skip
    return click.option(setting.flag, setting.name, metavar=setting.metavar, default=None, help=setting.help + default)


def _one_or_more(ctx: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> Any:
    """Return a flag that may be given several times as the others are: ``None``, its text, or all of its texts."""
    return given if len(given) > 1 else next(iter(given), None)


def _decorated(options: Iterable[Callable[[Any], Any]]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(list(options)):
            command = option(command)
        return command

    return decorate
