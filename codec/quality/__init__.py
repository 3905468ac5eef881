"""Quality 0...100: what it means to networks, maps of it, and the one that meets a target."""
