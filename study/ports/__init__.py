"""Protocols that packages implement for the shared pages, which therefore need not import the packages."""
