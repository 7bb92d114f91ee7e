"""Secrets: written as references, resolved once at load, shown nowhere.

"${env:OPENAI_API_KEY}"          the variable's value
"${file:/run/secrets/openai}"    the file's text, without the newline at its end
"${vault:kv/openai#key}"         a field of a secret in HashiCorp Vault
"${aws:prod/openai#key}"         one in AWS Secrets Manager; without `#` all of its text
"${gcp:projects/P/secrets/S}"    one in Google Secret Manager
"Bearer ${env:TOKEN}"            each may stand inside other text
"""

from __future__ import annotations

import hmac
import re
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, core_schema

from tidegate.config.mistakes import nearest
from tidegate.config.surroundings import Surroundings, refusal, surroundings
from tidegate.config.vaults import OPENERS, VaultError
from tidegate.redact import MASK

REFERENCE = re.compile(r"\$\{([^}]*)\}")
_FORMS = (
    "${env:NAME}",
    "${file:/path}",
    "${vault:path#field}",
    "${aws:name#field}",
    "${gcp:projects/…/secrets/…}",
)
_KINDS = ("env", "file", *OPENERS)
_FILE_LIMIT_BYTES = 64 * 1024


class Secret:
    """A text that `repr`, `str`, `format`, pickle and JSON all mask.

    Only `reveal()` gives it out. Pickling keeps the mask and forgets the text: a secret does not
    leave the process that resolved it.
    """

    __slots__ = ("_text", "_written", "source")

    def __init__(self, text: str, source: str = "literal", written: str = "") -> None:
        self._text = text
        self._written = written
        self.source = source
        """Where it came from: `literal`, or the references as written. Safe to show."""

    def reveal(self) -> str:
        """The secret itself."""
        return self._text

    def written(self) -> str:
        """As it stands in the file, references and all; empty if it does not."""
        return self._written

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __str__(self) -> str:
        return MASK

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        ours, theirs = (each.reveal().encode("utf-8", "surrogatepass") for each in (self, other))
        return hmac.compare_digest(ours, theirs)

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __reduce__(self) -> tuple[type[Self], tuple[str, str]]:
        return type(self), (MASK, self.source)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, _source: Any, _handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Validated from text by `resolve`, written as the mask."""
        return core_schema.with_info_plain_validator_function(
            _validate,
            serialization=core_schema.plain_serializer_function_ser_schema(
                str, return_schema=core_schema.str_schema()
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Text; the examples show editors the usual references."""
        return {"title": "Secret", "type": "string", "minLength": 1, "examples": list(_FORMS[:3])}


def resolve(text: str, around: Surroundings, *, lines: bool = False) -> Secret:
    """The secret that `text` is or refers to; with `lines`, it need not fit into an HTTP header.

    Raises: a pydantic refusal, which never holds a value, when a reference leads nowhere.
    """
    references = [found[0] for found in REFERENCE.finditer(text)]
    resolved = REFERENCE.sub(lambda found: _look_up(found[1], around), text)
    if not resolved:
        raise refusal("is empty", allowed=_FORMS)
    if not lines and not (resolved.isascii() and resolved.isprintable()):
        raise refusal("has a character inside that no HTTP header can carry")
    return Secret(resolved, " ".join(references) or "literal", text)


def _look_up(reference: str, around: Surroundings) -> str:
    kind, colon, name = reference.partition(":")
    if not colon or not name or kind not in _KINDS:
        # What stands in the braces may be a secret put there by mistake: only `kind` is judged,
        # and nothing is repeated.
        likely = nearest(kind, _KINDS) if colon and name else None
        raise refusal(
            "holds a reference of an unknown form",
            allowed=_FORMS,
            nearest=f"${{{likely}:…}}" if likely else None,
        )
    if kind == "env":
        return _from_env(name, around)
    if kind == "file":
        return _from_file(name, around)
    try:
        value = around.vaults.get(kind, name).strip()
    except VaultError as error:
        likely = f"${{{kind}:{name.partition('#')[0]}#{error.nearest}}}" if error.nearest else None
        raise refusal(f"refers to {error}", nearest=likely) from error
    if not value:
        raise refusal(f"refers to `{name}`, which is empty")
    return value


def _from_env(name: str, around: Surroundings) -> str:
    value = around.environ.get(name)
    if value is None:
        likely = nearest(name, (known for known in around.environ if _alike(name, known)))
        raise refusal(
            f"refers to the environment variable {name}, which is not set; "
            f"set it before starting: export {name}=…",
            nearest=f"${{env:{likely}}}" if likely else None,
        )
    if not value.strip():
        raise refusal(f"refers to the environment variable {name}, which is empty")
    return value.strip()


def _alike(name: str, known: str) -> bool:
    """Whether `known` is worth suggesting: close enough that it looks like a misspelling."""
    return abs(len(name) - len(known)) <= 2 and nearest(name, [known]) is not None  # noqa: PLR2004


def _from_file(name: str, around: Surroundings) -> str:
    try:
        with around.locate(name).open("rb") as file:
            content = file.read(_FILE_LIMIT_BYTES + 1)
    except OSError as error:
        raise refusal(
            f"refers to the file {name}, which cannot be read: {error.strerror}"
        ) from error
    except (ValueError, RuntimeError) as error:
        raise refusal("refers to a file by something that is not a path") from error
    if len(content) > _FILE_LIMIT_BYTES:
        raise refusal(f"refers to the file {name}, which is too long for a secret")
    try:
        value = content.decode().strip()
    except UnicodeDecodeError:
        # Not chained: the error would carry the file's bytes along.
        raise refusal(f"refers to the file {name}, which is not UTF-8 text") from None
    if not value:
        raise refusal(f"refers to the file {name}, which is empty")
    return value


def _validate(value: object, info: ValidationInfo) -> Secret:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str):
        raise refusal("must be text; put it in quotes", allowed=_FORMS)
    return resolve(value, surroundings(info))


def _validate_document(value: object, info: ValidationInfo) -> object:
    return resolve(value, surroundings(info), lines=True) if isinstance(value, str) else value


Document = Annotated[Secret, BeforeValidator(_validate_document)]
"""A secret of any number of lines, such as a service account's key in JSON."""
