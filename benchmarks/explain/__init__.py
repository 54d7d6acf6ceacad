"""What explanations cost, and how much of that is needed."""
