"""A protocol's fields explain themselves."""

from dataclasses import fields

import pytest

from fer_lib.training import meanings
from fer_lib.training.protocol import CHOICES, Protocol


def test_every_field_has_a_meaning_in_the_order_of_the_protocol():
    known = meanings.meanings()
    assert list(known) == [field.name for field in fields(Protocol)]
    assert all(len(meaning) > 10 for meaning in known.values())
    assert "0..255" in known["input_scale"] and "old Keras" in known["loss"] and "old Keras" not in known["targets"]


@pytest.mark.parametrize("name", CHOICES)
def test_a_field_with_choices_allows_these(name):
    assert all(repr(choice) in meanings.allowed(name) for choice in CHOICES[name])


def test_the_table_shows_what_was_changed():
    table = meanings.table(Protocol(loss="clipped", epochs=3), ["loss", "epochs"])
    losses = "'logits', 'clipped', 'any of', 'bootstrapped', 'symmetric', 'squared hinge'"
    assert f"| `loss` | 'clipped' | 'logits' | {losses} |" in table
    assert "| `epochs` | 3 | 10 | a whole number, 1 or more |" in table and "batch_size" not in table
    assert len(meanings.table(Protocol()).splitlines()) == 2 + len(fields(Protocol))
    with pytest.raises(AttributeError, match="no_field"):
        meanings.table(Protocol(), ["no_field"])
