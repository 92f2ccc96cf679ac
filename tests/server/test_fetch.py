"""Pictures by URL, from a real https server that stands for a public one: bounds, redirects, names."""

import datetime
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from khayal.errors import InputError
from khayal.server import fetch as module
from khayal.server.fetch import fetch

NAME = "pictures.example"


class Site(BaseHTTPRequestHandler):
    """A picture, and what is none."""

    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("location", "https://127.0.0.1/secret")
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        if self.path == "/picture.png":
            self.wfile.write(b"picture")
        while self.path in ("/endless", "/slow"):
            try:
                self.wfile.write(b"x" * (1 << 20 if self.path == "/endless" else 1))
            except OSError:
                return
            time.sleep(0.0 if self.path == "/endless" else 0.05)

    def log_message(self, *words):
        return


def certificate(folder, name):
    """Of a name, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    today = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    kind = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption())
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Serves as a name that leads here, past the check of addresses, which has tests of its own."""
    path = certificate(tmp_path, NAME)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.daemon_threads, server.asked = True, []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    trusting = ssl.create_default_context(cafile=path)
    monkeypatch.setattr(module, "public_address", lambda host, port: "127.0.0.1")
    monkeypatch.setattr(module.ssl, "create_default_context", lambda: trusting)
    server.url = f"https://{NAME}:{server.server_port}"
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_picture_is_fetched_without_telling_who_asks(site, tmp_path):
    fetch(f"{site.url}/picture.png", tmp_path / "out", (NAME,))
    assert (tmp_path / "out").read_bytes() == b"picture"
    ((path, headers),) = site.asked
    assert path == "/picture.png"
    assert not {"authorization", "cookie", "referer"} & {name.lower() for name in headers}


def test_redirects_are_not_followed(site, tmp_path):
    with pytest.raises(InputError, match="answered 302"):
        fetch(f"{site.url}/moved", tmp_path / "out", ("*",))
    assert [path for path, _ in site.asked] == ["/moved"]


def test_a_picture_has_a_size_and_a_time(site, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 3 << 20)
    with pytest.raises(InputError, match="too large"):
        fetch(f"{site.url}/endless", tmp_path / "out", (NAME,))
    monkeypatch.setattr(module, "MAX_SECONDS", 0.5)
    with pytest.raises(InputError, match=r"too slow|cannot be fetched"):
        fetch(f"{site.url}/slow", tmp_path / "out", (NAME,))


def test_a_certificate_of_another_name_is_refused(site, tmp_path, monkeypatch):
    url = site.url.replace(NAME, "other.example")
    with pytest.raises(InputError, match="cannot be fetched"):
        fetch(f"{url}/picture.png", tmp_path / "out", ("*",))
    assert site.asked == []
