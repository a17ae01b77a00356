"""What `test_ways_in.py` has of `sekha serve`, under Serve's defaults on the shared cluster."""

from tests.support.api import Api
from tests.support.upstream import ScriptedUpstream
from tests.support.ways import assert_leaving_ends_the_stream, assert_request_id_comes_back_once


def test_under_serves_defaults_the_request_id_comes_back_once(hybrid: Api) -> None:
    assert_request_id_comes_back_once(hybrid)


def test_under_serves_defaults_the_stream_of_a_caller_who_left_ends(
    hybrid: Api, openai_upstream: ScriptedUpstream
) -> None:
    assert_leaving_ends_the_stream(hybrid, openai_upstream)
