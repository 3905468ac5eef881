"""The networks of the model, from the DCT to the pixels, and what walks through them."""
