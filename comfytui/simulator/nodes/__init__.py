"""The node classes of the simulated server."""
