"""GPUs: free VRAM before and after a prompt, and a steady sample of what they do, from whoever can tell."""
