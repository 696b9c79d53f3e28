"""Single values as the reference loader reads and prints them."""

from __future__ import annotations

from typing import Any

import pytest

from agent.compose import scalars

TAG = "tag:yaml.org,2002:"


@pytest.mark.parametrize(
    ("text", "tag", "plain", "kind", "value"),
    [
        ("true", None, True, "bool", "True"),
        ("True", None, True, "bool", "True"),
        ("TRUE", None, True, "bool", "True"),
        ("tRUE", None, True, "str", "tRUE"),
        ("false", None, True, "bool", "False"),
        ("False", None, True, "bool", "False"),
        ("FALSE", None, True, "bool", "False"),
        ("yes", None, True, "str", "yes"),
        ("", None, True, "NoneType", "None"),
        ("~", None, True, "NoneType", "None"),
        ("null", None, True, "NoneType", "None"),
        ("Null", None, True, "NoneType", "None"),
        ("NULL", None, True, "NoneType", "None"),
        ("nULL", None, True, "str", "nULL"),
        (".inf", None, True, "float", "inf"),
        (".Inf", None, True, "float", "inf"),
        (".INF", None, True, "float", "inf"),
        ("+.inf", None, True, "float", "inf"),
        ("+.Inf", None, True, "float", "inf"),
        ("+.INF", None, True, "float", "inf"),
        ("-.inf", None, True, "float", "-inf"),
        ("-.Inf", None, True, "float", "-inf"),
        ("-.INF", None, True, "float", "-inf"),
        ("-0", None, True, "float", "-0.0"),
        ("-0.0", None, True, "float", "-0.0"),
        ("0", None, True, "int", "0"),
        ("00", None, True, "int", "0"),
        ("+0", None, True, "int", "0"),
        ("7", None, True, "int", "7"),
        ("-7", None, True, "int", "-7"),
        ("+7", None, True, "int", "7"),
        ("0777", None, True, "int", "511"),
        ("0o777", None, True, "int", "511"),
        ("0O17", None, True, "int", "15"),
        ("08", None, True, "float", "8.0"),
        ("0x1F", None, True, "int", "31"),
        ("0X1f", None, True, "int", "31"),
        ("-0x10", None, True, "int", "-16"),
        ("0b101", None, True, "int", "5"),
        ("0B11", None, True, "int", "3"),
        ("-0b1", None, True, "int", "-1"),
        ("+0o7", None, True, "int", "7"),
        ("1_000", None, True, "int", "1000"),
        ("0x_f", None, True, "int", "15"),
        ("1_0.5", None, True, "float", "10.5"),
        ("._5", None, True, "str", "._5"),
        (".5", None, True, "float", "0.5"),
        ("-.5", None, True, "float", "-0.5"),
        ("5.", None, True, "float", "5.0"),
        ("1e3", None, True, "float", "1000.0"),
        ("1E-2", None, True, "float", "0.01"),
        ("1.5e+2", None, True, "float", "150.0"),
        ("1e999", None, True, "str", "1e999"),
        ("9223372036854775807", None, True, "int", "9223372036854775807"),
        ("-9223372036854775808", None, True, "int", "-9223372036854775808"),
        ("-9223372036854775809", None, True, "float", "-9.223372036854776e+18"),
        ("18446744073709551615", None, True, "int", "18446744073709551615"),
        ("18446744073709551616", None, True, "float", "1.8446744073709552e+19"),
        (
            "999999999999999999999999999999999999999999999999999999999999999999999",
            None,
            True,
            "float",
            "1e+69",
        ),
        (
            "9999999999999999999999999999999999999999999999999999999999999999999999",
            None,
            True,
            "float",
            "1e+70",
        ),
        (
            "11111111111111111111111111111111111111111111111111111111111111111111111",
            None,
            True,
            "float",
            "1.111111111111111e+70",
        ),
        ("000000000000000000000000000000000000000000000000000000000000000000007", None, True, "int", "7"),
        (
            "0000000000000000000000000000000000000000000000000000000000000000000007",
            None,
            True,
            "float",
            "7.0",
        ),
        ("12:30", None, True, "str", "12:30"),
        ("80:80", None, True, "str", "80:80"),
        ("2001-01-02", None, True, "Timestamp", "2001-01-02 00:00:00 +0000 UTC"),
        ("2001-1-2", None, True, "Timestamp", "2001-01-02 00:00:00 +0000 UTC"),
        ("2001-13-02", None, True, "str", "2001-13-02"),
        ("2001-02-30", None, True, "str", "2001-02-30"),
        ("2001-01-02T03:04:05Z", None, True, "Timestamp", "2001-01-02 03:04:05 +0000 UTC"),
        ("2001-1-2t3:4:5.1200Z", None, True, "Timestamp", "2001-01-02 03:04:05.12 +0000 UTC"),
        ("2001-01-02T03:04:05+02:00", None, True, "Timestamp", "2001-01-02 03:04:05 +0200 +0200"),
        ("2001-01-02T03:04:05-00:00", None, True, "Timestamp", "2001-01-02 03:04:05 +0000 UTC"),
        ("2001-01-02T03:04:05+00:00", None, True, "Timestamp", "2001-01-02 03:04:05 +0000 UTC"),
        ("2001-01-02 03:04:05", None, True, "Timestamp", "2001-01-02 03:04:05 +0000 UTC"),
        ("2001-01-02 23:59:59.50", None, True, "Timestamp", "2001-01-02 23:59:59.5 +0000 UTC"),
        ("2001-01-02 24:00:00", None, True, "str", "2001-01-02 24:00:00"),
        ("2001-01-02 03:60:00", None, True, "str", "2001-01-02 03:60:00"),
        ("2001-01-02 03:04:60", None, True, "str", "2001-01-02 03:04:60"),
        ("2001-01-02T03:04:05", None, True, "str", "2001-01-02T03:04:05"),
        ("2001-", None, True, "str", "2001-"),
        ("2001-x", None, True, "str", "2001-x"),
        (".", None, True, "str", "."),
        ("-", None, True, "str", "-"),
        ("+x", None, True, "str", "+x"),
        ("1x", None, True, "str", "1x"),
        ("abc", None, True, "str", "abc"),
        ("0o8", None, True, "str", "0o8"),
        ("0b2", None, True, "str", "0b2"),
        ("1", None, False, "str", "1"),
        ("true", None, False, "str", "true"),
        ("1", TAG + "int", False, "int", "1"),
        ("0x10", TAG + "int", True, "int", "16"),
        ("1", TAG + "float", True, "float", "1.0"),
        ("1.5", TAG + "float", True, "float", "1.5"),
        ("true", TAG + "bool", True, "bool", "True"),
        ("~", TAG + "null", True, "NoneType", "None"),
        ("", TAG + "null", True, "NoneType", "None"),
        ("1", TAG + "str", True, "str", "1"),
        ("aGk=", TAG + "binary", True, "str", "hi"),
        ("/w==", TAG + "binary", True, "str", "�"),
        ("1", "!mine", True, "str", "1"),
        ("1", TAG + "seq", True, "str", "1"),
    ],
)
def test_a_scalar_has_the_type_that_yaml_gives_it(
    text: str, tag: str | None, plain: bool, kind: str, value: str
) -> None:
    """A scalar must become the value that the reference loader reads, of the same type."""
    found = scalars.resolve(text, tag, plain)
    assert (type(found).__name__, str(found)) == (kind, value)


