"""Reports over runs: read from their folders, worked out, written as JSON, Markdown, HTML and JUnit XML."""
