"""The certificate of an erasure: what was erased when, which models may know it, and a signature to check that by."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Final

import msgspec

from liverank.errors import DataError

ALGORITHM: Final = "HMAC-SHA-256"


class ModelVersions(msgspec.Struct, frozen=True):
    """The versions that answered the user, those that may have learned from them, and what nobody here can know."""

    answered: list[str]
    may_have_learned: list[str]
    unknown: str


class Signature(msgspec.Struct, frozen=True):
    """A signature of everything else in a certificate, in hex."""

    algorithm: str
    value: str


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """The certificate of an erasure; `signature` is null where the server has no key."""

    user_id: str
    erased: int
    model_versions: ModelVersions
    certificate_id: str
    erased_at: str
    store: str
    """Identity of the live store."""
    records: dict[str, int]
    """Kind of record -> how many of them were there just before."""
    to_do: list[str]
    """What the server cannot do."""
    signature: Signature | None = None


def signed(certificate: Erased, key: bytes) -> Erased:
    """The certificate with a signature; as it is without a key."""
    if not key:
        return certificate
    return msgspec.structs.replace(certificate, signature=Signature(ALGORITHM, _value(certificate, key)))


def read(content: bytes) -> Erased:
    """A certificate from its JSON, exactly as it was issued: an unknown field would not be covered by the signature.

    Raises:
        DataError: it is none.
    """
    try:
        found: dict[str, Any] = msgspec.json.decode(content)
        certificate = msgspec.convert(found, Erased)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as problem:
        raise DataError(f"This is no certificate of an erasure: {problem}.") from problem
    if msgspec.to_builtins(certificate) != found:
        raise DataError("This is no certificate of an erasure: it holds more than one does.")
    return certificate


def is_genuine(certificate: Erased, key: bytes) -> bool:
    """Whether a server with this key issued the certificate, and nothing in it was changed."""
    said = certificate.signature
    if said is None or not key or said.algorithm != ALGORITHM:
        return False
    return hmac.compare_digest(said.value.encode(), _value(certificate, key).encode())


def _value(certificate: Erased, key: bytes) -> str:
    """HMAC of the certificate without signature, as JSON with sorted keys and without spaces."""
    plain = msgspec.structs.replace(certificate, signature=None)
    return hmac.new(key, msgspec.json.encode(plain, order="sorted"), hashlib.sha256).hexdigest()
