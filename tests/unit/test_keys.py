"""Keys as people write them."""

import pytest

from lakehouse import keys, tables
from tests.refusals import refused

USERS, ITEMS = tables.source("users"), tables.source("order_items")


def test_plain_values_and_lists_name_keys_of_one_column_each_once():
    assert keys.parse(USERS, ["17", "[18, 19]", '{"user_id": 17}', "not_json["]) == [("17",), ("18",), ("19",), ("not_json[",)]


def test_a_number_stays_as_it_is_written():
    assert keys.parse(USERS, ["9007199254740993.10"]) == [("9007199254740993.10",)]


def test_a_key_of_several_columns_comes_in_their_order():
    assert keys.parse(ITEMS, ['[{"line_no": 1, "order_id": 5}]']) == [("5", "1")]


@pytest.mark.parametrize("word", ["17", '{"order_id": 5}', '{"order_id": 5, "line_no": null}', '{"order_id": 5, "line_no": 1, "x": 1}'])
def test_what_is_no_key_is_named_with_the_form_it_must_have(word):
    with refused("silver.order_items", cure='{"order_id": <BIGINT>, "line_no": <INT>}'):
        keys.parse(ITEMS, [word])
