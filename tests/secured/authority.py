"""An authority of the test's own, and certificates from it, made by openssl as people make them."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, each in a file."""

    cert: Path
    key: Path

    def put_at(self, other: "Pair") -> None:
        """Take another's place, each file whole in an instant, the key first."""
        for mine, theirs in ((self.key, other.key), (self.cert, other.cert)):
            beside = theirs.with_suffix(".new")
            shutil.copy(mine, beside)
            beside.replace(theirs)


class Authority:
    """A root that signs for two days."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.own = Pair(folder / f"{name}.pem", folder / f"{name}.key")
        _openssl(
            "req", "-x509", *_NEW_KEY, "-days", "2", "-subj", f"/CN={name}",
            "-addext", "basicConstraints=critical,CA:TRUE",
            "-keyout", self.own.key, "-out", self.own.cert,
        )  # fmt: skip

    @property
    def cert(self) -> Path:
        """What those get who are to trust it."""
        return self.own.cert

    def issue(self, name: str, hosts: str = "DNS:localhost,IP:127.0.0.1") -> Pair:
        """A certificate for a server on this machine, or for a client."""
        made = Pair(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        request, extension = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        extension.write_text(f"subjectAltName={hosts}\n")
        _openssl("req", *_NEW_KEY, "-subj", f"/CN={name}", "-keyout", made.key, "-out", request)
        _openssl(
            "x509", "-req", "-in", request, "-CA", self.own.cert, "-CAkey", self.own.key,
            "-CAcreateserial", "-days", "2", "-extfile", extension, "-out", made.cert,
        )  # fmt: skip
        return made


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run(
        ["openssl", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
