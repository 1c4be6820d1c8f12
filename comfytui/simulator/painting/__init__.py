"""How simulated frames are drawn, with Pillow alone."""
