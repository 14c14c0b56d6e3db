"""JSON in Socket.IO packets: what is understood, and what an application may send."""

import dataclasses
import enum
import json
import math
import timeit
from collections import OrderedDict, defaultdict, namedtuple
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import product
from string import ascii_letters
from sys import getsizeof
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketio_server.exceptions import DecodeError
from socketio_server.protocol.jsoncodec import MAX_DEPTH, estimate_size, parse
from socketio_server.protocol.socketio import Encoded, Encoder, decode

ANY_TEXT = st.text(st.characters())  # lone surrogates as well

# What the standard library's module takes.
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda children: (
        st.lists(children)
        | st.dictionaries(st.none() | st.booleans() | st.integers() | ANY_TEXT, children)
    ),
    max_leaves=10,
)


# Deep values, with brackets and quotes in their strings.
NESTED = st.builds(
    lambda text, depths: [nest(text, depth) for depth in depths],
    st.text('[]{}"\\\\a'),
    st.lists(st.integers(90, 110), max_size=3),
)


def nest(value: Any, depth: int) -> Any:
    """Put a value into so many containers, of both kinds."""
    for level in range(depth):
        value = [value] if level % 3 else {str(value)[:20]: value}
    return value


def depth(value: Any) -> int:
    """How deep arrays and objects nest."""
    if not isinstance(value, (list, dict)):
        return 0
    children = value.values() if isinstance(value, dict) else value
    return 1 + max(map(depth, children), default=0)


class TestJSON:
    """What is JSON, and how much of it."""

    @pytest.mark.parametrize(
        "wire",
        [
            pytest.param('2["hello"', id="cut off"),
            pytest.param('2["hello"]]', id="trailing bracket"),
            pytest.param('2["hello"]x', id="trailing letter"),
            pytest.param('2["hello",]', id="trailing comma"),
            pytest.param("2['hello']", id="single quotes"),
            pytest.param('2["hello",NaN]', id="NaN"),
            pytest.param('2["hello",undefined]', id="undefined"),
            pytest.param('2["a\nb"]', id="control character"),
            pytest.param('2["a\0b","\\ud800"]', id="NUL beside a lone surrogate"),
            pytest.param(r'2["\ud800",]', id="a lone surrogate and malformed"),
            pytest.param('2["hello",1e999]', id="number too large"),
            pytest.param(f'2["hello",{"9" * 5000}]', id="integer too large"),
            pytest.param("2" + "[" * 100_000, id="open without end"),
            pytest.param('2["hello",' + '{"a":' * 100_000, id="objects open without end"),
            pytest.param('2["\ud800"]', id="surrogate that UTF-8 can't have carried"),
        ],
    )
    def test_malformed_json_is_an_error(self, wire: str) -> None:
        with pytest.raises(DecodeError):
            decode(wire)

    @pytest.mark.parametrize("nested", [("[", "]"), ('{"a":', "}"), ('["[",', ",{}]")])
    def test_depth_is_bounded(self, nested: tuple[str, str]) -> None:
        opening, closing = nested

        def wire(depth: int) -> str:
            return f'2["hello",{opening * depth}0{closing * depth}]'

        assert decode(wire(98)).data[0] == "hello"
        for depth in (100, 500, 5000):
            with pytest.raises(DecodeError):
                decode(wire(depth))

    @given(NESTED)
    def test_the_depth_of_any_text_is_known_before_it_is_parsed(self, value: Any) -> None:
        text = json.dumps([value, ["x"] * 100])  # long enough to be looked at
        try:
            parse(text)
            is_too_deep = False
        except DecodeError:
            is_too_deep = True
        assert is_too_deep == (depth(json.loads(text)) > MAX_DEPTH)

    @pytest.mark.parametrize("number", ["1e999", "-1.5E+400", "1e0309"])
    def test_a_number_too_large_is_an_error_in_a_long_text_too(self, number: str) -> None:
        with pytest.raises(DecodeError):
            parse(f"[{'1e99,' * 50}{number}]")

    @given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
    def test_numbers_are_the_same_in_a_long_text(self, numbers: list[float]) -> None:
        written = [*numbers, *[8.988465674311578e307, 4.9e-324] * 20]
        assert parse(json.dumps(written)) == written

    def test_numbers_that_are_hard_to_round_take_little_time(self) -> None:
        """Some numbers took a thousand times as long as others."""

        def seconds(number: str) -> float:
            text = f"[{','.join([number] * 400)}]"
            return min(timeit.repeat(lambda: parse(text), number=1, repeat=5))

        usual = seconds("15e10")
        for number in ("9e306", "9E306", "9e+306", "9e0306", "4e-324", "1.79e308", "10e290"):
            assert seconds(number) < 100 * usual, number

    def test_many_brackets_are_not_deep(self) -> None:
        rows = [{"id": number, "tags": []} for number in range(1000)]
        assert decode("2" + json.dumps(["rows", rows, "[" * 1000])).data[1] == rows

    @pytest.mark.parametrize(
        ("escaped", "text"),
        [
            (r"\ud800", "\ufffd"),
            (r"a\uDFFFb", "a\ufffdb"),
            (r"\ud83d\ude00\ud83d", "😀\ufffd"),
            (r"\ud83d\ud83d\ude00", "\ufffd😀"),
            (r"\ude00\ude00", "\ufffd\ufffd"),
            (r"\\ud800 \ud800", "\\ud800 \ufffd"),
            (r"\\\ud800", "\\\ufffd"),
            (r"\ud83d\\\ude00", "\ufffd\\\ufffd"),
            (r"\ud800\"\n", '\ufffd"\n'),
        ],
    )
    def test_half_a_character_becomes_a_replacement_character(
        self, escaped: str, text: str
    ) -> None:
        assert decode(f'2["message","{escaped}"]').data == ["message", text]

    @given(st.lists(st.text(st.characters(categories=["Cs"]) | st.sampled_from('a\\u"😀\n'))))
    def test_any_javascript_string_is_understood(self, strings: list[str]) -> None:
        # Python, like JavaScript, has halves side by side for what UTF-16 reads as one character.
        expected = [
            string.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            for string in strings
        ]
        assert decode("2" + json.dumps(["message", *strings])).data[1:] == expected


