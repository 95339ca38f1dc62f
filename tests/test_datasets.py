"""The packaged data, and CSV files of every make."""

from __future__ import annotations

import codecs
import os
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlpcore.datasets import load_concrete
from mlpcore.tables import CsvColumns, TableError, find_column, read_columns


def parse(data, **given):
    """The table, and all of it as numbers."""
    table = CsvColumns.parse(data, "data", **given)
    return table, table.numbers(range(len(table.names)))


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
    table, values = parse(text.encode())
    assert table.names == ("a", "b", "c")
    assert table.has_header
    np.testing.assert_array_equal(values, NUMBERS)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", " ", "   ", ", "])
def test_without_header(delimiter):
    text = "\n".join(delimiter.join(map(str, row)) for row in NUMBERS)
    table, values = parse(text.encode())
    assert table.names == ("column 1", "column 2", "column 3")
    assert not table.has_header
    np.testing.assert_array_equal(values, NUMBERS)


@pytest.mark.parametrize(
    "encoding",
    [
        *("utf-8", "utf-8-sig", "latin-1", "utf-16", "utf-16-le", "utf-16-be"),
        *("utf-32", "utf-32-le", "utf-32-be"),
    ],
)
def test_encodings(encoding):
    table, values = parse("Größe;Höhe\n1;2\n".encode(encoding))
    assert table.names == ("Größe", "Höhe")
    np.testing.assert_array_equal(values, [[1, 2]])


@pytest.mark.parametrize("mark", ["BOM_UTF16_BE", "BOM_UTF32_BE"])
def test_marks_of_big_endian(mark):
    encoding = mark[4:7].lower() + "-" + mark[7:9] + "-be"
    table, _ = parse(getattr(codecs, mark) + "a,b\n1,2\n".encode(encoding))
    assert table.names == ("a", "b")


def test_a_wide_encoding_is_found_by_the_beginning_of_a_long_file():
    name = "x" + "yz\U0001d465" * 600  # in UTF-16 a character of four bytes runs over byte 4096
    for encoding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        table, _ = parse(f"{name},b\n1,2\n".encode(encoding))
        assert table.names == (name, "b")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_damaged_wide_encoding_is_named(encoding):
    data = "a,b\n1,2\n".encode(encoding)[:-1]
    with pytest.raises(TableError, match=f"begins as a text in {encoding.upper()} but is damaged"):
        parse(data)


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
    table, values = parse(end.join(lines).encode())
    np.testing.assert_array_equal(values, rows)
    assert table.delimiter == delimiter
    if names:
        assert table.names == tuple(names)


def test_names_with_blanks_delimiters_and_control_characters():
    text = '"time, s";"first\nline";"a ""b""";\x1b[31mred;\n1;2;3;4;5\n'
    table, values = parse(text.encode())
    assert table.names == ("time, s", "first line", 'a "b"', "[31mred", "column 5")
    np.testing.assert_array_equal(values, [[1, 2, 3, 4, 5]])


def test_equal_names_are_told_apart():
    table, _ = parse(b"x,y,x\n1,2,3\n")
    assert table.names == ("x (column 1)", "y", "x (column 3)")
    assert find_column(table, "y") == 1
    assert find_column(table, "x (column 3)") == 2
    with pytest.raises(TableError, match=r"more than one column is called 'x': .* 1 and 3"):
        find_column(table, "x")


def test_columns_by_name_and_number():
    table, _ = parse(b"a,b,2\n1,2,3\n", header=True)
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
        find_column(parse(b"1,2\n3,4\n")[0], "y")


def test_delimiter_and_header_given():
    assert parse(b"1!2\n3!4\n", delimiter="!")[1].shape == (2, 2)
    spectrum = b"sample,400,410,420\n1,2,3,4\n"
    assert parse(spectrum, header=True)[0].names == ("sample", "400", "410", "420")
    assert parse(b"1,2\n3,4\n", header=True)[0].names == ("1", "2")


@pytest.mark.timeout(20)
def test_a_large_table_is_read_quickly(tmp_path):
    values = np.random.default_rng(0).normal(size=(20_000, 5))
    np.savetxt(tmp_path / "large.csv", values, delimiter=",")
    table = read_columns(tmp_path / "large.csv")
    np.testing.assert_array_equal(table.numbers(range(5)), values)


@pytest.mark.timeout(60)
def test_many_columns():
    """Time in proportion to the cells: to compare each with each would take minutes."""
    numbers = np.arange(1_200_000).reshape(12, 100_000)
    rows = "\n".join(",".join(map(str, row)) for row in numbers.tolist())
    for header in ([f"x{i}" for i in range(100_000)], ["x"] * 100_000):
        table, values = parse((",".join(header) + "\n" + rows).encode())
        assert len(set(table.names)) == 100_000
        np.testing.assert_array_equal(values, numbers)


@pytest.mark.timeout(60)
def test_many_delimiters_at_the_end():
    lines = [f"{i},{i + 1}" + "," * 50_000 for i in range(15)]
    _, values = parse("\n".join(lines).encode())
    np.testing.assert_array_equal(values, [[i, i + 1] for i in range(15)])


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("1,2,,\n3,4,,\n", (2, 2)),
        ("a,b,,\n1,2,,5\n", None),  # a column without a name, and a value is missing
        ("a,b,,\n1,2,5,\n", (1, 3)),
        ("a,b,\n1,2,,,\n", (1, 2)),
        ("a,b\n1,2,,3\n", None),
    ],
)
def test_empty_columns_at_the_end_are_left_out(text, shape):
    if shape is None:
        with pytest.raises(TableError):
            parse(text.encode())
    else:
        assert parse(text.encode())[1].shape == shape


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
        parse(text.encode())
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("data")


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_columns(tmp_path / "none.csv")


@pytest.mark.skipif(os.name != "posix", reason="devices")
@pytest.mark.timeout(30)  # as opened they would block or never end
def test_no_pipe_or_device_is_read(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", "/dev/zero"):
        with pytest.raises(TableError, match=f"^{path}: not a regular file$"):
            read_columns(path)


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="open files by number")
def test_a_pipe_that_is_open_already_is_read():
    there, here = os.pipe()
    try:
        os.write(here, b"a,b\n1,2\n")
        os.close(here)
        assert read_columns(f"/dev/fd/{there}").names == ("a", "b")
    finally:
        os.close(there)


@given(st.binary(max_size=200) | st.text("0123456789.,;|\t \n\"'abe-#\r", max_size=60))
def test_any_file_is_read_or_refused(data):
    data = data if isinstance(data, bytes) else data.encode()
    try:
        table, values = parse(data)
    except TableError:
        return
    assert np.isfinite(values).all()
    assert values.shape[1] == len(table.names) == len(set(table.names))
