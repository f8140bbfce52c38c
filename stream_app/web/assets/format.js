// How numbers, money and dates are written. Days are counted from 1970-01-01 and, as times, are those of the shop.

export const DAY_MS = 86_400_000;
export const NO_FIGURE = "–";

const whole = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const dayForm = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
const shortDayForm = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
let zone = null;
setTimeZone("UTC");

// Has instants shown as clocks of the shop show them.
export function setTimeZone(timeZone) {
  zone = {
    name: timeZone,
    date: new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone }),
    instant: new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", timeZone }),
    parts: new Intl.DateTimeFormat("en-GB", { year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric", hourCycle: "h23", timeZone }),
  };
}

// What the shop's clocks show at an instant, in milliseconds as if it were UTC.
function shownMs(atMs) {
  if (zone.name === "UTC") return atMs;
  const part = Object.fromEntries(zone.parts.formatToParts(new Date(atMs)).map(({ type, value }) => [type, Number(value)]));
  return Date.UTC(part.year, part.month - 1, part.day, part.hour, part.minute, part.second);
}

// The day that an instant is of.
export function dayOf(atMs) {
  return Math.floor(shownMs(atMs) / DAY_MS);
}

// When a day begins.
export function startMs(day) {
  const midnight = day * DAY_MS;
  const near = midnight - (shownMs(midnight) - midnight);
  return near - (shownMs(near) - midnight); // once more, where clocks change in between
}

export function isFigure(value) {
  return value !== null && value !== undefined && !Number.isNaN(value);
}

export function count(value) {
  return isFigure(value) ? whole.format(value) : NO_FIGURE;
}

export function decimal(value, digits) {
  if (!isFigure(value)) return NO_FIGURE;
  return value.toLocaleString("en-GB", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

export function percent(share, digits = 1) {
  return isFigure(share) ? `${decimal(share * 100, digits)} %` : NO_FIGURE;
}

export function signed(value) {
  if (!isFigure(value)) return NO_FIGURE;
  return value > 0 ? `+${whole.format(value)}` : value < 0 ? `−${whole.format(-value)}` : "0";
}

export function plural(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

// Numbers in ascending order, as people write them: "0–3, 7".
export function rangesText(numbers) {
  const found = [];
  for (const number of numbers) {
    const last = found.at(-1);
    if (last && number === last[1] + 1) last[1] = number;
    else found.push([number, number]);
  }
  return found.map(([first, last]) => (first === last ? `${first}` : `${first}–${last}`)).join(", ");
}

// Amounts in major units; large ones without decimals.
export function moneyForm(currency, digits) {
  return (value, isExact = false) => {
    if (!isFigure(value)) return NO_FIGURE;
    const shown = isExact || Math.abs(value) < 1000 ? digits : 0;
    const sign = value < 0 ? "−" : "";
    return `${sign}${decimal(Math.abs(value), shown)} ${currency}`;
  };
}

export function dayText(day) {
  return dayForm.format(new Date(day * DAY_MS));
}

export function instantText(atMs) {
  return `${zone.instant.format(new Date(atMs))} ${zone.name}`;
}

export function dateText(atMs) {
  return zone.date.format(new Date(atMs));
}

// "1–30 Jun 1998", as short as it stays clear.
export function spanText(first, last) {
  if (first === last) return dayText(first);
  const [from, to] = [new Date(first * DAY_MS), new Date(last * DAY_MS)];
  if (from.getUTCFullYear() !== to.getUTCFullYear()) return `${dayText(first)} – ${dayText(last)}`;
  if (from.getUTCMonth() !== to.getUTCMonth()) return `${shortDayForm.format(from)} – ${dayText(last)}`;
  return `${from.getUTCDate()}–${dayText(last)}`;
}

export function isoDay(day) {
  return new Date(day * DAY_MS).toISOString().slice(0, 10);
}

export function daysText(days) {
  if (!isFigure(days)) return NO_FIGURE;
  if (days < 1) return "less than a day";
  return plural(Math.round(days), "day");
}

// How a value compares with the one before: "12 % more than in the 30 days before".
export function comparedText(value, before, beforeText) {
  if (!before) return value ? `none in ${beforeText}` : `as in ${beforeText}`;
  const change = (value - before) / before;
  if (Math.abs(change) < 0.005) return `as in ${beforeText}`;
  if (change >= 1.5) return `${decimal(value / before, 1)} times that of ${beforeText}`;
  return `${decimal(Math.abs(change) * 100, 0)} % ${change > 0 ? "more" : "less"} than in ${beforeText}`;
}
