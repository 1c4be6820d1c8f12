"""What every event is: a fact or a sample, told apart by its type."""

from msgspec import UNSET, Struct, UnsetType

Named = str | UnsetType
"""The name of a server. It is left out where a run has only one, whose journal then does not speak of names."""


def _tag(name: str) -> str:
    """Return ``AttemptPlanned`` as ``attempt_planned``."""
    return "".join(f"_{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(name))


class Fact(Struct, frozen=True, kw_only=True, tag_field="type", tag=_tag):
    """Something that happened. In order, on disk before anyone sees it, never dropped."""


class Sample(Struct, frozen=True, kw_only=True, tag_field="type", tag=_tag):
    """A reading that the next one replaces. Journalled at most once a second."""


class ServerFact(Fact, frozen=True, kw_only=True):
    """Base of what happens to one server."""

    server: Named = UNSET


class ServerSample(Sample, frozen=True, kw_only=True):
    """Base of the readings of one server."""

    server: Named = UNSET


def named(server: Named) -> str:
    """Return the name of that server; empty where a run has only one."""
    return server or ""
