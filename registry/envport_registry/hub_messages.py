"""The hub's answers, as they stand on the wire. Errors are the protocol's one `ErrorBody`."""

from __future__ import annotations

from pydantic import AwareDatetime, BaseModel, ConfigDict

DIGEST_HEADER = "X-Envport-Digest"
TAR_TYPE = "application/x-tar"


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class VersionInfo(_Answer):
    """`GET /v1/envs/{namespace}/{name}/{version}`: one published version. It never changes."""

    namespace: str
    name: str
    version: str
    digest: str
    """Of the bundle, `sha256:…`; the bundle itself is at `/v1/blobs/{digest}`."""
    size_bytes: int
    summary: str = ""
    licence: str | None = None
    published_at: AwareDatetime
    """UTC."""


class EnvInfo(_Answer):
    """`GET /v1/envs/{namespace}/{name}`: an environment and its versions, highest first."""

    namespace: str
    name: str
    default: str
    """The version that is meant when none is named: the highest that is no pre-release."""
    versions: list[VersionInfo]


class EnvList(_Answer):
    """`GET /v1/envs?q=&limit=`: the default version of every environment that matches, by name."""

    envs: list[VersionInfo]


class PublishAnswer(_Answer):
    """`POST /v1/envs/{namespace}/{name}/{version}`."""

    created: bool
    """False where the same content was published before."""
    published: VersionInfo
