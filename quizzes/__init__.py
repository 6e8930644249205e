"""Questions of ten kinds, and prompts to explain in one's own words."""
