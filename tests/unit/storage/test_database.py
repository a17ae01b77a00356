"""What a database's troubles are called: never by its password."""

from urllib.parse import quote

import pytest

from serve_app.control.store import StoreUnavailable
from serve_app.storage.database import database_url, troubles


@pytest.mark.parametrize("password", ["canary", "can/ary", "can ary", "c@n:ary"])
@pytest.mark.parametrize(
    "written", ["postgresql://me:{}@host:5/name", "postgresql://me@host:5/name?password={}"]
)
def test_a_stores_password_and_its_user_are_in_no_message(password: str, written: str) -> None:
    url = database_url(written.format(quote(password, safe="")))

    with pytest.raises(StoreUnavailable) as raised, troubles(url):
        raise OSError(f"no '{password}' and no '{quote(password, safe='')}' here")

    said = str(raised.value)
    assert (
        said == "the store at postgresql://host:5/name does not answer: OSError: no '***' and no '***' here"
    )
