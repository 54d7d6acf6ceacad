"""The data sets: one file a format, each read from `CANDOR_DATA` and never written."""
