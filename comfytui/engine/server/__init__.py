"""The server of a run: reached, guarded, watched, measured."""
