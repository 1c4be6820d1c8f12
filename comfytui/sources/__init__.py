"""The outside world, observed: ComfyUI, files, GPUs, language models, webhooks, processes. Sources never conclude."""

import sys

# httpx brings a command line of its own, which imports rich and click: 60 to 120 ms of every start for nothing. A
# module that is None in sys.modules counts as not installed, and httpx does without (httpx 0.28, httpx/__init__.py).
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
