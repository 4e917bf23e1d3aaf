"""Models that the project makes itself, and the calibration of the measurement on the phantom."""
