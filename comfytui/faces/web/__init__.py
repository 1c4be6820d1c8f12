"""The dashboard in a browser: a dashboard process for each tab, carried over a WebSocket by textual-serve."""
