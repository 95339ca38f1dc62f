"""The packaged data, CSV files of every make, and standardizing."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlpcore.datasets import load_concrete
from mlpcore.scaling import Standardizer, unscale_jacobian
from mlpcore.tables import TableError, find_column, parse_table, read_table

# The packaged data


def test_concrete():
    data = load_concrete()
    assert data.X.shape == (1030, 8)
    assert data.t.shape == (1030,)
    assert data.X.dtype == data.t.dtype == np.float64
    assert data.X.flags.c_contiguous
    assert data.X.flags.writeable
    assert len(data.feature_names) == len(data.feature_units) == 8
    assert data.feature_names[0] == "cement"
    assert data.feature_names[-1] == "age_days"
    assert data.feature_units[-1] == "day"
    assert data.target_name == "compressive_strength_mpa"
    assert data.target_unit == "MPa"
    assert "CC BY 4.0" in data.description
    np.testing.assert_array_equal(data.X[0], [540, 0, 0, 162, 2.5, 1040, 676, 28])
    assert data.t[0] == 79.99
    assert data.t.mean() == pytest.approx(35.818, abs=1e-3)


def test_concrete_is_the_callers_own():
    first = load_concrete()
    first.X[:] = 0
    assert load_concrete().X[0, 0] == 540


# Tables that are understood

NUMBERS = np.array([[1.0, -2.5, 3e-3], [4.0, 5.0, 60.0]])


@pytest.mark.parametrize(
    "text",
    [
        "a,b,c\n1,-2.5,3e-3\n4,5,60\n",
        "a,b,c\n1,-2.5,3e-3\n4,5,60",
        "a,b,c\r\n1,-2.5,3e-3\r\n4,5,60\r\n",
        "a,b,c\r1,-2.5,3e-3\r4,5,60\r",
        "\ufeffa,b,c\n1,-2.5,3e-3\n4,5,60\n",
        "a;b;c\n1;-2.5;3e-3\n4;5;60\n",
        "a;b;c\n1;-2,5;3e-3\n4;5;60\n",
        "a;b;c\n1;-2,5;3,0e-3\n4,0;5;60\n",
        "a\tb\tc\n1\t-2.5\t3e-3\n4\t5\t60\n",
        "a|b|c\n1|-2.5|3e-3\n4|5|60\n",
        "a b c\n1 -2.5 3e-3\n4 5 60\n",
        "  a   b  c\n  1  -2.5\t3e-3  \n  4  5    60\n",
        "a, b, c\n1, -2.5, 3e-3\n4, 5, 60\n",
        "a ,b ,c\n1 ,-2.5 ,3e-3\n4 ,5 ,60\n",
        '"a","b","c"\n"1","-2.5","3e-3"\n4,5,60\n',
        '"a", "b", "c"\n1, "-2.5", 3e-3\n4, 5, 60\n',
        "# made today, with; care\n\na,b,c\n\n1,-2.5,3e-3\n  # half\n4,5,60\n\n\n",
        "a,b,c,\n1,-2.5,3e-3,\n4,5,60,\n",
        "a,b,c\n1,-2.5,3e-3,\n4,5,60,\n",
        "a,b,c\n1,-2.5,3e-3\n4,5,60\n,,\n,,\n",
    ],
)
def test_with_header(text):
    table = parse_table(text.encode())
    assert table.names == ("a", "b", "c")
    assert table.has_header
    np.testing.assert_array_equal(table.values, NUMBERS)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", " ", "   ", ", "])
def test_without_header(delimiter):
    text = "\n".join(delimiter.join(map(str, row)) for row in NUMBERS)
    table = parse_table(text.encode())
    assert table.names == ("column 1", "column 2", "column 3")
    assert not table.has_header
    np.testing.assert_array_equal(table.values, NUMBERS)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_encodings(encoding):
    table = parse_table("Größe;Höhe\n1;2\n".encode(encoding))
    assert table.names == ("Größe", "Höhe")


@given(
    st.lists(
        st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from([",", ";", "\t", "|", " "]),
    st.sampled_from([["x", "the y", "z, (m/s)"], None]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_is_written_is_read(rows, delimiter, names, end):
    lines = [delimiter.join(map(repr, row)) for row in rows]
    if names:
        lines.insert(0, delimiter.join(f'"{name}"' for name in names))
    table = parse_table(end.join(lines).encode())
    np.testing.assert_array_equal(table.values, rows)
    assert table.delimiter == delimiter
    if names:
        assert table.names == tuple(names)


def test_names_with_blanks_delimiters_and_control_characters():
    text = '"time, s";"first\nline";"a ""b""";\x1b[31mred;\n1;2;3;4;5\n'
    table = parse_table(text.encode())
    assert table.names == ("time, s", "first line", 'a "b"', "[31mred", "column 5")
    np.testing.assert_array_equal(table.values, [[1, 2, 3, 4, 5]])


def test_equal_names_are_told_apart():
    table = parse_table(b"x,y,x\n1,2,3\n")
    assert table.names == ("x (column 1)", "y", "x (column 3)")
    assert find_column(table, "y") == 1
    assert find_column(table, "x (column 3)") == 2
    with pytest.raises(TableError, match=r"more than one column is called 'x': .* 1 and 3"):
        find_column(table, "x")


def test_columns_by_name_and_number():
    table = parse_table(b"a,b,2\n1,2,3\n", header=True)
    assert [find_column(table, c) for c in ("a", "b", 1, "1", -1, "-3", "+3")] == [
        *[0, 1, 0, 0, 2, 0, 2]
    ]
    assert find_column(table, "2") == 2  # a name comes before a number
    for wrong in (0, 4, -4, "99"):
        with pytest.raises(TableError, match=f"no column {wrong}: the file has 3"):
            find_column(table, wrong)
    with pytest.raises(TableError, match="no column 'c'; the columns are 'a', 'b', '2'"):
        find_column(table, "c")
    with pytest.raises(TableError, match="the file has no header; give a number"):
        find_column(parse_table(b"1,2\n3,4\n"), "y")


def test_delimiter_and_header_given():
    assert parse_table(b"1!2\n3!4\n", delimiter="!").values.shape == (2, 2)
    spectrum = b"sample,400,410,420\n1,2,3,4\n"
    assert parse_table(spectrum, header=True).names == ("sample", "400", "410", "420")
    assert parse_table(b"1,2\n3,4\n", header=True).names == ("1", "2")


def test_a_large_table_is_read_quickly(tmp_path):
    values = np.random.default_rng(0).normal(size=(20_000, 5))
    np.savetxt(tmp_path / "large.csv", values, delimiter=",")
    np.testing.assert_array_equal(read_table(tmp_path / "large.csv").values, values)


# Tables that are refused


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "data: no line of data"),
        ("\n# nothing\n\n", "no line of data"),
        ("a,b\n", "a header (line 1) but no row"),
        ("a,b\n1,2\n3,\n", "line 3 (data row 2), column 2 ('b'): the value is missing"),
        ("a,b\n1,2\n,3\n", "line 3 (data row 2), column 1 ('a'): the value is missing"),
        ("a\tb\tc\n1\t\t3\n4\t\t6\n", "column 2 ('b'): the value is missing; 2 such cells"),
        ("a,b\n1,2\n,\n3,4\n", "line 3 (data row 2), column 1 ('a'): the value is missing"),
        ("a,b\n1,NA\n3,4\n", "line 2 (data row 1), column 2 ('b'): the value is missing ('NA')"),
        ("a,b\n1,nan\n3,4\n", "the value is missing ('nan')"),
        ("a,b\n1,?\n3,4\n", "the value is missing ('?')"),
        ("a,b\n# c\n\n1,x1\n3,4\n", "line 4 (data row 1), column 2 ('b'): 'x1' is not a number"),
        ("1,2\n3,four\n", "line 2 (data row 2), column 2: 'four' is not a number"),
        ("1,2,three\n4,5,6\n", "line 1, column 3: 'three' is not a number as others in this line"),
        ("1,two,three\n4,5,six\n", "line 2 (data row 1), column 3 ('three'): 'six' is not"),
        ("a,b\n1,inf\n3,4\n", "'inf' is not finite"),
        ("a,b\n1,1e999\n3,4\n", "'1e999' is not finite"),
        ("a,b\n1,1_000\n3,4\n", "'1_000' is not a number"),
        ("a,b\n1,0x10\n3,4\n", "'0x10' is not a number"),
        ("a,b\n1,true\n3,4\n", "'true' is not a number"),
        ("a,b\n1,2 MPa\n3,4\n", "'2 MPa' is not a number"),
        ('a,b\n1,"1,234"\n3,4\n', "'1,234' is not a number (decimal commas"),
        ("a;b\n1,5;2.5\n3;4\n", "'1,5' has a comma where other numbers have a decimal point"),
        ("a;b\n1,234,567;2\n3;4\n", "'1,234,567' is not a number"),
        ("a\tb\n1,5\t2\n3\t4\n", "'1,5' is not a number (decimal commas"),
        ("a,b,c\n1,2,3\n4,5\n6,7,8\n", "line 3: 2 fields where line 1 has 3 (delimiter: comma)"),
        ("1,2,3\n4,5,6,7\n", "line 2: 4 fields where line 1 has 3"),
        ("a;b\n1;2\n3\n", "line 3: 1 field where line 1 has 2 (delimiter: semicolon)"),
        ('a,b\n1,"2\n3,4\n5,6\n', "is a quotation mark not closed?"),
        ("a,b\n1," + "x" * 100 + "\n", "'" + "x" * 37 + "...' is not a number"),
        ("a,b\n1,\x002\n", "not a text file"),
    ],
)
def test_refusals(text, words):
    with pytest.raises(TableError, match=re.escape(words)) as caught:
        parse_table(text.encode())
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("data")


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_table(tmp_path / "none.csv")


