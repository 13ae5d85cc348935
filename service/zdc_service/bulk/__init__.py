"""Bulk production: a job in parts that survive a kill, simulated here, by a server or on many machines."""
