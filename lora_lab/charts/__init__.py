"""Every picture of the lab, static and live, with its finding and its texts."""