@given(st.binary(max_size=200) | st.text("0123456789.,;|\t \n\"'abe-#\r", max_size=60))
def test_any_file_is_read_or_refused(data):
    data = data if isinstance(data, bytes) else data.encode()
    try:
        table = parse_table(data)
    except TableError:
        return
    assert np.isfinite(table.values).all()
    assert table.values.shape[1] == len(table.names) == len(set(table.names))


# Standardizing


def test_standardized_columns():
    A = np.random.default_rng(0).normal([1e6, -3.0], [5.0, 1e-4], size=(50, 2))
    s = Standardizer.fit(A)
    np.testing.assert_allclose(s.transform(A).mean(axis=0), 0, atol=1e-10)
    np.testing.assert_allclose(s.transform(A).std(axis=0), 1, rtol=1e-10)
    np.testing.assert_allclose(s.inverse(s.transform(A)), A, rtol=1e-14)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e100, 1e-300])
def test_constant_columns_become_zero(value):
    s = Standardizer.fit(np.full((7, 1), value))
    assert s.scale[0] == 1
    np.testing.assert_array_equal(s.transform(np.full((7, 1), value)), 0)


def test_columns_that_are_constant_but_for_rounding():
    assert Standardizer.fit([[0.1 + 0.2], [0.3], [0.3]]).scale[0] == 1


@pytest.mark.parametrize("A", [[], [1.0], np.zeros((0, 2)), [[np.nan]], [[np.inf]], [[1e200]]])
def test_what_can_not_be_standardized(A):
    with pytest.raises(ValueError, match="A: expected"):
        Standardizer.fit(A)


def test_jacobian_in_the_units_of_the_data():
    """For y = B x + c the standardized Jacobian is s_x B / s_t."""
    rng = np.random.default_rng(0)
    B = rng.normal(size=(2, 3))
    X = rng.normal(size=(20, 3)) * [1.0, 10.0, 0.1]
    inputs, targets = Standardizer.fit(X), Standardizer.fit(X @ B.T)
    J = np.broadcast_to(B * inputs.scale / targets.scale[:, np.newaxis], (20, 2, 3))
    got = unscale_jacobian(J, inputs, targets)
    assert got.shape == (20, 2, 3)
    np.testing.assert_allclose(got, np.broadcast_to(B, got.shape), rtol=1e-14)
