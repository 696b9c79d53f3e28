"""Environment files in Compose's dialect."""

from __future__ import annotations

import pytest

from agent.compose import ComposeError, dotenv
from agent.compose.errors import LoadProblems
from agent.compose.tree import Map
from tests.unit.compose.loading import outline


def parse(text: str | bytes, known: Map) -> list[str]:
    """Adds the variables of a file to `known`; its warnings."""
    problems = LoadProblems()
    data = text.encode() if isinstance(text, str) else text
    dotenv.parse_dotenv("e.env", data, {"OUT": "out", "E": ""}.get, problems, known)
    return [str(warning) for warning in problems.warnings]


@pytest.mark.parametrize(
    ("text", "variables", "warnings"),
    [
        ("A=1", "{A@e.env:1:0 '1'}@:0:0", []),
        ("A=1\n", "{A@e.env:1:0 '1'}@:0:0", []),
        ("\n\n  A=1\nB = 2 \n", "{A@e.env:3:0 '1', B@e.env:4:0 '2'}@:0:0", []),
        ("A: 1", "{A@e.env:1:0 '1'}@:0:0", []),
        ("A:1", "{A@e.env:1:0 '1'}@:0:0", []),
        ("export A=1", "{A@e.env:1:0 '1'}@:0:0", []),
        ("export\t A=1", "{A@e.env:1:0 '1'}@:0:0", []),
        ("exportA=1", "{exportA@e.env:1:0 '1'}@:0:0", []),
        ("A", "{}@:0:0", []),
        ("OUT", "{OUT@e.env:1:0 'out'}@:0:0", []),
        ("OUT\nB=1", "{OUT@e.env:1:0 'out', B@e.env:2:0 '1'}@:0:0", []),
        ("A=", "{A@e.env:1:0 ''}@:0:0", []),
        ("A= # c", "{A@e.env:1:0 '# c'}@:0:0", []),
        ("A=x # c", "{A@e.env:1:0 'x'}@:0:0", []),
        ("A=x#c", "{A@e.env:1:0 'x#c'}@:0:0", []),
        ("# c\nA=1", "{A@e.env:2:0 '1'}@:0:0", []),
        ("#c", "{}@:0:0", []),
        ("A=1\r\nB=2\r\n", "{A@e.env:1:0 '1', B@e.env:2:0 '2'}@:0:0", []),
        ("A='x $B # y'", "{A@e.env:1:0 'x $B # y'}@:0:0", []),
        ("A='it\\'s'", '{A@e.env:1:0 "it\'s"}@:0:0', []),
        ('A="x\\ny"', "{A@e.env:1:0 'x\\ny'}@:0:0", []),
        ('A="a\\tb\\rc\\fd\\ve\\af\\bg"', "{A@e.env:1:0 'a\\tb\\rc\\x0cd\\x0be\\x07f\\x08g'}@:0:0", []),
        ('A="\\c"', "{A@e.env:1:0 '\\\\c'}@:0:0", []),
        ('A="\\q"', "{A@e.env:1:0 '\\\\q'}@:0:0", []),
        ('A="\\\\"', "{A@e.env:1:0 '\\\\'}@:0:0", []),
        ('A="q\\"q"', "{A@e.env:1:0 'q\"q'}@:0:0", []),
        ('A="\\$OUT"', "{A@e.env:1:0 '$OUT'}@:0:0", []),
        ('A="\\101\\0101\\060\\00"', "{A@e.env:1:0 '\\\\101A\\\\60\\\\0'}@:0:0", []),
        ('A="\\0101\\0011\\0400\\0777\\089\\01"', "{A@e.env:1:0 'A\\t\\\\400\\\\777\\\\89\\\\1'}@:0:0", []),
        ('A="\\0"', "{A@e.env:1:0 '\\\\'}@:0:0", []),
        ('A="x\ny"\nB=2', "{A@e.env:1:0 'x\\ny', B@e.env:3:0 '2'}@:0:0", []),
        ("A='x\ny'\nB=2", "{A@e.env:1:0 'x\\ny', B@e.env:3:0 '2'}@:0:0", []),
        ('A="$OUT ${OUT}"', "{A@e.env:1:0 'out out'}@:0:0", []),
        ("A=$OUT", "{A@e.env:1:0 'out'}@:0:0", []),
        (
            "A=$NO",
            "{A@e.env:1:0 ''}@:0:0",
            ["e.env:1: the variable NO is not set; it is replaced by an empty string"],
        ),
        (
            '\nA="\n$NO"\nB=$NO',
            "{A@e.env:2:0 '\\n', B@e.env:4:0 ''}@:0:0",
            [
                "e.env:2: the variable NO is not set; it is replaced by an empty string",
                "e.env:4: the variable NO is not set; it is replaced by an empty string",
            ],
        ),
        ("A=1\nB=$A$A\nC=${B}", "{A@e.env:1:0 '1', B@e.env:2:0 '11', C@e.env:3:0 '11'}@:0:0", []),
        ("A=$$x", "{A@e.env:1:0 '$x'}@:0:0", []),
        ("A=a\\nb", "{A@e.env:1:0 'a\\\\nb'}@:0:0", []),
        ("A_.-[]9=1", "{A_.-[]9@e.env:1:0 '1'}@:0:0", []),
        ("É=1", "{É@e.env:1:0 '1'}@:0:0", []),
        ("A=1 \t\nB='2' C=3", "{A@e.env:1:0 '1', B@e.env:2:0 '2', C@e.env:2:0 '3'}@:0:0", []),
        ('A="1"B=2', "{A@e.env:1:0 '1', B@e.env:1:0 '2'}@:0:0", []),
        ("A=x\n\n\nB=y", "{A@e.env:1:0 'x', B@e.env:4:0 'y'}@:0:0", []),
        ("A==b", "{A@e.env:1:0 '=b'}@:0:0", []),
        ("A=b=c", "{A@e.env:1:0 'b=c'}@:0:0", []),
        ("OUT=mine\nB=$OUT", "{OUT@e.env:1:0 'mine', B@e.env:2:0 'out'}@:0:0", []),
        ("E=1\nB=$E", "{E@e.env:1:0 '1', B@e.env:2:0 ''}@:0:0", []),
        ("A=1\nA=2", "{A@e.env:2:0 '2'}@:0:0", []),
        ("A=\xa0x\xa0", "{A@e.env:1:0 'x'}@:0:0", []),
        ("A='x'# c\nB=1", "{A@e.env:1:0 'x', B@e.env:2:0 '1'}@:0:0", []),
        ("  ", "{}@:0:0", []),
        ("A=\n\tB=1", "{A@e.env:1:0 '', B@e.env:2:0 '1'}@:0:0", []),
        ("A", "{}@:0:0", []),
        ("A=1\nB", "{A@e.env:1:0 '1'}@:0:0", []),
        ("A=X", "{A@e.env:1:0 'X'}@:0:0", []),
        ("OUT \t", "{OUT@e.env:1:0 'out'}@:0:0", []),
        ("A=1\n#c\n\nB=2 # d\n  # e", "{A@e.env:1:0 '1', B@e.env:4:0 '2'}@:0:0", []),
        ("A=1\nOUT", "{A@e.env:1:0 '1', OUT@e.env:2:0 'out'}@:0:0", []),
    ],
)
def test_variables_are_read_with_their_places(text: str, variables: str, warnings: list[str]) -> None:
    """A file must give the variables that Compose reads, each at its line, and name those not set."""
    known = Map()
    assert parse(text, known) == warnings
    assert outline(known) == variables


