"""What Fairlead costs, beside what the bare tools cost. Each module is one script: `python -m benchmarks.startup`."""
