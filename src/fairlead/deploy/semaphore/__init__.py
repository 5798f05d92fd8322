"""Deploys by Semaphore: the same playbook, from the same commit, started through its REST API."""
