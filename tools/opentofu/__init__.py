"""Builds the pinned OpenTofu and its Proxmox provider into the cache: `python3 tools/opentofu/build.py`."""
