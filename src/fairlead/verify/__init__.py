"""Whether a deployed release does what it should, seen from outside: checks, their repetition, their record."""