@pytest.mark.parametrize(
    ("text", "tag", "message"),
    [
        ("1.5", TAG + "int", "'1.5' does not fit the tag !!int"),
        ("x", TAG + "int", "'x' does not fit the tag !!int"),
        ("x", TAG + "float", "'x' does not fit the tag !!float"),
        ("1", TAG + "bool", "'1' does not fit the tag !!bool"),
        ("x", TAG + "null", "'x' does not fit the tag !!null"),
        ("a", TAG + "binary", "the value of !!binary is not base64"),
        ("2001-01-02", TAG + "int", "'2001-01-02' does not fit the tag !!int"),
    ],
)
def test_a_scalar_that_does_not_fit_its_tag_is_refused(text: str, tag: str, message: str) -> None:
    """A tag that the value does not fit must be refused with the reason."""
    with pytest.raises(ValueError) as caught:
        scalars.resolve(text, tag, True)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (None, "<nil>"),
        (1, "1"),
        (-5, "-5"),
        (1.5, "1.5"),
        (2.0, "2"),
        ("x", "x"),
        ("", ""),
        ([1, "a", None], "[1 a <nil>]"),
        ([], "[]"),
        ({}, "map[]"),
        ({"b": 1, "a": [True]}, "map[a:[true] b:1]"),
        ({"a": {"b": 2.5, "c": None}, "z": "q"}, "map[a:map[b:2.5 c:<nil>] z:q]"),
    ],
)
def test_values_are_shown_as_go_prints_them(value: Any, text: str) -> None:
    """A value that becomes text must read as Go's default format."""
    assert scalars.show(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.5, "1.5"),
        (-2.0, "-2"),
        (100.0, "100"),
        (123456.0, "123456"),
        (1000000.0, "1e+06"),
        (1200000.0, "1.2e+06"),
        (1230000.0, "1.23e+06"),
        (0.0001, "0.0001"),
        (1e-05, "1e-05"),
        (1.2e-05, "1.2e-05"),
        (-1.2e-05, "-1.2e-05"),
        (1e21, "1e+21"),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
        (float("nan"), "NaN"),
        (12.0, "12"),
        (-12.5, "-12.5"),
        (0.012, "0.012"),
        (0.12, "0.12"),
        (123456.7, "123456.7"),
        (1234567.8, "1.2345678e+06"),
        (-0.5, "-0.5"),
        (1.25, "1.25"),
        (999999.0, "999999"),
        (12345678.0, "1.2345678e+07"),
        (0.00012345, "0.00012345"),
        (1.2345e-05, "1.2345e-05"),
        (1e100, "1e+100"),
        (1.5e-10, "1.5e-10"),
        (-1e21, "-1e+21"),
        (10.0, "10"),
        (120.0, "120"),
        (0.1, "0.1"),
    ],
)
def test_floats_are_shown_as_go_prints_them(value: float, text: str) -> None:
    """A float must be written with Go's digits and exponent."""
    assert scalars.show_float(value) == text


