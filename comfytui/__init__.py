"""comfytui: the terminal flight deck for ComfyUI story runs."""

__version__ = "0.1.0"
