"""What is measured; run a script from the repository as `python -m benchmarks.timing.speed --help`."""
