"""How long the simulated server takes for things: all figures are seconds of the event loop's clock."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """Seconds that each kind of work takes. Zero still gives other tasks a turn."""

    node_overhead: float = 0.0
    """Before the body of every node that is executed."""
    model_load: float = 0.0
    """Bringing a checkpoint into memory; a resident one costs nothing."""
    text_encode: float = 0.0
    """One CLIPTextEncode."""
    sampling_step: float = 0.0
    """One step of KSampler."""
    decode_frame: float = 0.0
    """One image of VAEDecode."""
    save_frame: float = 0.0
    """One frame written to disk, from the empty file to its last byte."""
    history_lag: float = 0.0
    """From `execution_success` until the history entry is there."""
    gc_freeze: float = 0.0
    """The stall of HTTP and WebSocket that a full garbage collection causes after a prompt."""
    gc_interval: float = 10.0
    """At most one such stall in this many seconds."""

    @classmethod
    def instant(cls) -> Speed:
        """Return a speed with no waiting at all, for tests."""
        return cls()

    @classmethod
    def demo(cls) -> Speed:
        """Return a speed at which a 20-step, 25-frame scene takes about 7 s: 4 s of sampling, 2.5 s of saving."""
        return cls(
            node_overhead=0.03,
            model_load=0.6,
            text_encode=0.05,
            sampling_step=0.2,
            decode_frame=0.004,
            save_frame=0.1,
            history_lag=0.02,
        )

    @classmethod
    def realistic(cls) -> Speed:
        """Return the pace of a mid-range GPU, with the history lag and the freezes that real servers show."""
        return cls(
            node_overhead=0.01,
            model_load=6.0,
            text_encode=0.12,
            sampling_step=0.9,
            decode_frame=0.12,
            save_frame=0.09,
            history_lag=0.002,
            gc_freeze=0.38,
        )

    @classmethod
    def named(cls, name: str) -> Speed:
        """Return the preset called `name`; raises ValueError that lists the names there are."""
        presets = {"instant": cls.instant, "demo": cls.demo, "realistic": cls.realistic}
        if name not in presets:
            raise ValueError(f"no speed is called {name!r}; there are {', '.join(presets)}")
        return presets[name]()
