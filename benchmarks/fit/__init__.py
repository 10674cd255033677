"""Programs that fit the data that ships with the package: weights, calibration and thresholds."""
