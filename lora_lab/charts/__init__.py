"""Every picture of the lab, still and live, with its finding and its words."""
