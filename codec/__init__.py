"""Image to bytes and back. PyTorch is loaded through `networks.runtime.torch_side` alone."""
