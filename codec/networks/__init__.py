"""The weight file, and the networks in it: found, loaded, run."""
