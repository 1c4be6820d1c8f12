"""Where attempts are rendered: the one small protocol, and the servers of the run behind it."""
