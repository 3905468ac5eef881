"""Which quality a file and its patches get: for a size, a score, the eye, a mask."""
