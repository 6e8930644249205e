"""The Quiz and Explain pages."""
