"""What stays on disk: the journal, and everything that is made from it."""
