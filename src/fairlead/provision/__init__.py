"""Gives an environment a machine with an address. `base.py` is the seam; the rest are its implementations."""
