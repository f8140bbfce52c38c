"""A mapping for files that no source knows, guessed from the names of their columns and a few of their values.

Names are compared in lower case and without signs and accents, so `Order Date`, `orderDate` and `order_date` are
one. Each field has a list of names that shops and tools use, in English first and then in German, French,
Spanish, Italian, Dutch and Portuguese; the first that the file has is taken, and of a customer's ids all are, as
fallbacks. Values only decide how something is written: a date's order of day and month, the unit of a time
that counts, whether lines of an order have to be put together. What values leave open, the remarks say in one line
each. A guess is printed and never used unless it is asked for: a wrong column is worse than a question.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from stream_app.segmentations.importing.translation import slug_of

NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "event_id": ("eventid", "messageid", "recordid"),
    "customer_id": (
        *("customerid", "customer", "customeruniqueid", "clientid", "userid", "memberid", "buyerid", "shopperid"),
        *(
            "accountid",
            "contactid",
            "subscriberid",
            "personid",
            "visitorid",
            "cardid",
            "householdkey",
            "user",
            "client",
        ),
        *("kundennummer", "kundennr", "kundenid", "kunde", "idclient", "numeroclient", "codeclient", "idcliente"),
        *("codigocliente", "codicecliente", "cliente", "klantnummer", "klantid", "klant"),
        *("customeremail", "buyeremail", "useremail", "billingemail", "contactemail", "fromemailaddress"),
        *("emailaddress", "email", "emailadresse", "mail", "courriel", "correo", "correoelectronico"),
        *("customerphone", "phonenumber", "phone"),
    ),
    "occurred_at": (
        *(
            "occurredat",
            "orderedat",
            "orderdate",
            "purchasedat",
            "purchasedate",
            "purchasetimestamp",
            "transactiondate",
        ),
        *("transactiontime", "invoicedate", "saledate", "eventtime", "eventtimestamp", "timestamp", "datetime"),
        *("createdat", "createddate", "created", "dateordered", "dateadd", "date", "paidat", "time", "ts", "day"),
        *("bestelldatum", "auftragsdatum", "rechnungsdatum", "kaufdatum", "zeitstempel", "datum", "datecommande"),
        *("datedecommande", "dateachat", "fechapedido", "fechacompra", "fecha", "dataordine", "dataacquisto"),
        *("datapedido", "datacompra", "data", "besteldatum", "orderdatum"),
    ),
    "order_id": (
        *(
            "orderid",
            "amazonorderid",
            "ordernumber",
            "orderno",
            "ordername",
            "invoiceno",
            "invoicenumber",
            "invoiceid",
            "invoice",
        ),
        *("transactionid", "receiptid", "receiptno", "basketid", "reference", "order"),
        *("bestellnummer", "bestellnr", "bestellung", "auftragsnummer", "rechnungsnummer", "numerocommande"),
        *("numerodecommande", "commande", "numeropedido", "pedido", "numeroordine", "ordine", "ordernummer"),
    ),
    "total": (
        *("total", "ordertotal", "grandtotal", "totalprice", "totalamount", "totalpaid", "amount", "orderamount"),
        *("ordervalue", "totalvalue", "salesamount", "saleprice", "salesvalue", "revenue", "netamount", "grossamount"),
        *("linetotal", "itemtotal", "paymentvalue", "sales", "gross", "value", "spend"),
        *("gesamtbetrag", "gesamtsumme", "rechnungsbetrag", "betrag", "summe", "umsatz", "montanttotal", "montant"),
        *("totalcommande", "importetotal", "importe", "importo", "totale", "valortotal", "valor", "bedrag", "totaal"),
    ),
    "currency": (
        *("currency", "currencycode", "ordercurrency", "currencyisocode", "isocurrency", "transactioncurrency"),
        *("wahrung", "waehrung", "devise", "moneda", "valuta", "moeda"),
    ),
    "items": (
        *("items", "quantity", "qty", "itemcount", "numitems", "totalquantity", "units"),
        *("menge", "anzahl", "stuckzahl", "quantite", "cantidad", "quantita", "quantidade", "aantal"),
    ),
    "products": ("sku", "productid", "stockcode", "itemid", "articleid", "productsku", "artikelnummer", "artikelnr"),
}
"""Names by field, in the order in which they are taken."""
UNIT_PRICES: Final = ("unitprice", "itemprice", "price", "pricepaid", "einzelpreis", "preis", "prixunitaire", "prix")
"""With a quantity they make a total."""
TYPES: Final = ("eventtype", "eventname", "event", "action", "activity", "type")
STATES: Final = ("status", "orderstatus", "financialstatus", "paymentstatus", "zahlungsstatus", "statut", "estado")
ADDRESSES: Final = ("email", "mail", "emailaddress", "emailadresse", "courriel", "correo", "correoelectronico")
KINDS_MAX: Final = 20
"""Different values, at most, of a column that says what kind of event a row is."""

_DIGITS_OF_UNITS: Final = {10: "s", 13: "ms", 16: "us", 19: "ns"}
_DAY_AND_MONTH: Final = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4}|\d\d)(?!\d)(.*)")
_CLOCKS: Final = (
    (re.compile(r""), ""),
    (re.compile(r" \d{1,2}:\d\d"), " %H:%M"),
    (re.compile(r" \d{1,2}:\d\d:\d\d"), " %H:%M:%S"),
    (re.compile(r" \d{1,2}:\d\d [AaPp][Mm]"), " %I:%M %p"),
    (re.compile(r" \d{1,2}:\d\d:\d\d [AaPp][Mm]"), " %I:%M:%S %p"),
    (re.compile(r", \d{1,2}:\d\d"), ", %H:%M"),
)
_NAMED_MONTHS: Final = ("%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%a, %d %b %Y")
_MONTHS: Final = 12


class Guess(NamedTuple):
    """A mapping that may fit.

    Attributes
    ----------
    document
        As it would be in `sources.yaml`; None if the columns do not suffice.
    remarks
        What is missing, or has to be decided, in one line each.
    """

    document: dict[str, Any] | None
    remarks: tuple[str, ...]


def guess(columns: Sequence[str], rows: Sequence[Mapping[str, str]], name: str) -> Guess:
    """Return a mapping for a file of orders, or of other events if it has no amounts.

    Parameters
    ----------
    columns
        Of the file; of JSON, paths.
    rows
        Some of its first rows.
    name
        Of the source.
    """
    found = _Columns(columns)
    fields: dict[str, Any] = {}
    remarks: list[str] = []
    ids = found.all_of(NAMES["customer_id"])
    if ids:
        fields["customer_id"] = _customer(ids)
    else:
        remarks.append("customer_id: no column is called like a customer; say which one it is")
    at = found.first_of(NAMES["occurred_at"])
    if at is None:
        remarks.append("occurred_at: no column is called like a time; say which one it is")
    else:
        fields["occurred_at"], doubt = _time(at, [row.get(at, "") for row in rows])
        remarks += doubt
    own_id = found.first_of(NAMES["event_id"])
    if own_id is not None:
        fields["event_id"] = own_id
    total = _total(found)
    kind = found.first_of(TYPES)
    if total is None and kind is not None:
        record = _engagement(fields, kind, rows, remarks)
    else:
        record = _purchase(fields, total, found, rows, remarks)
    if not ids or at is None or (record["topic"] == "purchases" and total is None):
        return Guess(None, tuple(remarks))
    used = _columns_in(record)
    source = {"recognise": {"columns": [column for column in columns if column in used]}, "records": [record]}
    return Guess({"version": 1, "sources": {slug_of(name): source}}, tuple(remarks))


class _Columns:
    """Columns by their plain names; of a path, the last name counts where the whole one is unknown."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._by_name: dict[str, str] = {}
        for column in columns:
            self._by_name.setdefault(_plain(column), column)
        for column in columns:
            self._by_name.setdefault(_plain(column.rpartition(".")[2]), column)

    def all_of(self, names: Iterable[str]) -> list[str]:
        return list(dict.fromkeys(self._by_name[name] for name in names if name in self._by_name))

    def first_of(self, names: Iterable[str]) -> str | None:
        return next(iter(self.all_of(names)), None)


