"""Registries: asks them, believes nothing unchecked, and elects tags. The only part that speaks to a registry.

policy.py is pure and elects; client.py asks; auth.py gets in; untrusted.py checks; watcher.py looks at all images of
an environment at once.
"""
