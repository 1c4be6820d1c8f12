"""What a scene's record says, worked out of one attempt: the same words for the metadata, the summary and validation.

Everything here is a pure function of the folded state, so that what is written while a run goes on and what is
rebuilt from its journal are the same to the byte.
"""

from comfytui.model.best import best_attempt
from comfytui.model.state import Attempt, Scene


def recorded_attempt(scene: Scene) -> Attempt | None:
    """Return the attempt that ``scene`` is remembered by, or ``None`` while none has ended."""
    if not scene.attempts:
        return None
    best = best_attempt(scene.attempts)
    return best if best.telemetry is not None else None


def history_retrieved(attempt: Attempt) -> bool:
    """Tell whether the history entry of ``attempt`` was read, whatever it says about the prompt."""
    return any(look.status == "success" for look in attempt.history)


def history_errors(attempt: Attempt) -> tuple[str, ...]:
    """Return what went wrong when the history of ``attempt`` was read, in order."""
    return tuple(look.message or "the request failed" for look in attempt.history if look.status == "error")


def history_error(attempt: Attempt) -> str | None:
    """Return why the history entry of ``attempt`` is missing; ``None`` when it is there."""
    if history_retrieved(attempt):
        return None
    if errors := history_errors(attempt):
        return errors[-1]
    reads = len(attempt.history)
    return f"history had no entry in {reads} reads" if reads else "history was never read"


def history_warning(attempt: Attempt) -> str | None:
    """Return what is to be said about the history of ``attempt``: it is missing, or reading it failed at times."""
    missing = history_error(attempt)
    if missing is not None:
        return missing
    errors = history_errors(attempt)
    return f"read after failures ({len(errors)}, the last: {errors[-1]})" if errors else None


def below_floor(proven: int, floor: int) -> str | None:
    """Return the warning for fewer than ``floor`` proven frames, or ``None``."""
    return f"Frame count below floor ({proven}/{floor})" if proven < floor else None


def warnings_of(attempt: Attempt, floor: int) -> tuple[str, ...]:
    """Return everything about ``attempt`` that a person should look at though it stopped nothing."""
    refused = (f"Frame {refusal.name} {refusal.state}: {refusal.why}" for refusal in attempt.refused)
    unproven = len(attempt.frames) - attempt.proven
    forced = [f"Frames copied before they were proven whole: {unproven}"] if unproven else []
    floored = below_floor(attempt.proven, floor)
    return (*attempt.warnings, *refused, *forced, *([floored] if floored else []))


def errors_of(attempt: Attempt) -> tuple[str, ...]:
    """Return what made ``attempt`` fail: at least one sentence when it did, whatever else was noted on the way."""
    error = attempt.error
    found = [f"{error.message} [{error.code}]"] if error is not None else []
    found += [noted for noted in attempt.errors if error is None or noted != error.message]
    if not found and not attempt.succeeded:
        told = attempt.telemetry is not None and attempt.telemetry.execution_success_detected
        found.append("no frame is proven whole" if told else f"the prompt ended as {attempt.status or 'unknown'}")
    return tuple(found)
