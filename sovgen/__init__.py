"""sovgen: private image generation with a memory."""
