"""What comes with comfytui: the workflows `smoke`, `txt2img` and `svd`, and a story of three scenes. Data only."""
