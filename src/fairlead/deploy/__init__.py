"""Puts one release's images on the environment's machine. `base.py` is the seam, the rest its implementations."""
