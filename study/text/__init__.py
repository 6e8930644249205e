"""Content texts: the little markup, formulas, HTML from elsewhere, templates, computed numbers."""