def size_of(value: Any) -> int:
    """Bytes that a decoded value takes."""
    children: list[Any] = []
    if isinstance(value, dict):
        children = [*value, *value.values()]
    elif isinstance(value, list):
        children = value
    return getsizeof(value) + sum(map(size_of, children))


def of_members(value: str) -> str:
    """A dict with many short keys, as JSON."""
    keys = map("".join, product(ascii_letters, repeat=2))
    return "{" + ",".join(f'"{key}":{value}' for key in keys) + "}"


class TestTheEstimateOfItsSize:
    @pytest.mark.parametrize(
        "text",
        [
            pytest.param("[" + "[]," * 999 + "[]]", id="empty arrays"),
            pytest.param("[" + "1e15," * 999 + "0]", id="numbers"),
            pytest.param("[" + "[257,258,259]," * 999 + "0]", id="arrays of three"),
            pytest.param(of_members("1.5"), id="a dict of fractions"),
            pytest.param(of_members('"xy"'), id="a dict of short strings"),
            pytest.param(of_members("{}"), id="a dict of dicts"),
            pytest.param("[" + '{"éx":{"":1.5}},' * 999 + "0]", id="nested dicts"),
            pytest.param("[" + '"😀",' * 999 + "0]", id="emoji"),
            pytest.param("[" + '"\\u20ac",' * 999 + "0]", id="escapes"),
            pytest.param("[" + '"\\":\\":",' * 999 + "0]", id="escaped quotes"),
            pytest.param('["' + "x" * 10_000 + '"]', id="text of one byte for each character"),
            pytest.param('["' + "x" * 10_000 + '😀"]', id="text of four bytes for each character"),
            pytest.param('["' + "x" * 10_000 + "\\ud83d\\ude00" + '"]', id="one that is escaped"),
        ],
    )
    @pytest.mark.parametrize("encode", [str, str.encode])
    def test_is_rather_too_large_than_too_small(
        self, text: str, encode: Callable[[str], str | bytes]
    ) -> None:
        assert estimate_size(encode(text)) >= size_of(parse(text)) - 200

    @given(st.lists(ANY_JSON, max_size=3), st.integers(1, 50), st.booleans())
    def test_is_not_too_small_for_any(self, values: list[Any], times: int, ascii: bool) -> None:
        text = json.dumps(values * times, ensure_ascii=ascii, separators=(",", ":"), default=str)
        with suppress(DecodeError):
            assert estimate_size(text) >= size_of(parse(text)) - 200

    def test_is_close_for_usual_text(self) -> None:
        assert estimate_size('["' + "x" * 10_000 + '"]') < 11_000


