"""Programs that measure the memory; run one with `python -m benchmarks.NAME`."""
