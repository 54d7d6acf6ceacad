"""TLS for the ports of gRPC and HTTP, from files that may be renewed while the server runs.

Each handshake takes the certificate, the key and the callers' authorities of the moment; a
connection that stands stays as it is. Before anything is used it is checked: that the files are
there, are PEM, and that the key is the certificate's.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from candor.errors import InvalidOption
from candor.wire.watched import Watched

__all__ = ["TlsFiles", "TlsPorts"]


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where the parts lie.

    Attributes:
        client_ca: None where callers need no certificate.
    """

    cert: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class _Material:
    """What one handshake takes; `client_ca` is None where callers need no certificate."""

    cert: bytes
    key: bytes
    client_ca: bytes | None
    context: ssl.SSLContext


class TlsPorts:
    """What gRPC and HTTP need to listen with TLS."""

    def __init__(self, files: TlsFiles) -> None:
        """Read the files.

        Raises:
            InvalidOption: one cannot be read, is not what it should be, or they do not match.
        """
        self._files = files
        paths = (files.cert, files.key, *((files.client_ca,) if files.client_ca else ()))
        self._material = Watched("TLS certificate", paths, self._read)

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """For gRPC's own TLS, which asks in each handshake, in threads of its own."""
        known = self._material.current()

        def renewed() -> grpc.ServerCertificateConfiguration | None:
            nonlocal known
            latest = self._material.current()
            if latest is known:
                return None
            known = latest
            return _configuration(known)

        return grpc.dynamic_ssl_server_credentials(
            _configuration(known),
            renewed,  # type: ignore[arg-type] # None, says gRPC, is that nothing changed
            require_client_authentication=self._files.client_ca is not None,
        )

    def http_context(self) -> ssl.SSLContext:
        """For Python's TLS: a context that gives way to the latest one in each handshake."""

        def latest(handshake: ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
            handshake.context = self._material.current().context

        front = _context(self._files)
        # Called in every handshake, whether or not the caller names a server.
        front.sni_callback = latest
        return front

    def _read(self) -> _Material:
        first = self._bytes()
        context = _context(self._files)
        if self._bytes() != first:
            raise InvalidOption("the files of TLS changed while they were read")
        return _Material(*first, context)

    def _bytes(self) -> tuple[bytes, bytes, bytes | None]:
        files = self._files
        client_ca = _content("tls_client_ca", files.client_ca) if files.client_ca else None
        return _content("tls_cert", files.cert), _content("tls_key", files.key), client_ca


def _configuration(material: _Material) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(material.key, material.cert)], root_certificates=material.client_ca
    )


def _context(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # A session that is resumed would go on under authorities that were taken away since. What TLS
    # 1.3 resumes are tickets, which are not given out; what 1.2 resumes cannot be turned off.
    context.minimum_version = (
        ssl.TLSVersion.TLSv1_3 if files.client_ca is not None else ssl.TLSVersion.TLSv1_2
    )
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1"])
    try:
        # With a password given, a key that is encrypted is an error, and not a question.
        context.load_cert_chain(files.cert, files.key, password="")
    except ssl.SSLError as error:
        raise InvalidOption(_mismatch(files, error)) from error
    if files.client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(files.client_ca)
        except ssl.SSLError as error:
            raise InvalidOption(
                f"tls_client_ca '{files.client_ca}' holds no certificate in PEM"
            ) from error
    return context


def _mismatch(files: TlsFiles, error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"tls_key '{files.key}' is not the key of the certificate in tls_cert '{files.cert}'"
    return (
        f"tls_cert '{files.cert}' and tls_key '{files.key}' are no certificate and private key in "
        f"PEM, the key not encrypted ({error.reason or error})"
    )


def _content(setting: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidOption(f"{setting} '{path}' cannot be read: {error.strerror}") from error
