"""Settings: what can be set, where it may stand, and what one command is told in all."""
