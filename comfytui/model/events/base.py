"""What every event is: a fact or a sample, told apart by its type."""

from msgspec import Struct


def _tag(name: str) -> str:
    """Return ``AttemptPlanned`` as ``attempt_planned``."""
    return "".join(f"_{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(name))


class Fact(Struct, frozen=True, kw_only=True, tag_field="type", tag=_tag):
    """Something that happened. In order, on disk before anyone sees it, never dropped."""


class Sample(Struct, frozen=True, kw_only=True, tag_field="type", tag=_tag):
    """A reading that the next one replaces. Journalled at most once a second."""