class Colour(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    BIG = 3


class Name(str):
    """Like Django's ``SafeString``: its ``__str__`` gives no exact ``str``."""

    def __str__(self) -> str:
        return self


class Count(int):
    pass


class Ratio(float):
    pass


class Point(msgspec.Struct):
    x: int
    raw: bytes = b""


@dataclasses.dataclass
class Row:
    x: int


Pair = namedtuple("Pair", "a b")

VALUES = [
    (None, "null"),
    (2**64, "18446744073709551616"),
    (float("nan"), "null"),
    (-math.inf, "null"),
    ((1, (2,)), "[1,[2]]"),
    (Name("n"), '"n"'),
    (Count(3), "3"),
    (Ratio(0.5), "0.5"),
    (Colour.RED, '"red"'),
    (Size.BIG, "3"),
    (Row(1), '{"x":1}'),
    (Pair(1, Name("n")), '[1,"n"]'),
    (OrderedDict(a=1), '{"a":1}'),
    (defaultdict(Count, a=Count(1)), '{"a":1}'),
    ({7}, "[7]"),
    ({None: 1, True: 2, False: 3}, '{"null":1,"true":2,"false":3}'),
    ({1: 1, 1.5: 2, Name("n"): 3, Count(4): 4}, '{"1":1,"1.5":2,"n":3,"4":4}'),
    (Decimal("1.10"), '"1.10"'),
    (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
    (date(2026, 1, 2), '"2026-01-02"'),
    (time(3, 4, 5), '"03:04:05"'),
    (datetime(2026, 1, 2, 3, 4, 5, 678901, UTC), '"2026-01-02T03:04:05.678901Z"'),
    (timedelta(days=1, seconds=3), '"P1DT3S"'),
    ("\ud800", '"\ufffd"'),
    ("\ud83d\ude00", '"😀"'),
    ({"\udfff": "€"}, '{"\ufffd":"€"}'),
    ({Name("\udfff"): 1}, '{"\ufffd":1}'),
]


class TestValues:
    """What an application may send, and what a client gets for it."""

    @pytest.mark.parametrize(("value", "text"), VALUES)
    def test_a_value_has_one_way_of_being_written(self, value: Any, text: str) -> None:
        assert Encoder().event("a", [value]) == Encoded(f'2["a",{text}]'.encode(), ())

    @pytest.mark.parametrize(("value", "text"), VALUES)
    def test_beside_binary_data_it_is_written_in_the_same_way(self, value: Any, text: str) -> None:
        wire = f'61-1[{text},{{"_placeholder":true,"num":0}}]'
        assert Encoder().ack(1, [value, b"\x00"]) == Encoded(wire.encode(), (b"\x00",))

    def test_binary_data_inside_of_objects_is_found(self) -> None:
        made = Encoder().event("a", [Point(1, b"\x00"), {b"\x01"}])
        assert json.loads(made.text[3:]) == [
            "a",
            {"x": 1, "raw": {"_placeholder": True, "num": 0}},
            [{"_placeholder": True, "num": 1}],
        ]
        assert made.attachments == (b"\x00", b"\x01")

    def test_the_default_hook_takes_other_types(self) -> None:
        def default(value: Any) -> Any:
            if isinstance(value, complex):
                return {"re": value.real, "im": Name("i"), "raw": b"\x00", None: [range(2)]}
            return list(value)

        made = Encoder(default).event("a", [1j])
        assert json.loads(made.text[3:]) == [
            "a",
            {"re": 0, "im": "i", "raw": {"_placeholder": True, "num": 0}, "null": [[0, 1]]},
        ]
        assert made.attachments == (b"\x00",)

    def test_without_a_hook_the_error_names_the_type(self) -> None:
        with pytest.raises(TypeError, match="complex"):
            Encoder().event("a", [{"b": [1j]}])

    def test_the_hooks_own_type_error_is_the_cause_of_one_that_names_the_type(self) -> None:
        def default(value: Any) -> Any:
            raise TypeError(f"no {type(value).__name__} here")

        with pytest.raises(TypeError, match=r"^an object of type complex can't be enc") as caught:
            Encoder(default).ack(1, [1j])
        assert str(caught.value.__cause__) == "no complex here"

    def test_a_hooks_value_error_is_a_type_error(self) -> None:
        def default(value: Any) -> Any:
            raise ValueError("out of range")

        with pytest.raises(TypeError, match="out of range"):
            Encoder(default).connect_error("no", 1j)

    def test_a_key_that_is_no_text_is_a_type_error(self) -> None:
        with pytest.raises(TypeError):
            Encoder().event("a", [{(1, 2): 3}])

    @pytest.mark.parametrize("key", [b"a", memoryview(b"a")])
    @pytest.mark.parametrize("beside", [1, b"", {1, 2}])
    def test_a_key_that_is_binary_is_a_type_error(self, key: object, beside: object) -> None:
        with pytest.raises(TypeError, match="key"):
            Encoder().event("a", [[{"b": {key: 1}}], beside])

    def test_a_dict_like_a_placeholder_is_a_type_error_beside_binary_data(self) -> None:
        """Official clients put an attachment in its place, and have no escape for it."""
        lookalike = {Name("_placeholder"): True, "num": 0}
        for args in ([lookalike, b"\0"], [b"\0", {"deep": [lookalike]}]):
            with pytest.raises(TypeError, match="_placeholder"):
                Encoder().event("a", args)

    @pytest.mark.parametrize("flag", [1, "true", None, False])
    def test_what_no_client_takes_for_one_goes_as_it_is(self, flag: object) -> None:
        value = {"_placeholder": flag, "num": 0}
        made = Encoder().event("a", [value, b"\0"])
        assert json.loads(made.text[3:])[1] == value

    def test_without_binary_data_a_dict_like_a_placeholder_goes_as_it_is(self) -> None:
        text = b'2["a",{"_placeholder":true,"num":0},[7]]'
        assert Encoder().event("a", [{"_placeholder": True, "num": 0}, {7}]).text == text

    def test_a_circular_structure_is_a_type_error(self) -> None:
        array: list[Any] = []
        array.append({"array": array})
        with pytest.raises(TypeError, match="circular"):
            Encoder().event("a", [array])

    def test_a_structure_too_deep_is_a_type_error(self) -> None:
        array: list[Any] = []
        for _ in range(100_000):
            array = [array]
        with pytest.raises(TypeError, match="deep"):
            Encoder().event("a", [array])

    def test_a_hook_that_never_ends_is_a_type_error(self) -> None:
        with pytest.raises(TypeError, match="circular"):
            Encoder(lambda value: value).event("a", [1j])

    @given(ANY_JSON)
    def test_what_the_json_module_takes_is_taken(self, value: Any) -> None:
        made = Encoder().event("a", [value])
        sent = json.loads(made.text[1:])[1]
        expected = json.loads(json.dumps(mended(value)))
        assert sent == expected


class TestDjangoValues:
    """With the hook that the Django layer passes in."""

    @pytest.mark.parametrize(
        ("make", "text"),
        [
            ("lazy", '"lazy"'),
            ("safe", '"<b>safe</b>"'),
            ("lazy in a list", '["lazy"]'),
            ("lazy as a key", '{"lazy":1}'),
        ],
    )
    def test_lazy_and_safe_strings_are_strings(self, make: str, text: str) -> None:
        functional = pytest.importorskip("django.utils.functional")
        safestring = pytest.importorskip("django.utils.safestring")
        values = {
            "lazy": functional.lazystr("lazy"),
            "safe": safestring.mark_safe("<b>safe</b>"),
            "lazy in a list": [functional.lazystr("lazy")],
            "lazy as a key": {functional.lazystr("lazy"): 1},
        }
        assert django_encoder().event("a", [values[make]]).text == f'2["a",{text}]'.encode()

    def test_what_neither_knows_is_a_type_error_that_names_it(self) -> None:
        with pytest.raises(TypeError, match="complex"):
            django_encoder().event("a", [1j])

    @pytest.mark.parametrize(
        "value", [Decimal("1.10"), UUID(int=1), date(2026, 1, 2), datetime(2026, 1, 2, 3, 4, 5)]
    )
    def test_other_values_are_as_django_writes_them(self, value: Any) -> None:
        encoders = pytest.importorskip("django.core.serializers.json")
        expected = json.dumps(["a", value], cls=encoders.DjangoJSONEncoder, separators=(",", ":"))
        assert django_encoder().event("a", [value]).text == b"2" + expected.encode()


def django_encoder() -> Encoder:
    """Return an encoder as the Django layer makes it."""
    encoders = pytest.importorskip("django.core.serializers.json")
    return Encoder(encoders.DjangoJSONEncoder().default)


def mended(value: Any) -> Any:
    """Return a value with what JSON can't carry replaced as it is documented."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [mended(item) for item in value]
    if isinstance(value, dict):
        return {mended(key): mended(item) for key, item in value.items()}
    return value


def as_lists(value: Any) -> Any:
    """Return a value with lists for its tuples."""
    if isinstance(value, (list, tuple)):
        return [as_lists(item) for item in value]
    if isinstance(value, dict):
        return {key: as_lists(item) for key, item in value.items()}
    return value


class TestValuesForOtherServers:
    """``Encoder.event_with_values``: for MessagePack, as a client would decode them from JSON."""

    @staticmethod
    def values_of(*values: Any) -> list[Any]:
        return Encoder().event_with_values("news", values)[1][1:]

    @given(st.lists(ANY_JSON | st.tuples(ANY_JSON) | st.binary() | st.lists(NESTED)))
    def test_are_the_same_whether_they_are_copied_or_not(self, values: list[Any]) -> None:
        encoder = Encoder()
        try:
            copied = encoder.copy(values)
        except (TypeError, DecodeError) as error:
            with pytest.raises(type(error)):
                self.values_of(*values)
        else:
            assert repr(as_lists(self.values_of(*values))) == repr(copied)

    @pytest.mark.parametrize(
        "value",
        ["text", "żółw", 1, -0.5, True, None, ["a", 1], ("a",), {"a": {"b": [1]}}],
    )
    def test_usual_ones_are_not_copied(self, value: Any) -> None:
        assert self.values_of(value)[0] is value

    @pytest.mark.parametrize(
        "value",
        [
            math.nan,
            math.inf,
            "\ud800",
            b"binary",
            {1: "key"},
            {"\ud800": "key"},
            Decimal("1.5"),
            OrderedDict(a=1),
            [[[Decimal("1.5")]]],
        ],
    )
    def test_others_are_converted(self, value: Any) -> None:
        assert self.values_of(value) == Encoder().copy((value,))

    @given(ANY_JSON | st.binary() | NESTED, st.sampled_from(["/", "/chat"]))
    def test_go_with_the_event_for_clients(self, value: Any, namespace: str) -> None:
        encoder = Encoder()
        with suppress(TypeError, DecodeError):
            encoded, _ = encoder.event_with_values("news", (value,), namespace)
            assert encoded == encoder.event("news", (value,), namespace)

    def test_a_copy_does_not_change_with_the_original(self) -> None:
        value = ["a"]
        (copied,) = Encoder().copy((value,))
        value.append("b")
        assert copied == ["a"]
