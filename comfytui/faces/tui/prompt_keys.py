"""Keys that act in the order in which they are pressed, however fast they come.

Textual (8.2) hands a key to the focused widget and runs what it is bound to when it comes back: of keys that arrive
together, as over a slow line, the later ones are handed over before the first has moved the focus, and what is typed
into a filter would be taken for commands.
"""

from typing import TypeVar

from textual.events import Event, Key

from comfytui.faces.tui.pace import PacedApp
from comfytui.faces.tui.panes.line_list import LineList

Result = TypeVar("Result")


class PromptApp(PacedApp[Result]):
    """An app that runs what a key is bound to before it looks at the next, unless something is typed into."""

    async def on_event(self, event: Event) -> None:
        """Run the binding of a key that no widget would want for itself."""
        if isinstance(event, Key) and not event.is_forwarded and isinstance(self.focused, LineList | None):
            for first in (True, False):
                if await self._check_bindings(event.key, priority=first):
                    return
        await super().on_event(event)
