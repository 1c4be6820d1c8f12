"""The registry: which runs there are and how they went, worked out of their folders; and clearing old ones away."""