def _customer(ids: Sequence[str]) -> Any:
    is_address = any(_plain(column).endswith(ADDRESSES) for column in ids)
    place: dict[str, Any] = {"column": ids[0]} if len(ids) == 1 else {"first_of": list(ids)}
    if is_address:
        return place | {"kind": "email"}
    return ids[0] if len(ids) == 1 else place


def _time(column: str, values: Sequence[str]) -> tuple[Any, list[str]]:
    """Return how a column of times is read, and what its values leave open."""
    values = [value.strip() for value in values if value and value.strip()]
    if values and all(value.isdigit() for value in values):
        unit = _DIGITS_OF_UNITS.get(len(values[0]))
        if unit:
            return {"column": column, "unit": unit}, []
        if len(values[0]) == len("20240501"):
            return {"column": column, "format": "%Y%m%d"}, []
        return column, [
            f"occurred_at: {values[0]!r} in {column!r} counts something; say what with unit: s, ms or excel"
        ]
    parts = [match for value in values if (match := _DAY_AND_MONTH.fullmatch(value))]
    if not parts or len(parts) < len(values):
        named = _with_named_month(values)
        return (column if named is None else {"column": column, "format": named}), []
    return _in_figures(column, parts)


def _with_named_month(values: Sequence[str]) -> str | None:
    """Return the format of dates such as `May 1, 2024 8:05 AM`, if all values are of one."""
    for day in _NAMED_MONTHS:
        for _, clock in _CLOCKS:
            if values and all(_fits(value, day + clock) for value in values):
                return day + clock
    return None


