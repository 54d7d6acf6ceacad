"""A whole data set explained, beside the same questions asked in a loop."""
