"""Tests of the worker's device."""
