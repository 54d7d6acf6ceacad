"""How candor scales: what a request costs here, and simulations of queues and of the cache."""
