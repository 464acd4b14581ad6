"""additions: what changes or steers a model: LoRA, textual inversion, VAE, ControlNet, IP-Adapter.

Each kind has a file that says whether an addition fits a model, and puts it there and takes it off.
"""
