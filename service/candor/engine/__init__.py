"""One request's way through the house: key, cache, single flight, queue, run, answer."""
