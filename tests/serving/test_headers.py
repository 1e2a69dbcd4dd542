"""What a server believes of a request's headers."""

import pytest

from fairway.serving import headers, protocol


def read(*fields: tuple[str, str]) -> tuple[headers.RequestHead, str | None]:
    call = headers.RequestHead()
    try:
        headers.read(
            [(name.encode(), value.encode()) for name, value in fields], into=call, revision=b"aaa"
        )
    except protocol.Invalid as error:
        return call, str(error)
    return call, None


@pytest.mark.parametrize(
    "units",
    [("",), ("\x7f",), ("u" * 257,), ("one", "other")],
    ids=["empty", "not printable", "too long", "two"],
)
def test_a_unit_that_is_refused_is_a_unit_all_the_same_so_its_refusals_count_once(
    units: tuple[str, ...],
) -> None:
    (first, said), (again, _) = (
        read(*(("x-fairway-unit", unit) for unit in given)) for given in (units, units[::-1])
    )
    assert first.unit == again.unit != read(("x-fairway-unit", "another\x7f"))[0].unit
    assert "wanted 1 to 256 printable characters once" in (said or "")


def test_two_units_are_not_those_of_other_clients() -> None:
    assert read(("x-fairway-unit", "one"), ("x-fairway-unit", "other"))[0].unit not in (
        "one",
        "other",
    )


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("203.0.113.7", "203.0.113.7", True),
        ("198.51.100.1, 203.0.113.7", "203.0.113.7", True),
        ("203.0.113.7", "203.0.113.8", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
    ],
    ids=[
        "itself",
        "claims before the gateway's word",
        "another",
        "its own network",
        "another network",
    ],
)
def test_a_client_is_the_address_that_the_gateway_was_asked_from(
    one: str, other: str, same: bool
) -> None:
    first, second = (read(("x-forwarded-for", value))[0].client for value in (one, other))
    assert (first == second) is same
    assert all(
        bucket is not None and len(bucket) == 4 and bucket not in value
        for bucket, value in ((first, one), (second, other))
    )


def test_without_a_gateway_there_is_no_client() -> None:
    assert read()[0].client is None
