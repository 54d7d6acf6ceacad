"""Load tests: what is asked, when, what came of it, and the report."""