def _fits(value: str, format_: str) -> bool:
    try:
        datetime.strptime(value, format_)
    except ValueError:
        return False
    return True


def _in_figures(column: str, parts: Sequence[re.Match[str]]) -> tuple[Any, list[str]]:
    """Return how dates such as `5/1/2024` are read, and whether day and month might be the other way round."""
    sign, year = parts[0][2], "%Y" if len(parts[0][4]) > len("24") else "%y"
    clock = next((text for pattern, text in _CLOCKS if pattern.fullmatch(parts[0][5])), None)
    if clock is None:
        return column, [f"occurred_at: {parts[0][0]!r} in {column!r}, say how it is written with format"]
    day_first, month_first = f"%d{sign}%m{sign}{year}{clock}", f"%m{sign}%d{sign}{year}{clock}"
    is_day_first = any(int(match[1]) > _MONTHS for match in parts)
    is_month_first = any(int(match[3]) > _MONTHS for match in parts)
    doubt = f"occurred_at: {parts[0][0]!r} in {column!r} is read as {{}}; if that is wrong, put {{}} there"
    if is_month_first and not is_day_first:
        return {"column": column, "format": month_first}, []
    if is_day_first and not is_month_first:
        return {"column": column, "format": day_first}, []
    return {"column": column, "format": day_first}, [doubt.format(day_first, month_first)]


def _total(found: _Columns) -> Any:
    column = found.first_of(NAMES["total"])
    if column is not None:
        return column
    quantity, price = found.first_of(NAMES["items"]), found.first_of(UNIT_PRICES)
    if price is None:
        return None
    return price if quantity is None else {"product": [quantity, price]}


def _engagement(
    fields: dict[str, Any], kind: str, rows: Sequence[Mapping[str, str]], remarks: list[str]
) -> dict[str, Any]:
    kinds = {row.get(kind, "") for row in rows}
    if len(kinds) > KINDS_MAX:
        remarks.append(
            f"type: {kind!r} has {len(kinds)} different values in the first rows; is it the kind of an event?"
        )
    remarks.append("total: no column is called like an amount, so rows are read as engagements and not as purchases")
    return {"topic": "engagements", "fields": {"type": kind, **fields}}


def _purchase(
    fields: dict[str, Any], total: Any, found: _Columns, rows: Sequence[Mapping[str, str]], remarks: list[str]
) -> dict[str, Any]:
    record: dict[str, Any] = {"topic": "purchases", "fields": fields}
    order = found.first_of(NAMES["order_id"])
    if total is None:
        remarks.append('total: no column is called like an amount; say which one it is, or `constant: "0"`')
    else:
        fields["total"] = total
    currency = found.first_of(NAMES["currency"])
    if currency is not None:
        fields["currency"] = currency
    else:
        remarks.append("currency: no column, so amounts are in the setting money.base_currency")
    quantity, products = found.first_of(NAMES["items"]), found.first_of(NAMES["products"])
    if quantity is not None:
        fields["items"] = quantity
    if order is None:
        remarks.append("order_id: no column, so each row is an order, known again by all that is read of it")
        return record
    fields["order_id"] = order
    ids = [row[order] for row in rows if row.get(order)]
    if len(set(ids)) < len(ids) and "event_id" not in fields:
        _group(record, total, quantity, products)
        remarks.append(
            "order_id: occurs in several rows, whose amounts are added up; if each row has the order's total, take "
            "`aggregate: sum` away from total"
        )
    if any(str(row.get(_first(total), "")).lstrip().startswith("-") for row in rows):
        fields["total"] = (fields["total"] if isinstance(fields["total"], dict) else {"column": total}) | {
            "sign": "returns"
        }
    state = found.first_of(STATES)
    if state is not None:
        kinds = sorted({row.get(state, "") for row in rows} - {""})[:8]
        remarks.append(f"where: {state!r} is not a filter yet; its values are {', '.join(kinds)}; say which count")
    return record


def _group(record: dict[str, Any], total: Any, quantity: str | None, products: str | None) -> None:
    record["group_by"] = "order_id"
    fields = record["fields"]
    if total is not None:
        fields["total"] = (total if isinstance(total, dict) else {"column": total}) | {"aggregate": "sum"}
    if quantity is not None:
        fields["items"] = {"column": quantity, "aggregate": "sum"}
    if products is not None:
        fields["products"] = {"column": products, "aggregate": "list"}


def _first(total: Any) -> str:
    return total["product"][0] if isinstance(total, dict) else str(total)


def _columns_in(value: Any) -> set[str]:
    """Return all texts in a record, columns among them."""
    if isinstance(value, str):
        return {value}
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return set().union(*map(_columns_in, parts)) if parts else set()


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", unicodedata.normalize("NFKD", name).lower())
