"""The local link: how a runner process and the faces of other processes on the same machine talk about a run."""
