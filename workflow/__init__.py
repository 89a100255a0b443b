"""From a configuration to all artefacts, without Snakemake and before any job starts."""