@pytest.mark.parametrize(
    ("text", "days", "nanoseconds"),
    [
        ("0", True, 0),
        ("-0", True, 0),
        ("+0", True, 0),
        ("1s", True, 1000000000),
        ("1m30s", True, 90000000000),
        ("1h2m3s", True, 3723000000000),
        ("1.5s", True, 1500000000),
        (".5s", True, 500000000),
        ("1.s", True, 1000000000),
        ("2d", True, 172800000000000),
        ("1w", True, 604800000000000),
        ("-1m", True, -60000000000),
        ("+1m", True, 60000000000),
        ("1us", True, 1000),
        ("1µs", True, 1000),
        ("1μs", True, 1000),
        ("1ns", True, 1),
        ("1ms", True, 1000000),
        ("1.5ns", True, 1),
        ("0.3us", True, 300),
        ("1h1h", True, 7200000000000),
        ("9223372036s", True, 9223372036000000000),
        ("1.0000000000000000009s", True, 1000000000),
        ("0.1234567891234567891234s", True, 123456789),
        ("00s", True, 0),
        ("106751d23h", True, 9223369200000000000),
        ("1w1d1h1m1s1ms1us1ns", True, 694861001001001),
        ("1h", False, 3600000000000),
    ],
)
def test_a_duration_is_read_in_nanoseconds(text: str, days: bool, nanoseconds: int) -> None:
    """A duration must be read as the reference loader reads it."""
    assert scalars.duration_ns(text, days) == nanoseconds


