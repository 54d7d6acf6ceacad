"""Attribution methods as pure functions on numpy arrays over a `Subject`.

Options and their parsing stand in `options` and `parse`, the methods behind the tables of
`explainers`; nothing here knows of ONNX, gRPC or the event loop.
"""
