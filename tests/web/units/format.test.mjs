import assert from "node:assert/strict";
import { test } from "node:test";
import * as format from "../assets/format.js";

test("what is not known is a dash, whatever it would be", () => {
  for (const form of [format.count, format.percent, format.signed, (value) => format.decimal(value, 1), format.daysText, format.moneyForm("EUR", 2)]) {
    assert.equal(form(null), format.NO_FIGURE);
    assert.equal(form(undefined), format.NO_FIGURE);
    assert.equal(form(Number.NaN), format.NO_FIGURE);
  }
});

test("money has the digits of its currency, and none where it is large", () => {
  const [euro, yen] = [format.moneyForm("EUR", 2), format.moneyForm("JPY", 0)];
  assert.deepEqual([euro(12.5), euro(1_234.5), euro(1_234.5, true), euro(-3)], ["12.50 EUR", "1,235 EUR", "1,234.50 EUR", "−3.00 EUR"]);
  assert.equal(yen(999), "999 JPY");
});

test("signs stand before changes", () => {
  assert.deepEqual([format.signed(1_200), format.signed(-3), format.signed(0)], ["+1,200", "−3", "0"]);
});

test("one is one, and all else many", () => {
  assert.deepEqual([format.plural(1, "day"), format.plural(0, "day"), format.plural(2, "entry", "entries")], ["1 day", "0 days", "2 entries"]);
});

test("numbers that follow each other are a range", () => {
  assert.equal(format.rangesText([0, 1, 2, 5, 7, 8]), "0–2, 5, 7–8");
  assert.equal(format.rangesText([]), "");
});

test("spans of days are as short as they stay clear", () => {
  const day = (text) => Date.parse(text) / format.DAY_MS;
  assert.equal(format.spanText(day("1998-06-01"), day("1998-06-30")), "1–30 Jun 1998");
  assert.equal(format.spanText(day("1998-05-20"), day("1998-06-02")), "20 May – 2 Jun 1998");
  assert.equal(format.spanText(day("1997-12-31"), day("1998-01-02")), "31 Dec 1997 – 2 Jan 1998");
  assert.equal(format.spanText(day("1998-06-01"), day("1998-06-01")), "1 Jun 1998");
  assert.equal(format.isoDay(day("1998-06-01")), "1998-06-01");
});

test("a value is compared with the one before in words", () => {
  const compared = (now, before) => format.comparedText(now, before, "the week before");
  assert.equal(compared(112, 100), "12 % more than in the week before");
  assert.equal(compared(50, 100), "50 % less than in the week before");
  assert.equal(compared(300, 100), "3.0 times that of the week before");
  assert.equal(compared(100, 100), "as in the week before");
  assert.equal(compared(3, 0), "none in the week before");
});

test("days begin and end where the shop is, also when its clocks change", () => {
  format.setTimeZone("America/New_York");
  const day = Date.parse("2024-03-10") / format.DAY_MS;
  assert.equal(new Date(format.startMs(day)).toISOString(), "2024-03-10T05:00:00.000Z");
  assert.equal(new Date(format.startMs(day + 1)).toISOString(), "2024-03-11T04:00:00.000Z");
  assert.equal(format.dayOf(Date.parse("2024-03-11T03:59:59Z")), day);
  assert.equal(format.dayOf(Date.parse("2024-03-11T04:00:00Z")), day + 1);
  format.setTimeZone("UTC");
});
