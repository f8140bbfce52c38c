"""One customer has one id, however it is written; what is damaged, or stands for nobody, is nobody's."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import pytest

from stream_app.contracts.decoding import Decoder
from stream_app.contracts.ids import PLACEHOLDER_IDS
from stream_app.contracts.policy import DecodingPolicy
from stream_app.contracts.rejections import shown
from stream_app.contracts.scanner import Scanned, Scanner
from stream_app.core.events import Event, Events, pack_events
from stream_app.core.ids import normal_id
from stream_app.core.records import Rejection
from stream_app.errors import ConfigurationError, InvalidRecord
from tests.contracts.records import (
    NOW_MS,
    PURCHASE,
    encode,
    engagement,
    engagements,
    profile,
    profiles,
    purchase,
    purchases,
)
from tests.support.batches import join_parts


def scan(decoder: Decoder, payloads: list[bytes], keys: list[bytes | None] | None = None) -> Scanned:
    buffer, (values, *spans) = join_parts(payloads, *([keys] if keys is not None else []))
    return Scanner(decoder).scan(buffer, values, NOW_MS, *spans)


def read(decoder: Decoder, payload: bytes, key: bytes | None = None) -> Event:
    """Return the event that all tiers read."""
    scanned = scan(decoder, [payload], None if key is None else [key])
    assert scanned.others == []
    event = decoder.decode_reference(payload, NOW_MS, key)
    assert decoder.decode(payload, NOW_MS, key) == event
    packed = pack_events([event], 0, 0)
    assert (scanned.records == packed.records).all()
    assert scanned.texts.tobytes() == packed.texts.tobytes()
    return event


def refusal(decoder: Decoder, payload: bytes, key: bytes | None = None) -> InvalidRecord:
    """Return why all tiers refuse a record."""
    (other,) = scan(decoder, [payload], None if key is None else [key]).others
    assert isinstance(other, Rejection)
    with pytest.raises(InvalidRecord) as judged:
        decoder.decode_reference(payload, NOW_MS, key)
    assert str(other.error) == str(judged.value)
    return other.error


def with_token(field: str, token: str) -> bytes:
    return encode(PURCHASE | {field: "@"}).replace(b'"@"', token.encode())


def raw(**changes: Any) -> bytes:
    """Return a purchase whose texts are written without escapes."""
    return json.dumps(PURCHASE | changes, ensure_ascii=False).encode()


# --- one id, however it is written --------------------------------------------------------------------------------

SAME = {
    "space before": (" c7", "c7"),
    "space behind": ("c7 ", "c7"),
    "tab and line feed": ("\tc7\r\n", "c7"),
    "no-break and ideographic space": ("\u00a0c7\u3000", "c7"),
    "byte order mark and space of no width": ("\ufeff\u200b c7\u200e", "c7"),
    "joiner within": ("c\u200d7", "c\u200d7"),
    "space within": (" c 7", "c 7"),
    "decomposed letter": ("Zoe\u0308", "Zo\u00eb"),
    "composed letter": ("Zo\u00eb", "Zo\u00eb"),
    "marks in another order": ("a\u0323\u0307", "\u1ea1\u0307"),
    "Hangul in parts": ("\u1100\u1161\u11a8", "\uac01"),
    "sign for another letter": ("\u212b", "\u00c5"),
    "letters of both cases": ("Ana@Example.com", "Ana@Example.com"),
    "zeros before a number": ("017850", "017850"),
}


@pytest.mark.parametrize(("sent", "meant"), SAME.values(), ids=SAME.keys())
def test_id_is_trimmed_and_in_its_normal_form(sent: str, meant: str) -> None:
    for write in (raw, purchase):
        event = read(purchases(), write(customer_id=sent, event_id=sent))
        assert (event.customer_id, event.event_id) == (meant, meant)
        kept = purchases(kept=("order_id",))
        assert read(kept, write(order_id=sent)) == read(kept, write(order_id=meant))
    assert read(engagements(), engagement(customer_id=sent)).customer_id == meant
    assert read(profiles(), profile(customer_id=sent, event_id=sent)).event_id == meant


@pytest.mark.parametrize("number", [7, 17850, 450789469, 115310627314723954, 10**29 + 1, 10**40 + 1, -5])
def test_whole_number_is_the_text_of_its_digits(number: int) -> None:
    payload = purchase(customer_id=number, event_id=number, order_id=number)
    assert read(purchases(), payload) == read(
        purchases(), purchase(customer_id=str(number), event_id=str(number), order_id=str(number))
    )
    kept = purchases(kept=("order_id",))
    assert read(kept, purchase(order_id=number)) == read(kept, purchase(order_id=str(number)))


def test_numbers_as_ids_are_left_to_the_quickest_tier() -> None:
    payloads = [purchase(customer_id=115310627314723954 + n, event_id=n, order_id=n) for n in range(10)]
    assert scan(purchases(), payloads).doubted == 0
    assert scan(purchases(kept=("order_id",)), payloads).doubted == 10, "what is kept is a text"


def test_usual_letters_of_other_scripts_are_left_to_the_quickest_tier() -> None:
    ids = [
        "Zo\u00eb",
        "Gro\u00dfmann",
        "\u0141\u00f3d\u017a",
        "Влад",
        "Ωμέγα",
        "客戶",
        "고객",
        "カード",
        "عميل",
        "🙂 c1",
    ]
    payloads = [raw(customer_id=text, event_id=text, order_id=text) for text in ids]
    assert scan(purchases(), payloads).doubted == 0


def test_no_character_makes_the_scanner_accept_an_id_that_is_not_normal() -> None:
    """Each character alone, at both ends, and where it might combine with what is beside it."""
    ids = []
    for code in range(0x80, 0x30000):
        if 0xD800 <= code < 0xE000:
            continue
        char = chr(code)
        ids += [char, f"{char}x", f"x{char}", f"e{char}\u00eb", f"\uac00{char}"]
    payloads = [raw(event_id=text) for text in ids]
    buffer, (values,) = join_parts(payloads)
    events = Events(*Scanner(purchases()).accept(buffer, values, NOW_MS))
    accepted = (events.records["status"] == 0).nonzero()[0].tolist()
    wrong = [ids[at] for at in accepted if unicodedata.normalize("NFC", normal_id(ids[at]).strip()) != ids[at]]
    assert wrong == []
    assert len(accepted) > 100_000


# --- damaged ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["1.15311E+17", "1.15311e+17", "1E+17", "-1.5E+05", "1,15311E+17", " 1.2E+9 "])
@pytest.mark.parametrize("field", ["customer_id", "event_id", "order_id"])
def test_id_that_a_spreadsheet_has_cut_is_damaged(text: str, field: str) -> None:
    found = refusal(purchases(), purchase(**{field: text}))
    assert (found.reason, found.field) == ("damaged_id", field)
    assert json.dumps(text) in str(found)
    assert "a spreadsheet has cut digits off" in str(found)


@pytest.mark.parametrize("text", ["17850.0", "-1.0", "0.0", "17850,0"])
def test_customer_of_a_table_of_decimals_is_damaged(text: str) -> None:
    found = refusal(purchases(), purchase(customer_id=text))
    assert (found.reason, found.field) == ("damaged_id", "customer_id")
    assert f'customer_id: "{text}", expected' in str(found)
    assert 'the ".0" comes from' in str(found)
    assert read(purchases(), purchase(order_id="1001.0")).customer_id == "c1", "an order may be in parts"


@pytest.mark.parametrize("token", ["17850.0", "1.15311E+17", "1e3", "12e0", "0.5", "-1.0", "1e400", "1E+40"])
@pytest.mark.parametrize("field", ["customer_id", "event_id", "order_id"])
def test_number_with_a_point_or_an_exponent_is_damaged(token: str, field: str) -> None:
    found = refusal(purchases(), with_token(field, token))
    assert (found.reason, found.field) == ("damaged_id", field)


@pytest.mark.parametrize(
    "text",
    ["1.1", "1.10", "17850.00", "v1.0", "1e17", "12E5", "1E+", "+1", "1+1", "1.2E+1234", "E+17", "1.0.0", "a1E+17"],
)
def test_id_that_only_resembles_a_damaged_one_is_accepted(text: str) -> None:
    assert read(purchases(), purchase(customer_id=text, event_id=text)).customer_id == text


# --- placeholders -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [*PLACEHOLDER_IDS, "NULL", "NaN", "None", r"\n", "GUEST", "Not Set", "[OBJECT OBJECT]", " guest ", "00", "0000000",
     "00000000-0000-0000-0000-000000000000", "-0", "Anonymous\t", "\u00a0unknown"],
)  # fmt: skip
def test_placeholder_is_nobody(text: str) -> None:
    for payload in (purchase(customer_id=text), raw(customer_id=text)):
        found = refusal(purchases(), payload)
        assert (found.reason, found.field) == ("placeholder_id", "customer_id")
        assert str(found).startswith(f"customer_id: {shown(text)}, expected")
    assert refusal(purchases(), purchase(customer_id=text), b"c1").reason == "placeholder_id", "rather than the key"
    assert refusal(engagements(), engagement(customer_id=text)).reason == "placeholder_id"
    assert refusal(profiles(), profile(customer_id=text)).reason == "placeholder_id"
    assert read(purchases(), purchase(event_id=text, order_id=text)).customer_id == "c1"


@pytest.mark.parametrize("token", ["0", "-1", "-0"])
def test_placeholder_may_be_a_number(token: str) -> None:
    assert refusal(purchases(), with_token("customer_id", token)).reason == "placeholder_id"


@pytest.mark.parametrize(
    "text",
    ["guest1", "guests", "g0001", "01", "10", "0a", "-12", "nullable", "nobody", "unknown user", "gueſt", "1", "n"],
)
def test_id_that_only_resembles_a_placeholder_is_accepted(text: str) -> None:
    assert read(purchases(), raw(customer_id=text)).customer_id == text


def test_setting_extends_the_placeholders() -> None:
    decoder = purchases(placeholder_ids=(*PLACEHOLDER_IDS, "Web Shop", " gAst"))
    for text in ("web shop", "WEB SHOP ", "GAST", "null"):
        assert refusal(decoder, purchase(customer_id=text)).reason == "placeholder_id"
    assert read(decoder, purchase(customer_id="web shops")).customer_id == "web shops"


def test_placeholder_beyond_ascii_is_compared_without_case_too() -> None:
    decoder = purchases(placeholder_ids=("\u00dcbernahme", "\u5ba2"))
    for text in ("\u00fcbernahme", "U\u0308BERNAHME", "\u5ba2"):
        assert refusal(decoder, raw(customer_id=text)).reason == "placeholder_id"
    assert read(decoder, raw(customer_id="\u00dcber")).customer_id == "\u00dcber"
    assert read(decoder, raw(customer_id="guest")).customer_id == "guest"


def test_empty_setting_takes_every_id_for_somebody() -> None:
    decoder = purchases(placeholder_ids=())
    for text in ("0", "guest", "0000", "null"):
        assert read(decoder, purchase(customer_id=text)).customer_id == text


@pytest.mark.parametrize("placeholders", [("",), ("  ",), ("x" * 57,), ("x",) * 257])
def test_list_that_can_be_none_is_refused(placeholders: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match=r"placeholder_ids: .*, expected"):
        DecodingPolicy(placeholder_ids=placeholders)


# --- the record's key ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        (" c7", b"c7"),
        (" c7", b" c7"),
        ("c7", b"c7 "),
        (7, b"7"),
        ("Zoe\u0308", "Zo\u00eb".encode()),
        ("Zo\u00eb", "Zoe\u0308".encode()),
        ("Zoe\u0308", "Zoe\u0308".encode()),
    ],
)
def test_key_is_the_customer_in_its_normal_form(sent: object, key: bytes) -> None:
    read(purchases(), raw(customer_id=sent), key)


@pytest.mark.parametrize(("sent", "key"), [("c7", b"C7"), ("c 7", b"c7"), (7, b"7.0"), (7, b"07"), ("c7", b"c7\xff")])
def test_other_key_is_refused(sent: object, key: bytes) -> None:
    found = refusal(purchases(), purchase(customer_id=sent), key)
    assert (found.reason, found.field) == ("key_mismatch", "customer_id")


# --- nobody -------------------------------------------------------------------------------------------------------


def test_record_without_a_customer_is_said_to_be_that() -> None:
    for record in (purchase(customer_id=""), purchase(customer_id="\t\u200b"), purchase(customer_id=None)):
        assert refusal(purchases(), record).reason == "no_customer"
    without = {name: value for name, value in PURCHASE.items() if name != "customer_id"}
    found = refusal(purchases(), encode(without))
    assert str(found) == "customer_id: missing, expected the id of the customer; a record without one counts for nobody"
