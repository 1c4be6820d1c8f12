"""One attempt: driven from its intent to its telemetry."""
