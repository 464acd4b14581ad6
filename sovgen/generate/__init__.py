"""generate: a loaded model and recipes become pictures."""
