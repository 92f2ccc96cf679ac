"""What a file says of itself: a signed C2PA manifest, made last, because any later change breaks it.

The manifest tells that the file was made by a trained model, by which, and with which seed; what it was made
from stays as ingredient. The specification: https://spec.c2pa.org, version 2.

Files are signed with a certificate that is made on first use and belongs to this machine alone: it proves
that nothing was changed since, not who made it. KHAYAL_CERTIFICATE and KHAYAL_CERTIFICATE_KEY name files of
one that others trust.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from khayal.destination import part_of
from khayal.errors import InputError, OutputError

MADE_BY_MODEL = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
FORMATS = {
    ".mp4": "video/mp4",
    ".png": "image/png",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".jpg": "image/jpeg",
}
"""The files that can carry a manifest, by their suffix."""

DETAILS = "org.khayal.generation"
_TOLD = ("model", "task", "seed", "steps", "guidance", "solver", "size", "fps", "num_frames")
_YEARS = datetime.timedelta(days=10 * 365)


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """A certificate chain, the leaf first, and the leaf's private key in PKCS8; both PEM."""

    chain: bytes
    key: bytes

    @property
    def root(self) -> bytes:
        """The last certificate of the chain."""
        begin = b"-----BEGIN CERTIFICATE-----"
        return begin + self.chain.rpartition(begin)[2]


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a file says of itself.

    Attributes:
        state: "unsigned", "invalid", "valid" (unchanged, by somebody whom nobody vouches for) or "trusted".
        generator: the program that made it.
        signer: the name in the certificate.
        is_generated: True where it says that a trained model made it.
        details: model, seed and the like.
        ingredients: the titles of what it was made from.
        problems: why it is invalid.
    """

    state: str
    generator: str = ""
    signer: str = ""
    is_generated: bool = False
    details: Mapping[str, Any] | None = None
    ingredients: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def sign(
    path: Path,
    details: Mapping[str, Any],
    *,
    parents: Sequence[Path] = (),
    credentials: Credentials | None = None,
) -> bool:
    """Put a signed manifest into a file, which is replaced as a whole.

    Args:
        path: an mp4, png, gif, webp or jpg.
        details: those of the clip; the prompt is not told.
        parents: files that it was made from.
        credentials: to sign with, those of this machine by default.

    Returns:
        False where files of this kind carry no manifest (webm, a folder): it stays as it is.

    Raises:
        OutputError: it cannot be signed or written.
    """
    if path.suffix.lower() not in FORMATS or not path.is_file():
        return False
    import c2pa

    credentials = credentials or own_credentials()
    made_of = [parent for parent in parents if parent.suffix.lower() in FORMATS]
    told = {name: _plain(details[name]) for name in _TOLD if name in details}
    told |= {"made_of": _plain([parent.name for parent in parents])} if parents else {}
    manifest = {
        "claim_generator_info": [{"name": "khayal", "version": _version()}],
        "title": path.name,
        "format": FORMATS[path.suffix.lower()],
        "assertions": [{"label": DETAILS, "data": told}],
    }
    info = c2pa.C2paSignerInfo(c2pa.C2paSigningAlg.ES256, credentials.chain, credentials.key, None)
    try:
        settings = {"builder": {"thumbnail": {"enabled": False}}}  # they would outweigh a short video
        with (
            part_of(path, "signed") as part,
            c2pa.Signer.from_info(info) as signer,
            c2pa.Context.from_dict(settings) as context,
        ):
            with c2pa.Builder(manifest, context=context) as builder:
                _say_how(builder, made_of)
                part.unlink()  # c2pa makes the file itself
                builder.sign_file(path, part, signer)
            os.replace(part, path)
    except (c2pa.C2paError, OSError) as error:
        raise OutputError(
            f"{path} cannot be signed",
            why=str(error).rstrip("."),
            fix="look at the certificate that KHAYAL_CERTIFICATE names, and at the space on the disk",
        ) from error
    return True


def verify(path: str | Path, *, trusted: bytes = b"") -> Report:
    """Read the manifest of a file and check it against the file.

    Args:
        path: any file.
        trusted: PEM certificates whose signatures are trusted, besides this machine's own.

    Raises:
        InputError: the file is missing, or of a kind that carries no manifest.
    """
    import c2pa

    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} cannot be read", why="there is no such file")
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise InputError(f"“{path.suffix}” files carry no manifest", fix=f"give {', '.join(FORMATS)}")
    anchors = (_own_root() + trusted).decode()
    settings = {"trust": {"user_anchors": anchors}} if anchors else {"verify": {"verify_trust": False}}
    try:
        with (
            path.open("rb") as file,
            c2pa.Context.from_dict(settings) as context,
            c2pa.Reader(kind, file, context=context) as reader,
        ):
            return _report(json.loads(reader.json()))
    except c2pa.C2paError.ManifestNotFound:
        return Report(state="unsigned")
    except c2pa.C2paError as error:
        return Report(state="invalid", problems=(str(error),))


def own_credentials() -> Credentials:
    """The user's certificate where the environment names one, else this machine's, made on first use.

    Raises:
        InputError: the named files cannot be read.
        OutputError: there is no place to make one.
    """
    named = os.environ.get("KHAYAL_CERTIFICATE", ""), os.environ.get("KHAYAL_CERTIFICATE_KEY", "")
    if any(named):
        try:
            return Credentials(chain=Path(named[0]).read_bytes(), key=Path(named[1]).read_bytes())
        except OSError as error:
            raise InputError(
                "The certificate cannot be read",
                why=str(error),
                fix="name both files: KHAYAL_CERTIFICATE and KHAYAL_CERTIFICATE_KEY",
            ) from error
    return _local_credentials(local_folder())


def local_folder() -> Path:
    """Where this machine's certificate lies."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "khayal"


