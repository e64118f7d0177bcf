"""What URL of a vLLM server is taken, and what of it is shown."""

from __future__ import annotations

import pytest
from envport_trainer.errors import SamplerError
from envport_trainer.samplers.vllm_http import VllmHttp


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://h:8000/?api_key=s3cret", "'http://h:8000/' has a query or a fragment"),
        ("http://h:8000/#s3cret", "'http://h:8000/' has a query or a fragment"),
        ("http://me:s3cret@h:99999", "'http://h:99999' is no URL of a server"),
        ("http://me:s3cret@h:port", "'http://h:port' is no URL of a server"),
        ("http://", "'http://' is no URL of a server"),
    ],
)
def test_a_url_that_cannot_work_is_refused_without_its_secrets(url, said):
    with pytest.raises(SamplerError) as caught:
        VllmHttp(url)
    assert f"sampler_url: {said}" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_password_is_kept_out_of_the_url_for_people():
    http = VllmHttp("http://me:s3cret@127.0.0.1:1/path/")
    try:
        assert http.url == "http://127.0.0.1:1/path"
    finally:
        http.close()
