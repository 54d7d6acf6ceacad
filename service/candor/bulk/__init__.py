"""A whole data set explained: streamed in, asked in bounded numbers, written as Parquet in parts.

Inputs are cut into chunks of rows that follow one another (`chunks`); each chunk becomes one part,
a file that is there wholly or not at all (`parts`). That is all that a job knows of how far it is:
one that was killed goes on with the chunks that have no part yet (`job`). Rows are read as they are
needed (`reading`), asked in calls of a few (`asking`), in order and with a bounded number under way
(`running`).
"""
