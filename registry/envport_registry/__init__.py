"""Publish, find, pull and run environments."""