@lru_cache(maxsize=4)
def _local_credentials(folder: Path) -> Credentials:
    path = folder / "certificate.pem"
    try:
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            made = make_credentials()
            _write_once(path, made.key + made.chain)
        text = path.read_bytes()
    except OSError as error:
        raise OutputError(
            "The certificate that signs files has no place",
            why=str(error),
            fix="set XDG_CONFIG_HOME to a folder that can be written to",
        ) from error
    key, mark, rest = text.partition(b"-----END PRIVATE KEY-----\n")
    return Credentials(chain=rest, key=key + mark)


def _write_once(path: Path, content: bytes) -> None:
    """Key and chain in one file, readable by its owner, by whichever process is first."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        os.link(part, path)
    except FileExistsError:
        return
    finally:
        part.unlink(missing_ok=True)


def make_credentials(name: str = "khayal on this machine") -> Credentials:
    """A P-256 leaf for signing, and the root that vouches for it, whose key is thrown away."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def named(text: str) -> x509.Name:
        parts = ((NameOID.COMMON_NAME, text), (NameOID.ORGANIZATION_NAME, "khayal"))
        return x509.Name([x509.NameAttribute(kind, value) for kind, value in parts])

    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_id = x509.SubjectKeyIdentifier.from_public_key(root_key.public_key())
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)

    def certificate(text: str, public: ec.EllipticCurvePublicKey, *, is_root: bool) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(text))
            .issuer_name(named(f"{name} (root)"))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + _YEARS)
            .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
            .add_extension(_usage(is_root=is_root), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(root_id), critical=False
            )
        )
        if not is_root:
            purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
            builder = builder.add_extension(purposes, critical=False)
        return builder.sign(root_key, hashes.SHA256())

    root = certificate(f"{name} (root)", root_key.public_key(), is_root=True)
    leaf = certificate(name, key.public_key(), is_root=False)
    pem = serialization.Encoding.PEM
    return Credentials(
        chain=leaf.public_bytes(pem) + root.public_bytes(pem),
        key=key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def _usage(*, is_root: bool) -> Any:
    from cryptography import x509

    others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign")
    unused = dict.fromkeys((*others, "encipher_only", "decipher_only"), False)
    return x509.KeyUsage(digital_signature=not is_root, key_cert_sign=is_root, **unused)


def _say_how(builder: Any, parents: Sequence[Path]) -> None:
    """Made by a model from nothing; or from a file, which is the parent, and others beside it."""
    import c2pa

    added = 0
    for parent in parents:
        told = {"title": parent.name, "relationship": "componentOf" if added else "parentOf"}
        try:
            with parent.open("rb") as file:
                builder.add_ingredient(told, FORMATS[parent.suffix.lower()], file)
            added += 1
        except c2pa.C2paError:  # a file of another kind than its name says; the details name it
            continue
    if added:
        builder.set_intent(c2pa.C2paBuilderIntent.EDIT)
        builder.add_action({"action": "c2pa.edited", "digitalSourceType": MADE_BY_MODEL})
    else:
        source = c2pa.C2paDigitalSourceType.TRAINED_ALGORITHMIC_MEDIA
        builder.set_intent(c2pa.C2paBuilderIntent.CREATE, source)


def _own_root() -> bytes:
    path = local_folder() / "certificate.pem"
    return _local_credentials(local_folder()).root if path.exists() else b""


def _report(store: Mapping[str, Any]) -> Report:
    manifest = store.get("manifests", {}).get(store.get("active_manifest", ""), {})
    made = {item["label"]: item["data"] for item in manifest.get("assertions", ())}
    actions = [
        action
        for label, data in made.items()
        if label.startswith("c2pa.actions")
        for action in data.get("actions", ())
    ]
    generator = (manifest.get("claim_generator_info") or [{}])[0]
    failures = store.get("validation_results", {}).get("activeManifest", {}).get("failure", ())
    return Report(
        state=str(store.get("validation_state", "Invalid")).lower(),
        generator=f"{generator.get('name', '')} {generator.get('version', '')}".strip(),
        signer=manifest.get("signature_info", {}).get("common_name")
        or manifest.get("signature_info", {}).get("issuer", ""),
        is_generated=any(action.get("digitalSourceType") == MADE_BY_MODEL for action in actions),
        details=made.get(DETAILS),
        ingredients=tuple(item.get("title", "") for item in manifest.get("ingredients", ())),
        problems=tuple(item.get("explanation") or item.get("code", "") for item in failures),
    )


def _plain(value: Any) -> Any:
    """A value as the manifest's CBOR keeps it: a list of small integers would be taken for bytes."""
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else value


def _version() -> str:
    return importlib.metadata.version("khayal")
