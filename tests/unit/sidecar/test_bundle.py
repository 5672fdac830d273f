"""Bundles survive the way from operator to sidecar."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_sidecar import bundle
from llm_sidecar.bundle import Auth, Bundle, BundleError, Limits, Message, Pipeline, Prompt, Sampling, TrimStage

_texts = st.text(max_size=30)
_decimals = st.none() | st.decimals(min_value=0, max_value=2, places=3)
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _texts,
    lambda inner: st.lists(inner) | st.dictionaries(_texts, inner),
    max_leaves=5,
)
_prompts = st.builds(
    Prompt,
    name=_texts,
    digest=_texts,
    system=st.none() | _texts,
    messages=st.lists(st.builds(Message, role=st.sampled_from(["system", "user", "assistant"]), content=_texts), max_size=3).map(tuple),
    template=st.none() | _texts,
    inputs=st.none() | st.dictionaries(_texts, _json, max_size=3),
)
_bundles = st.builds(
    Bundle,
    prompt=st.none() | _prompts,
    sampling=st.builds(
        Sampling,
        temperature=_decimals,
        top_p=_decimals,
        max_tokens=st.none() | st.integers(1, 9999),
        stop=st.lists(_texts, max_size=2).map(tuple),
    ),
    limits=st.builds(Limits, queue=st.integers(0, 999)),
)


@given(_bundles)
def test_a_bundle_read_back_is_the_same_bundle(value: Bundle) -> None:
    data = bundle.encode(value)
    assert bundle.decode(data) == value
    assert bundle.encode(bundle.decode(data)) == data


def test_defaults_are_left_out_but_the_version_is_said() -> None:
    assert bundle.encode(Bundle()) == b'{"schemaVersion":1}'


def test_decimals_travel_as_strings() -> None:
    assert b'"temperature":"0.7"' in bundle.encode(Bundle(sampling=Sampling(temperature=Decimal("0.7"))))


@pytest.mark.parametrize(
    ("data", "field", "words"),
    [
        (b"{", "", "not JSON"),
        (b"[]", "", "not JSON"),
        (b'{"schemaVersion":4,"newThing":1}', "schemaVersion", "4 is newer than 3"),
        (b'{"schemaVersion":"1"}', "schemaVersion", "'1' is not"),
        (b'{"prompt":{"messages":[{"role":"robot","content":""}]}}', "prompt.messages[0].role", "robot"),
        (b'{"limits":{"queue":"many"}}', "limits.queue", "Expected `int`"),
        (b'{"limits":{"qeue":1}}', "limits", "qeue"),
    ],
)
def test_a_bundle_that_cannot_be_read_names_the_field(data: bytes, field: str, words: str) -> None:
    with pytest.raises(BundleError) as caught:
        bundle.decode(data)
    assert caught.value.field == field
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (Bundle(limits=Limits(queue=7)), 1),
        (Bundle(pipeline=Pipeline(request=(TrimStage(),))), 2),
        (Bundle(auth=Auth(api_keys="Required")), 3),
        (Bundle(limits=Limits(max_depth=9)), 2),
        (Bundle(limits=Limits(max_tokens=9)), 2),
    ],
)
def test_a_bundle_needs_the_schema_that_brought_what_it_uses(value: Bundle, schema: int) -> None:
    assert bundle.needed_schema(value) == schema
