"""The doctor: looks at everything that a run needs before one is begun, and names the remedy for what is wrong."""
