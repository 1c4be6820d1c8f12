"""Nodes for a ComfyUI server, to be put into its custom_nodes; they know nothing of comfytui."""
