"""Tiles: where they lie, what they show, and how one becomes words and pixels again."""
