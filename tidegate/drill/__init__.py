"""Outages by script against a running gateway, and what has to be true of it all the while."""
