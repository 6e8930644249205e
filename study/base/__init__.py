"""What everything rests on: errors, units, settings, study days, intervals, checkable quantities."""
