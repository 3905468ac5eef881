"""Quality 0...100, and what it means to networks, tiles and the minimum PSNR."""
