"""Image to bytes and back: the only place where bitstream and models meet."""
