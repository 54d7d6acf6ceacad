"""Bytes in, bytes out: gRPC and HTTP. No decisions are made here."""
