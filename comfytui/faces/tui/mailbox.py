"""What came from the feed: folded into one state, and told apart by how soon it wants to be seen."""

from typing import Literal

from comfytui.clock import Clock
from comfytui.faces.tui.view import Lane
from comfytui.model.events import CommandAnswered, Fact
from comfytui.model.feed import AnotherRun, CaughtUp, FeedChanged, FeedItem
from comfytui.model.fold import fold
from comfytui.model.news import News, news_of
from comfytui.model.state import State

Urgency = Literal["later", "sample", "fact", "now"]
"""When an item wants to be on the screen: not before the feed caught up, with the next beat, promptly, at once."""


class Mailbox:
    """The dashboard's own fold of the feed.

    ``answers`` holds what runners said to commands, and ``news`` what happened live, until they are shown.
    """

    def __init__(self, clock: Clock) -> None:
        self.state = State()
        self.lane = Lane()
        self.answers: list[CommandAnswered] = []
        self.news: list[News] = []
        self._clock = clock

    def take(self, item: FeedItem) -> Urgency:
        """Take ``item`` in and return how soon it wants to be seen."""
        if isinstance(item, CaughtUp):
            self.lane = Lane(live=self.lane.live, why=self.lane.why, since=self.lane.since, caught_up=True)
            return "now"
        if isinstance(item, FeedChanged):
            self._changed(item.live, item.why)
            return "fact" if self.lane.caught_up else "later"
        if isinstance(item, AnotherRun):
            self.state, self.lane = State(), Lane()
            return "later"
        before = self.state
        self.state = fold(before, item)
        if not self.lane.caught_up or self.state is before:
            return "later"
        if self.lane.live and (news := news_of(item.event, self.state)) is not None:
            self.news.append(news)
        if isinstance(item.event, CommandAnswered):
            self.answers.append(item.event)
            return "now"  # somebody pressed a key and waits
        return "fact" if isinstance(item.event, Fact) else "sample"

    def lost(self, why: str) -> None:
        """Note that the feed ended or broke: nothing more will come."""
        self._changed(False, why)
        self.lane = Lane(live=False, why=self.lane.why, since=self.lane.since, caught_up=True)

    def _changed(self, live: bool, why: str) -> None:
        since = self.lane.since if self.lane.live is live else self._clock.now()
        self.lane = Lane(live=live, why=why, since=since, caught_up=self.lane.caught_up)