@pytest.mark.parametrize(
    ("text", "message", "variables"),
    [
        ("A B=1", "e.env:1: the name 'A B' contains a space | write it as NAME=value", "{}@:0:0"),
        (
            "A!=1",
            (
                "e.env:1: the character '!' is not allowed in the name 'A!=1' | use only letters, "
                "digits, _, . and - in names"
            ),
            "{}@:0:0",
        ),
        (
            "x\nA!B\nC=1",
            (
                "e.env:2: the character '!' is not allowed in the name 'A!B' | use only letters, "
                "digits, _, . and - in names"
            ),
            "{}@:0:0",
        ),
        (
            "\nA=1\nB%=2\nC=3",
            (
                "e.env:3: the character '%' is not allowed in the name 'B%=2' | use only letters, "
                "digits, _, . and - in names"
            ),
            "{A@e.env:2:0 '1'}@:0:0",
        ),
        (
            "A='x",
            ('e.env:1: the quote in "\'x" is not closed | close it, or write the value without quotes'),
            "{}@:0:0",
        ),
        (
            '\nA="x\ny',
            ("e.env:2: the quote in '\"x' is not closed | close it, or write the value without quotes"),
            "{}@:0:0",
        ),
        (
            "A=1\nB=${",
            ("e.env:2: `${` is not followed by a name | write $$ for a dollar sign, or use single quotes"),
            "{A@e.env:1:0 '1'}@:0:0",
        ),
        (
            "A=${NO:?need}",
            ("e.env:1: the variable NO is required: need | write $$ for a dollar sign, or use single quotes"),
            "{}@:0:0",
        ),
        (
            "A=1\nB='x\nC=2",
            ('e.env:2: the quote in "\'x" is not closed | close it, or write the value without quotes'),
            "{A@e.env:1:0 '1'}@:0:0",
        ),
        (
            'A=1\n\nB="a\nb ${X"',
            (
                "e.env:3: `${X` is not closed, or has an unknown operator | write $$ for a dollar "
                "sign, or use single quotes"
            ),
            "{A@e.env:1:0 '1'}@:0:0",
        ),
        ("A-B C: 1", "e.env:1: the name 'A-B C' contains a space | write it as NAME=value", "{}@:0:0"),
        (
            "=1\n$=2",
            (
                "e.env:2: the character '$' is not allowed in the name '$=2' | use only letters, "
                "digits, _, . and - in names"
            ),
            "{@e.env:1:0 '1'}@:0:0",
        ),
        (
            "A=${B:?}\n",
            "e.env:1: the variable B is required | write $$ for a dollar sign, or use single quotes",
            "{}@:0:0",
        ),
        ("export A B=1", "e.env:1: the name 'A B' contains a space | write it as NAME=value", "{}@:0:0"),
        (
            "A=1\n@",
            (
                "e.env:2: the character '@' is not allowed in the name '@' | use only letters, "
                "digits, _, . and - in names"
            ),
            "{A@e.env:1:0 '1'}@:0:0",
        ),
        (
            "A b!=1\nC=2",
            (
                "e.env:1: the character '!' is not allowed in the name 'A b!=1' | use only letters, "
                "digits, _, . and - in names"
            ),
            "{}@:0:0",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_at_its_line(text: str, message: str, variables: str) -> None:
    """A mistake must be told with its line and a remedy, and what stands above it must count."""
    known = Map()
    with pytest.raises(ComposeError) as caught:
        parse(text, known)
    assert f"{caught.value} | {caught.value.hint}" == message
    assert outline(known) == variables


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("A=1", "{A@e.env:1:0 '1'}@:0:0"),
        ("A=1\nB\nC=$A 'x' # y\r\n", "{A@e.env:1:0 '1', C@e.env:3:0 \"$A 'x' # y\"}@:0:0"),
        ("A", "{}@:0:0"),
        ("=x", "{@e.env:1:0 'x'}@:0:0"),
        ("A=b=c\r", "{A@e.env:1:0 'b=c'}@:0:0"),
        ("\ufeffA=1", "{\ufeffA@e.env:1:0 '1'}@:0:0"),
        ("\n\nA = 1 ", "{A @e.env:3:0 ' 1 '}@:0:0"),
    ],
)
def test_a_raw_file_is_taken_as_it_is(text: str, variables: str) -> None:
    """A file of the format raw must give each line as it is written, without quotes and variables."""
    known = Map()
    dotenv.parse_raw("e.env", text.encode(), known)
    assert outline(known) == variables


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"A=1\n\xff=2", "e.env:2: the file is not UTF-8 text | save it as UTF-8"),
        (b"A=\xff\nB=1", "e.env:1: the file is not UTF-8 text | save it as UTF-8"),
        (
            b"#" * ((1 << 20) + 1),
            "e.env: the file has 1048577 bytes; at most 1048576 are read | make it smaller",
        ),
    ],
)
def test_bytes_that_are_no_text_are_refused(data: bytes, message: str) -> None:
    """A file that is no text, or too large, must be refused with what to do."""
    for read in (lambda: parse(data, Map()), lambda: dotenv.parse_raw("e.env", data, Map())):
        with pytest.raises(ComposeError) as caught:
            read()
        assert f"{caught.value} | {caught.value.hint}" == message


def test_the_byte_order_mark_is_no_text() -> None:
    """A byte order mark must be left out, except where the file is taken as it is."""
    data = "\ufeffA".encode()
    assert (dotenv.text_of("e.env", data), dotenv.text_of("e.env", data, bom=False)) == ("A", "\ufeffA")
    assert dotenv.text_of("e.env", b"#" * (1 << 20)) == "#" * (1 << 20)


def test_values_may_grow_up_to_the_limit() -> None:
    """Values of four mebibytes together must be read, and one character more be refused."""
    mebibyte = "x" * (1 << 19)
    text = f"A={mebibyte}\n" + "".join(f"B{number}=$A\n" for number in range(7))
    assert parse(text + "OUT\n", Map()) == []
    with pytest.raises(ComposeError) as caught:
        parse(text + "C=x\n", Map())
    expected = "e.env:10: the values add up to more than 4194304 characters | use variables less often"
    assert f"{caught.value} | {caught.value.hint}" == expected
