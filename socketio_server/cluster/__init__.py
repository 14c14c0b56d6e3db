"""Brokers: they carry broadcasts between the processes of a cluster."""