@pytest.mark.parametrize(
    ("text", "days", "message"),
    [
        ("9223372037s", True, "the duration '9223372037s' is too long"),
        ("9999999999999h", True, "the duration '9999999999999h' is too long"),
        ("-9999999999999h", True, "the duration '-9999999999999h' is too long"),
        ("", True, "'' is not a duration"),
        ("x", True, "'x' is not a duration"),
        ("1", True, "'1' is not a duration"),
        ("-", True, "'-' is not a duration"),
        ("1 s", True, "'1 s' is not a duration: unknown unit ' s'"),
        ("1y", True, "'1y' is not a duration: unknown unit 'y'"),
        ("s", True, "'s' is not a duration"),
        ("1m30", True, "'1m30' is not a duration"),
        ("5 minutes", True, "'5 minutes' is not a duration: unknown unit ' minutes'"),
        ("1.2.3s", True, "'1.2.3s' is not a duration"),
        ("1d", False, "'1d' is not a duration: unknown unit 'd'"),
        ("1w", False, "'1w' is not a duration: unknown unit 'w'"),
    ],
)
def test_what_is_no_duration_is_refused(text: str, days: bool, message: str) -> None:
    """A text that is no duration must be refused with the reason."""
    with pytest.raises(ValueError) as caught:
        scalars.duration_ns(text, days)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (999, "999ns"),
        (1000, "1µs"),
        (1500, "1.5µs"),
        (999999, "999.999µs"),
        (1000000, "1ms"),
        (1500000, "1.5ms"),
        (999999999, "999.999999ms"),
        (1000000000, "1s"),
        (1500000000, "1.5s"),
        (59000000000, "59s"),
        (60000000000, "1m0s"),
        (90000000000, "1m30s"),
        (3600000000000, "1h0m0s"),
        (3661000000005, "1h1m1.000000005s"),
        (86400000000000, "24h0m0s"),
        (-1, "-1ns"),
        (-1500, "-1.5µs"),
        (-90000000000, "-1m30s"),
        (1001000000, "1.001s"),
        (1000000001, "1.000000001s"),
        (12345678, "12.345678ms"),
        (9000000000000, "2h30m0s"),
    ],
)
def test_a_duration_is_shown_as_go_prints_it(nanoseconds: int, text: str) -> None:
    """A duration must be written as Go writes it."""
    assert scalars.show_duration(nanoseconds) == text


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1", 1),
        ("-1", -1),
        ("+5", 5),
        ("1b", 1),
        ("1B", 1),
        ("1k", 1024),
        ("1K", 1024),
        ("1kb", 1024),
        ("1KiB", 1024),
        ("1kib", 1024),
        ("1.5g", 1610612736),
        ("64 MiB", 67108864),
        ("1t", 1099511627776),
        ("1p", 1125899906842624),
        ("1pb", 1125899906842624),
        ("1.5", 1),
        ("+1.5k", 1536),
        (".5k", 512),
        ("5.k", 5120),
        ("1e3", 1000),
        ("1e3k", 1024000),
        ("1E3", 1000),
        ("1E-1k", 102),
        ("1 ", 1),
        ("8191p", 9222246136947933184),
        ("1 kb", 1024),
        ("1mb", 1048576),
        ("1gib", 1073741824),
        ("1e-3k", 1),
    ],
)
def test_a_size_is_read_in_bytes(text: str, size: int) -> None:
    """A size must be read with units that are powers of 1024."""
    assert scalars.parse_bytes(text) == size


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("64  m", "'64  m' is not a size"),
        ("1e", "'1e' is not a size: unknown unit 'e'"),
        ("1x", "'1x' is not a size: unknown unit 'x'"),
        ("1kx", "'1kx' is not a size: unknown unit 'kx'"),
        ("1bb", "'1bb' is not a size: unknown unit 'bb'"),
        ("-1k", "'-1k' is not a size"),
        ("", "'' is not a size"),
        ("k", "'k' is not a size"),
        ("1..2m", "'1..2m' is not a size"),
        ("8192p", "the size '8192p' is too large"),
        ("9999999999999999999999999999999", "the size '9999999999999999999999999999999' is too large"),
        ("1ki", "'1ki' is not a size: unknown unit 'ki'"),
        (" 1k", "' 1k' is not a size"),
    ],
)
def test_what_is_no_size_is_refused(text: str, message: str) -> None:
    """A text that is no size must be refused with the reason."""
    with pytest.raises(ValueError) as caught:
        scalars.parse_bytes(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("a", ["a"]),
        ("a b", ["a", "b"]),
        ("  a\tb\r\nc ", ["a", "b", "c"]),
        ("a 'b c' d", ["a", "b c", "d"]),
        ('a "b c" d', ["a", "b c", "d"]),
        ("a\\ b", ["a b"]),
        ("'a\\b'", ["a\\b"]),
        ('"a\\"b"', ['a"b']),
        ("''", [""]),
        ('""', [""]),
        ("a''b", ["ab"]),
        ("`a b`", ["`a b`"]),
        ("a`b c`d", ["a`b c`d"]),
        ("$(a b)", ["$(a b)"]),
        ('"$(a b)"', ["$(a b)"]),
        ("a ; b", ["a"]),
        ("a | b", ["a"]),
        ("a & b", ["a"]),
        ("a < b", ["a"]),
        ("a > b", ["a"]),
        ("a 2> b", ["a"]),
        ("a 2>b", ["a"]),
        ("a x> b", ["a", "x"]),
        ("12> b", []),
        ("a;b", ["a"]),
        ("'a;b'", ["a;b"]),
        ('"a|b" c', ["a|b", "c"]),
        ("a\\;b", ["a;b"]),
        ("'(a)'", ["(a)"]),
        ('"(a)"', ["(a)"]),
        ("`(a)`", ["`(a)`"]),
        ("'a'b\"c\"d", ["abcd"]),
        ('"\'"', ["'"]),
        ("'\"'", ['"']),
        ("$('\"`)", ["$('\"`)"]),
        (">a", []),
        ("a >", ["a"]),
        ("0> x", []),
        ("9> x y", []),
        ("a \"b\" 'c'", ["a", "b", "c"]),
        ("'\"' a", ['"', "a"]),
        ("\\'a b", ["'a", "b"]),
    ],
)
def test_a_command_line_is_split_into_words(line: str, words: list[str]) -> None:
    """A command line must be split as the reference loader splits it."""
    assert scalars.split_words(line) == words


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("x$(a 'b) c'", "a quote or bracket is not closed"),
        ("(a)", "there is a bracket outside quotes"),
        ("a (b)", "there is a bracket outside quotes"),
        ("a $(b (c))", "there is a bracket outside quotes"),
        ("'a", "a quote or bracket is not closed"),
        ('"a', "a quote or bracket is not closed"),
        ("a\\", "a quote or bracket is not closed"),
        ("`a", "a quote or bracket is not closed"),
        ("$(a", "a quote or bracket is not closed"),
        (")", "a quote or bracket is not closed"),
        ("a)b", "a quote or bracket is not closed"),
        ("`'\"(`", "a quote or bracket is not closed"),
        ("$((a))", "there is a bracket outside quotes"),
    ],
)
def test_a_command_line_that_is_not_closed_is_refused(line: str, message: str) -> None:
    """A command line with an open quote or a bracket must be refused with the reason."""
    with pytest.raises(ValueError) as caught:
        scalars.split_words(line)
    assert str(caught.value) == message
