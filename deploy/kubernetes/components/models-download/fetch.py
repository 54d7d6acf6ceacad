"""Fetch an archive of models, see that it is the one that was meant, and unpack it.

    fetch.py URL SHA256 FOLDER

The archive is a tar, compressed or not, of what `candor serve --model-root` takes.
"""

import hashlib
import sys
import tarfile
import tempfile
import urllib.request

CHUNK = 1 << 20


def main(url: str, wanted: str, folder: str) -> None:
    """Leave the archive's files in the folder, or end with a line that says what was wrong."""
    digest = hashlib.sha256()
    with tempfile.TemporaryFile(dir=folder) as archive:
        with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - the operator's own
            while chunk := answer.read(CHUNK):
                digest.update(chunk)
                archive.write(chunk)
        if digest.hexdigest() != wanted:
            sys.exit(f"{url} has the SHA-256 {digest.hexdigest()}, and not {wanted}")
        archive.seek(0)
        with tarfile.open(fileobj=archive) as files:
            # "data" refuses whatever would lie outside of the folder.
            files.extractall(folder, filter="data")
    print(f"{url} is unpacked in {folder}")


if __name__ == "__main__":
    main(*sys.argv[1:])
