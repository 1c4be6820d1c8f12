"""``comfytui config``, ``errors`` and ``keys``: what the program knows of itself, printed from where it is used."""

import click

from comfytui.errors import REGISTRY, explained, registry_markdown
from comfytui.settings.reference import settings_markdown


def print_config() -> int:
    """Print every setting with its flag, variable, key and default, and return 0."""
    click.echo(settings_markdown(), nl=False)
    return 0


def print_errors(codes: tuple[str, ...]) -> int:
    """Print what each of ``codes`` (without any: every code) says and advises; return 2 for an unknown one, else 0."""
    if not codes:
        click.echo(registry_markdown(), nl=False)
        return 0
    unknown = [code for code in codes if code not in REGISTRY]
    for code in unknown:
        click.echo(f"There is no failure {code!r}; `comfytui errors` lists them.", err=True)
    for code in codes:
        if code in REGISTRY:
            click.echo(f"{code}\n  {explained(REGISTRY[code].what)}\n  {explained(REGISTRY[code].remedy)}")
    return 2 if unknown else 0


def print_keys() -> int:
    """Print the keys of the dashboard, and return 0."""
    from comfytui.faces.tui.keys import key_table_markdown

    click.echo(key_table_markdown(), nl=False)
    return 0
