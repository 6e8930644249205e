"""The lowest layer: errors, units, settings, study days, intervals, checkable quantities."""
