"""The ComfyUI client: what the server says (wire), HTTP, the socket, and servers that we start."""
