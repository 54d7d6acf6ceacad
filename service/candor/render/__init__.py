"""Attributions for people: maps on pictures, weights on words.

Nothing is imported here: words need rich, pictures need Pillow, and a client may have only one.
"""
