"""Frames: watching them being written, proving them whole, taking them into the run folder."""
