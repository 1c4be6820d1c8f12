"""How many there are, in words."""


def counted(count: int, noun: str) -> str:
    """Return ``1 frame`` or ``3 frames``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
