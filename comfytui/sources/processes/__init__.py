"""Processes that we start ourselves: who they are, what they start in turn, and how all of them end."""
