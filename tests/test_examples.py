"""Every example runs, draws its picture, and prints what the gallery says of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted(p.stem for p in (ROOT / "examples").glob("*.py") if p.stem != "common")
NUMBER = r"(\d[\d.]*(?:e[+-]\d+)?)"


def run(name, *arguments):
    # A font cache that is built anew writes to stderr, so only the exit code counts.
    return subprocess.run(
        [sys.executable, ROOT / "examples" / f"{name}.py", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """What an example prints, and the file it draws; each runs once."""

    @cache
    def once(name):
        folder = tmp_path_factory.mktemp(name) / "new"
        done = run(name, folder)
        assert done.returncode == 0, done.stderr
        (picture,) = folder.iterdir()
        return done.stdout, picture

    return once


def numbers(pattern, text):
    found = [tuple(map(float, m.groups())) for m in re.finditer(pattern, text)]
    assert found, text
    return found


@pytest.mark.parametrize("name", EXAMPLES)
def test_it_draws_its_picture(ran, name):
    printed, picture = ran(name)
    assert picture.name == f"{name}.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert 10_000 < picture.stat().st_size < 150_000
    assert printed.endswith(f"saved {picture}\n")


def test_the_gallery_shows_every_picture():
    text = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"\(gallery/(\w+)\.png\)", text)) == EXAMPLES
    assert sorted(re.findall(r"`examples/(\w+)\.py`", text)) == EXAMPLES
    kept = sorted((ROOT / "docs" / "gallery").iterdir())
    assert [p.stem for p in kept] == EXAMPLES
    assert all(p.stat().st_size < 150_000 for p in kept)


def test_one_folder_at_most(tmp_path):
    done = run("figure_5_9", tmp_path, "other")
    assert done.returncode == 1
    assert "usage: python" in done.stderr
    assert not list(tmp_path.iterdir())


def test_three_hidden_units_fit_four_functions(ran):
    errors = numbers(rf"RMSE {NUMBER}", ran("figure_5_3")[0])
    assert len(errors) == 4
    assert max(errors) < (0.02,)


def test_ten_hidden_units_go_through_ten_points(ran):
    rows = numbers(
        rf"M = +(\d+): RMSE of the data {NUMBER}, distance.* {NUMBER}\n", ran("figure_5_9")[0]
    )
    (_, one, one_off), (_, three, three_off), (_, ten, ten_off) = rows
    assert one > 0.3 > 0.1 > three > 1e-3 > ten
    assert three_off < min(one_off, ten_off)


def test_the_size_that_the_gallery_names_is_the_one_that_is_chosen(ran):
    """The same for every instruction set. Who changes it draws the picture again."""
    ((chosen,),) = numbers(rf"\n  best +{NUMBER}\n", ran("figure_5_10")[0])
    text = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    assert numbers(rf"lowest of all is one of {NUMBER} hidden units", text) == [(chosen,)]


def test_weight_decay_is_about_one_over_the_steps(ran):
    printed, _ = ran("figure_5_13")
    rows = numbers(rf"(?m)^ +{NUMBER} +{NUMBER} +{NUMBER} +{NUMBER} +{NUMBER}$", printed)
    assert len(rows) == 6
    for decay, steps, nearest, product, distance in rows:
        assert steps == pytest.approx(10 / decay, abs=0.06)
        assert product == pytest.approx(0.1 * decay * nearest, abs=0.006)
        assert 0.4 < product < 1
        assert distance < 0.1
    # Exercise 5.25: 25 steps of 0.1 against lambda = 0.4.
    for eta, decayed, stopped in numbers(
        rf"= {NUMBER}: weight decay {NUMBER}, stopped {NUMBER}\n", printed
    ):
        assert decayed == pytest.approx(eta / (eta + 0.4), abs=1e-3)
        assert stopped == pytest.approx(1 - (1 - 0.1 * eta) ** 25, abs=1e-3)


def test_equal_units_stay_equal(ran):
    (zero, zero_rmse), (random, random_rmse) = numbers(
        rf"differ by at most {NUMBER}, RMSE {NUMBER}\n", ran("zero_weights")[0]
    )
    assert zero == 0
    assert random > 1
    assert random_rmse < 0.1 * zero_rmse


def test_early_stopping_stops_early(ran):
    ((epochs, best),) = numbers(r"epochs +(\d+), best (\d+)\n", ran("early_stopping")[0])
    assert 0 < best < 0.8 * epochs
