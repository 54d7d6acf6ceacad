"""Make a key for a caller, and its entry in the file that `candor serve --api-keys-file` reads.

The key is printed once and kept nowhere: give it to the caller. The file gets its SHA-256, and the
name that the server's log will show. What the key may do is written beside it (docs/security.md);
as it is made, it may use every model, as often as it likes, and load none.

For a caller who has a key already, print a new one without --file, and write both hashes:
sha256 = ["old", "new"]; take the old one out when nobody shows it any more.
"""

import argparse
import hashlib
import json
import secrets
import sys
from pathlib import Path
from typing import Final

from candor.cli.exits import UsageError
from candor.wire.key_file import read_keys

__all__ = ["EXAMPLES", "arguments", "run"]

EXAMPLES = """\
  candor keys team-a --file keys.toml
  candor keys team-a --json | jq -r .key
"""

# So that whoever looks for secrets in a repository or a log finds these.
_PREFIX: Final = "candor_"
_BYTES: Final = 32


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `candor keys`."""
    parser.add_argument("name", metavar="NAME", help="of whoever will use it")
    parser.add_argument(
        "--file", type=Path, metavar="FILE", help="add the entry to this file; made if missing"
    )
    parser.add_argument("--json", action="store_true", help="print JSON: key, name, sha256")


def run(args: argparse.Namespace) -> int:
    """Make a key and print it."""
    key = _PREFIX + secrets.token_urlsafe(_BYTES)
    digest = hashlib.sha256(key.encode()).hexdigest()
    entry = f"[[key]]\nname = {json.dumps(args.name)}\nsha256 = {json.dumps(digest)}\n"
    _check(entry)
    if args.file:
        _add(args.file, entry)
    if args.json:
        json.dump({"key": key, "name": args.name, "sha256": digest}, sys.stdout, indent=2)
        print()
    elif args.file:
        print(key)
    else:
        print(f"{key}\n\nfor the file of keys:\n\n{entry}", end="")
    return 0


def _check(text: str) -> None:
    try:
        read_keys(text)
    except ValueError as error:
        raise UsageError(f"the file of keys then {error}") from error


def _add(file: Path, entry: str) -> None:
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    after = f"{before.rstrip()}\n\n{entry}" if before.strip() else entry
    _check(after)
    # Whole in an instant: a server may be reading it.
    beside = file.with_name(f".{file.name}.new")
    beside.write_text(after, encoding="utf-8")
    if file.exists():
        beside.chmod(file.stat().st_mode & 0o777)
    beside.replace(file)
