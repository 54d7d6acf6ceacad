"""`python -m fuzz.loader`: loads models as the service does, one folder a line.

In a process of its own: a parser in C that goes wrong ends this one, and the one that asked can
say which file it was.
"""

import json
import logging
import resource
import sys
from pathlib import Path

import numpy as np

from candor.errors import CandorError
from candor.runtime.model import ModelPolicy, load_model
from candor.runtime.session import SessionPolicy
from candor.runtime.store import Store

__all__ = ["main"]

_MEMORY = 6 * 2**30


def main() -> None:
    """Answer each line with a state and a reason."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.disable()
    policy = ModelPolicy(SessionPolicy(("cpu",), 1), 10**6, on_run=lambda *_: None)
    for line in sys.stdin:
        store = Store(Path(line.strip()), lambda folder: load_model(folder, policy))
        (entry,) = store.load_all()
        print(json.dumps([entry.state, entry.reason, _looked_at(entry.model)]), flush=True)


def _looked_at(model):
    """What is asked of a model that could be loaded: what explains it, and one explanation."""
    if model is None:
        return ""
    try:
        methods = model.methods
        shapes = {spec.name: [max(size, 1) for size in spec.shape] for spec in model.inputs}
        if methods["gradient"] is None and all(np.prod(s) < 10**6 for s in shapes.values()):
            model.subject()
    except CandorError as error:
        return error.message
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return f"unexpected {type(error).__name__}: {error}"
    return ""


if __name__ == "__main__":
    main()
