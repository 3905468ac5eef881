"""Image to bytes and back. PyTorch is loaded through `runtime.torch_side` alone."""
