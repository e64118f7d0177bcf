"""The hub's answers, as they stand on the wire. Errors are the protocol's one `ErrorBody`."""

from __future__ import annotations

from typing import Annotated, Self

from envport_protocol.project import NAME_PATTERN
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

DIGEST_HEADER = "X-Envport-Digest"
TAR_TYPE = "application/x-tar"


Name = Annotated[str, Field(pattern=NAME_PATTERN)]
VersionText = Annotated[str, Field(pattern=r"^[0-9A-Za-z.!+-]{1,64}$")]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class VersionInfo(_Answer):
    """`GET /v1/envs/{namespace}/{name}/{version}`: one published version. It never changes."""

    namespace: Name
    name: Name
    version: VersionText
    digest: Digest
    """Of the bundle, `sha256:…`; the bundle itself is at `/v1/blobs/{digest}`."""
    size_bytes: int
    summary: str = ""
    licence: str | None = None
    published_at: AwareDatetime
    """UTC."""


class EnvInfo(_Answer):
    """`GET /v1/envs/{namespace}/{name}`: an environment and its versions, highest first."""

    namespace: Name
    name: Name
    default: VersionText
    """The version that is meant when none is named: the highest that is no pre-release."""
    versions: list[VersionInfo]

    @model_validator(mode="after")
    def _default_is_published(self) -> Self:
        if self.default not in {version.version for version in self.versions}:
            raise ValueError("the default version is not among the versions")
        return self


class EnvList(_Answer):
    """`GET /v1/envs?q=&limit=`: the default version of every environment that matches, by name."""

    envs: list[VersionInfo]


class PublishAnswer(_Answer):
    """`POST /v1/envs/{namespace}/{name}/{version}`."""

    created: bool
    """False where the same content was published before."""
    published: VersionInfo
