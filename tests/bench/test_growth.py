"""The bench of growth: its exponents and its table. Nothing here looks at a clock."""

import sys

import pytest

from fer_lib import paths

sys.path.insert(0, str(paths.ROOT / "bench"))
import growth  # noqa: E402


def lines(power, last=1.0):
    return [
        {"size": n, "seconds": last * (n / 10_000) ** power, "gigabytes": 0.5, "cpu": 1.0} for n in (100, 1000, 10_000)
    ]


@pytest.mark.parametrize("power", [0.3, 1.0, 2.0])
def test_an_exponent_is_the_power_of_the_size(power):
    assert growth.exponent(lines(power)) == pytest.approx(power) == growth.fitted(lines(power))


def test_what_every_call_costs_hides_growth_at_small_sizes_only():
    grown = [line | {"seconds": 5 + line["size"] / 1000} for line in lines(1)]
    assert growth.fitted(grown) < growth.exponent(grown) < 1


def test_goals_are_met_or_missed_at_the_largest_size():
    figures = {"grown": {name: lines(1, 9.0) for name in growth.PARTS}, "date": "2026-01-01", "load_average": [0, 0],
               "machine": {"name": "Abacus 9000", "cores": 2}}  # fmt: skip
    assert "1.1: met; 60 s: met; 2 GB: met" in growth.table(figures) and "missed" not in growth.table(figures)
    figures["grown"]["nothing"] = lines(1.5, 11.0)
    assert "1.1: missed; 10 s: missed; 2 GB: met" in growth.table(figures)
    assert growth.plot(figures).startswith(b"\x89PNG")
