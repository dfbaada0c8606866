"""A server certificate and the certificate authority that signed it, created for one test run."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path


def create(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """The authority's file, and a server's context with a certificate for that host name."""
    folder.mkdir(parents=True, exist_ok=True)

    def openssl(*args: str) -> None:
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=test authority", "-days", "2")
    openssl("req", *curve, "-keyout", "leaf.key", "-out", "leaf.csr", "-subj", f"/CN={name}")
    (folder / "leaf.ext").write_text(f"subjectAltName=DNS:{name}\n")
    signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "leaf.ext", "-days", "2")
    openssl("x509", "-req", "-in", "leaf.csr", "-out", "leaf.crt", *signed)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "leaf.crt", folder / "leaf.key")
    return folder / "ca.crt", context
