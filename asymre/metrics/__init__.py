"""Measures of snapshots, and what is computed from them: curves, statistics, the calibration."""
