"""Training: the forward process of diffusion, and everything that learns from it.

    packages, icons, raster, dataset     where pictures come from
    captions, grounds, augment           how they are asked for and varied
    noising                              the forward process
    latents, texts                       what frozen parts make of pictures and words
    autoencoder, clip, words, diffusion, lora, distill     the objectives, one per file
    loop, training, checkpoint, ema, chance                what every training shares

Needs the extra `train`. Nothing here knows a library or a command line.
"""
