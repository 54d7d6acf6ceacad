"""What ONNX Runtime's messages say to the reader, without what they say of its source."""

import re

__all__ = ["reason_of"]

_CODE = re.compile(r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ")
_NODE = re.compile(r"while running (\w+) node\. Name:'(.*?)' Status Message: (.*)", re.DOTALL)
# file and line, the function's signature, the C++ condition that did not hold
_SOURCE_NOTE = re.compile(
    r"^\S+\.(?:h|hpp|cc|cpp|cu):\d+ (?:[^(]*onnxruntime::.*?\)(?: const)?(?: \[.*?\])? )?"
    r"(?:.*? was false\. )?",
    re.DOTALL,
)


def reason_of(error: Exception) -> str:
    """Cut ONNX Runtime's message down to what concerns the reader."""
    text, prefix = str(error), ""
    node = _NODE.search(text)
    if node:
        operator, name, text = node.groups()
        prefix = f"{operator} node '{name}': " if name else f"{operator} node: "
    text = _SOURCE_NOTE.sub("", _CODE.sub("", text))
    return (prefix + " ".join(text.split()))[:500] or type(error).__name__
