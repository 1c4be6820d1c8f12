"""The end of an attempt whose server is not connected: nobody can tell what became of its prompt."""

from datetime import datetime
from typing import Literal

from comfytui.engine.attempt.verdict import telemetry_of
from comfytui.engine.attempt.voice import AttemptVoice
from comfytui.engine.prompt import ending as endings
from comfytui.engine.prompt.ending import Ending
from comfytui.errors import Failure
from comfytui.model import events as e
from comfytui.model.policy import QueuePolicy
from comfytui.model.state import Attempt

Unseen = Literal["given_up", "moved", "lost"]
"""Nobody wants the scene any more; another server takes it; its server has been waited for long enough."""


def end_unseen(voice: AttemptVoice, policy: QueuePolicy, why: Unseen, ended_at: datetime) -> None:
    """Tell that the attempt which ``voice`` speaks for is over, for the reason ``why``."""
    if voice.attempt.execution_ended_at is None:
        ending = _ending(voice.attempt, why, policy)
        voice.tell(e.ExecutionEnded, status=ending.status, error=ending.error)
    status = voice.attempt.status or "lost"
    telemetry = telemetry_of(voice.attempt, policy, ended_at, "unknown", status)
    voice.tell(e.AttemptEnded, telemetry=telemetry, exit_reason="unknown", status=status)


def _ending(attempt: Attempt, why: Unseen, policy: QueuePolicy) -> Ending:
    match why:
        case "given_up":
            return endings.of_failure(Failure("prompt.interrupted"))
        case "moved":
            return endings.of_hand_over(attempt.server_name, "it cannot be reached")
        case "lost":
            return endings.of_surrender("serverLost", policy, attempt.server)
