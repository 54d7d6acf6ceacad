"""Do what a page of the documentation says: its blocks, section by section, each in one folder.

```toml      its first line names the file that it is: `# models/digits/model.toml`
```python    a process of its own; `# pip install x` first: x must be installed
```sh        commands of candor; `candor serve` goes on until the section's end
"""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path

from serving import ROOT, Server, running

__all__ = ["ADDRESS", "Section", "run_python", "sections", "walk"]

ADDRESS = "127.0.0.1:8001"
_BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Section:
    """A heading of the second order, and the (language, content) of the blocks below it."""

    title: str
    blocks: tuple[tuple[str, str], ...]

    @property
    def needs(self) -> list[str]:
        """Packages that its blocks ask to be installed."""
        return sorted({name for _, block in self.blocks for name in _packages(block)})


def sections(page: Path) -> list[Section]:
    """The sections of a page that have blocks."""
    parts = re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    found = [Section(part.splitlines()[0], tuple(_BLOCK.findall(part))) for part in parts]
    return [section for section in found if section.blocks]


def walk(section: Section, folder: Path) -> None:
    """Run all blocks of a section in a folder; a block of a language that is not known fails."""
    missing = [name for name in section.needs if find_spec(name) is None]
    assert not missing, f"{', '.join(missing)} is not installed"
    with ExitStack() as stack:
        server: Server | None = None
        for language, same in groupby(section.blocks, key=lambda found: found[0]):
            blocks = [block for _, block in same]
            if language == "python":
                run_python("\n".join(blocks), folder, server)
                continue
            for block in blocks:
                server = _DO[language](block, folder, stack) or server


def run_python(code: str, folder: Path, server: Server | None, *flags: str) -> str:
    """Run a script in a folder, its server's address put in; what it prints."""
    assert server is not None or ADDRESS not in code, "nothing is served yet"
    script = folder / "example.py"
    target = ADDRESS if server is None else server.grpc_target
    script.write_text(code.replace(ADDRESS, target), encoding="utf-8")
    return _run([sys.executable, *flags, script.name], folder)


def _write(block: str, folder: Path, _: ExitStack) -> None:
    file = folder / block.splitlines()[0].removeprefix("# ")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(block, encoding="utf-8")


def _type(block: str, folder: Path, stack: ExitStack) -> Server | None:
    servers = [_command(line, folder, stack) for line in block.splitlines()]
    return next((server for server in servers if server is not None), None)


def _command(line: str, folder: Path, stack: ExitStack) -> Server | None:
    program, command, *rest = shlex.split(line)
    assert program == "candor"
    if command == "serve":
        option, root = rest
        assert option == "--model-root"
        return stack.enter_context(running(folder, folder / root))
    _run([sys.executable, "-m", "candor", command, *rest], folder)
    return None


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT / "service"), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


_DO: Mapping[str, Callable[[str, Path, ExitStack], Server | None]] = {"toml": _write, "sh": _type}


def _packages(block: str) -> list[str]:
    first = block.splitlines()[0]
    return first.removeprefix("# pip install ").split() if first.startswith("# pip") else []
