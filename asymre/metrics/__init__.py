"""What is measured on snapshots, and what follows from it: curves, statistics, the calibration."""
