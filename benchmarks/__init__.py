"""Programs that measure the memory. Run one with `python -m benchmarks.NAME`."""
