"""The table of models, a file a kind of data; `zoo.table` has all of them by name."""
