"""How reasoning finds its way back to the provider that knows it.

Providers want their reasoning back with the next turn and know it by a signature of their own. It
travels through formats that have one field for it at most, so what it is, and whose, is written
in front of it. What bears no mark of ours is not ours to pass on: a provider refuses another's.

- To a caller of this format, `encrypted_content` carries another format's signature (`tg1s:`) or
  what it redacted (`tg1r:`), or says that there is neither (`tg1u:`).
- To a caller of another format, its signature carries this format's item: `rs1:ID:ENCRYPTED`.
"""

from __future__ import annotations

from tidegate.formats.words import Thinking

_SIGNED, _REDACTED, _UNSIGNED, _ITEM = "tg1s:", "tg1r:", "tg1u:", "rs1:"


def sealed(thinking: Thinking) -> str | None:
    """The `encrypted_content` that carries what `thinking` has to be known by again."""
    if thinking.redacted is not None:
        return _REDACTED + thinking.redacted
    if thinking.signature is not None:
        return _SIGNED + thinking.signature
    return _UNSIGNED if thinking.text else None


def unsealed(text: str, encrypted: str | None, id_: str | None) -> Thinking:
    """The reasoning whose `encrypted_content` is `encrypted`, as its own provider knows it."""
    if encrypted is not None and encrypted.startswith(_REDACTED):
        return Thinking(text, redacted=encrypted.removeprefix(_REDACTED), id=id_)
    if encrypted is not None and encrypted.startswith(_SIGNED):
        return Thinking(text, signature=encrypted.removeprefix(_SIGNED), id=id_)
    return Thinking(text, id=id_)


def is_ours(encrypted: object) -> bool:
    """Whether an `encrypted_content` was made here, so that no Responses provider can read it."""
    return isinstance(encrypted, str) and encrypted.startswith((_SIGNED, _REDACTED, _UNSIGNED))


def packed(id_: str | None, encrypted: str | None) -> str:
    """The signature that carries a reasoning item."""
    return f"{_ITEM}{id_ or ''}:{encrypted or ''}"


def unpacked(signature: str | None) -> tuple[str, str] | None:
    """The id and the encrypted content in a signature; None when it is another provider's."""
    if signature is None or not signature.startswith(_ITEM):
        return None
    id_, _, encrypted = signature.removeprefix(_ITEM).rpartition(":")
    return id_, encrypted
