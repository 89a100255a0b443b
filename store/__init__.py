"""Results named by what made them: ids, records, staleness, publishing."""
