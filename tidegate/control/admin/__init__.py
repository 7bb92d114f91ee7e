"""The admin API: keys, people, limits, prices and what was spent, under `/admin/v1`."""
