import itertools
from collections.abc import Sized
from datetime import UTC, datetime, timedelta

from llm_operator.shell.cluster import Credentials
from llm_operator.shell.triggers import Patience, connection_info, settings


def test_kopf_joins_no_peering_scans_nothing_and_posts_nothing() -> None:
    chosen = settings()
    assert chosen.peering.standalone
    assert chosen.scanning.disabled
    assert not chosen.posting.enabled
    assert "zalando" not in chosen.persistence.finalizer


def test_kopf_speaks_as_we_do_and_takes_a_token_anew_before_it_is_old() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    lent = Credentials("https://api", "/ca", "Bearer", "t", None, None, verify=True)
    info = connection_info(lent, now)
    assert (info.server, info.ca_path, info.as_http_headers()) == ("https://api", "/ca", {"Authorization": "Bearer t"})
    assert info.expiration == now + timedelta(minutes=10)


def test_a_certificate_does_not_expire_by_the_minute() -> None:
    lent = Credentials("https://api", "/ca", None, None, "/cert", "/key", verify=False)
    info = connection_info(lent, datetime(2026, 1, 1, tzinfo=UTC))
    assert (info.certificate_path, info.private_key_path, info.insecure, info.expiration) == ("/cert", "/key", True, None)


def test_kopf_never_gives_up_asking() -> None:
    pauses = settings().networking.error_backoffs
    assert isinstance(pauses, Patience)
    assert not isinstance(pauses, Sized)  # kopf counts the pauses of anything that has a length
    for _ in range(2):
        assert list(itertools.islice(pauses, 6)) == [1, 2, 4, 8, 15, 15]
