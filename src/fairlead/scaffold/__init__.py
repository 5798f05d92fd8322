"""The deployment repository that `fairlead init` writes, and bringing an older one forward."""
