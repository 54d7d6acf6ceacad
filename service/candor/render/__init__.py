"""Attributions for people: maps on pictures, weights on words."""

from candor.render.overlay import overlay_png

__all__ = ["overlay_png"]
