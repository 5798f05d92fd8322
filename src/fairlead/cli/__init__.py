"""The command line: one file per group of commands. Words in, one stage called, words or JSON out."""
