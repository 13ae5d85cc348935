"""The validation of the simulator: probes of the response, comparison with other showers, tables and pictures."""
