"""Batches: a plan becomes jobs, a durable queue holds them, and a run draws it empty."""
