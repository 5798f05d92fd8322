"""A stand-in for a Semaphore server: the part of its API that Fairlead uses, with the real one's habits.

    python -m fairlead.lab.semaphore_api DIRECTORY --port 3000

It runs ansible-playbook for real, from a git clone. What is different from the real server stands in the lab's page of
the documentation: no roles, no cookies but the login's, keys are files and not agents.
"""
