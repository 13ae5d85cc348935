"""Bulk production: jobs in parts, which survive a kill; in this process, by a server, or on many machines."""
