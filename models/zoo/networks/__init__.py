"""The networks: one family a file, torch and nothing else."""
