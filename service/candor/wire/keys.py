"""Who shows which key: the file of keys, read anew when it changes.

A key is 256 random bits, so a plain SHA-256 of it gives nothing away: there is nothing to guess
from, and it is quick enough to be computed for every call.
"""

import hashlib
import hmac
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from candor.errors import InvalidOption, PermissionDenied, Unauthenticated
from candor.wire.callers import Allowance, Caller
from candor.wire.key_file import KeyEntry, read_keys
from candor.wire.watched import Watched

__all__ = ["KeyRing"]

_LOG = logging.getLogger("candor.keys")

_INDEX_BYTES: Final = 2
_HOW: Final = "expected the header 'authorization: Bearer KEY'"


class KeyRing:
    """The keys of one file; what is left of their limits outlives a change of the file."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            InvalidOption: it cannot be read, or says something that there is not.
        """
        self._path = path
        self._allowances: dict[str, Allowance] = {}
        self._keys = Watched("API keys", (path,), self._read)

    def caller(self, authorization: str | None) -> Caller:
        """Say who shows this header.

        Raises:
            Unauthenticated: no key, or none of ours. It is not repeated: it may be one, elsewhere.
        """
        if not authorization:
            raise Unauthenticated(f"this server asks for a key; {_HOW}")
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated(f"the authorization is no key; {_HOW}")
        given = hashlib.sha256(key.strip().encode(errors="replace")).digest()
        # Found by the first bytes of its hash, and compared in a time that does not tell how nearly
        # the rest of it was right.
        for expected, caller in self._keys.current().get(given[:_INDEX_BYTES], ()):
            if hmac.compare_digest(given, expected):
                return caller
        raise Unauthenticated(f"the key is none of this server's; {_HOW}")

    def named(self, name: str) -> Caller:
        """Say who shows the key of this name, for work that goes on without anybody there.

        Raises:
            PermissionDenied: there is no such key any more.
        """
        for of_index in self._keys.current().values():
            for _, caller in of_index:
                if caller.name == name:
                    return caller
        raise PermissionDenied(f"there is no key '{name[:100]}' any more")

    def _read(self) -> Mapping[bytes, Sequence[tuple[bytes, Caller]]]:
        try:
            entries = read_keys(self._path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InvalidOption(
                f"api_keys_file '{self._path}' cannot be read: {error.strerror}"
            ) from error
        except ValueError as error:
            raise InvalidOption(f"api_keys_file '{self._path}' {error}") from error
        if not entries:
            _LOG.warning("there are no keys: nobody is let in", extra={"path": str(self._path)})
        self._allowances = {entry.name: self._allowance(entry) for entry in entries}
        keys: dict[bytes, list[tuple[bytes, Caller]]] = {}
        for entry in entries:
            caller = self._caller(entry)
            for digest in entry.hashes:
                keys.setdefault(digest[:_INDEX_BYTES], []).append((digest, caller))
        return keys

    def _allowance(self, entry: KeyEntry) -> Allowance:
        known = self._allowances.get(entry.name)
        return known if known and known.limits == entry.limits else Allowance(entry.limits)

    def _caller(self, entry: KeyEntry) -> Caller:
        allowance = self._allowances[entry.name]
        return Caller(entry.name, entry.tenant, entry.models, entry.control, allowance)
