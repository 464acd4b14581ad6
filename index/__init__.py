"""index: a library of pictures that words find again."""
