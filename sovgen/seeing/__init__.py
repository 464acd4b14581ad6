"""Seeing: the process of diffusion made visible, as film strips and as measured sweeps."""
