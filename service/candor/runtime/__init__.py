"""Models in memory: files, manifests, preprocessing, sessions, programs, and the store of them."""
