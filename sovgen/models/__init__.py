"""models: find, describe, verify and load models; the only room that builds diffusers objects."""
