"""What a run's records say: means, intervals, tables, a page."""
