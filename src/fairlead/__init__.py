"""Fairlead guides a container image from "pushed to a registry" to "verified on its own VM, and recorded in git"."""

__version__ = "0.1.0"
