// What members of each segment brought in a period, against the one before: an order counts for the segment in which the
// customer was when it came.

import { timeChart } from "../charts/time.js";
import { element } from "../dom.js";
import { NO_FIGURE, count, dayText, decimal, isoDay, percent, plural } from "../format.js";
import { NOBODY } from "../model.js";
import { csvButton, figure, legendOf, section, segmentName, table } from "../parts.js";
import { fullWeeksOf } from "../state.js";

const NOTHING = { revenue: 0, orders: 0 };

// How much more or less: "▲ 14 %", in words to a screen reader.
export function changeMark(now, before) {
  if (before === null || before === undefined || (!before && !now)) return null;
  if (!before) return element("span", { class: "change good" }, "▲ from none");
  const change = (now - before) / Math.abs(before);
  if (Math.abs(change) < 0.005) return element("span", { class: "faint" }, "as before");
  const size = Math.abs(change) >= 1.5 && change > 0 ? `${decimal(now / before, 1)} times` : `${decimal(Math.abs(change) * 100, 0)} %`;
  return element("span", { class: `change ${change > 0 ? "good" : "bad"}` }, element("span", { "aria-hidden": "true" }, change > 0 ? "▲ " : "▼ "), size, element("span", { class: "unseen" }, change > 0 ? " more than before" : " less than before"));
}

export function nameOfTrade(segmentation, index) {
  return index === NOBODY ? "First orders" : segmentation.nameOf(index);
}

export function tradeSection(context) {
  const { run, segmentation, period } = context;
  if (!segmentation.sales) return revenueSection(context);
  const now = segmentation.trade(period.first, period.last);
  const before = period.before && segmentation.trade(period.before.first, period.before.last);
  const places = [...segmentation.segments.map((_segment, index) => index), NOBODY];
  const rows = places.map((index) => ({ index, now: now.get(index) ?? NOTHING, before: before && (before.get(index) ?? NOTHING) }))
    .filter((row) => row.now.revenue || row.now.orders || row.before?.revenue || row.before?.orders);
  if (!rows.length) return null;
  const total = rows.reduce((sum, row) => sum + row.now.revenue, 0);
  const value = (of) => (of && of.orders > 0 ? of.revenue / of.orders : null);
  const fixed = (amount) => (amount === null || amount === undefined ? "" : amount.toFixed(run.moneyDigits));
  const changeOf = (row, part) => (row.before ? element("span", { class: "small" }, changeMark(part(row.now), part(row.before))) : null);
  const columns = [
    { title: "Segment", cell: (row) => (row.index === NOBODY ? nameOfTrade(segmentation, row.index) : segmentName(context, segmentation, row.index)), text: (row) => nameOfTrade(segmentation, row.index) },
    { title: "Revenue", isNumber: true, cell: (row) => [run.money(row.now.revenue), changeOf(row, (of) => of.revenue)], text: (row) => fixed(row.now.revenue) },
    { title: "Before", inFile: "Revenue before", isNumber: true, isOfBefore: true, cell: (row) => run.money(row.before.revenue), text: (row) => fixed(row.before?.revenue) },
    { title: "Share", isNumber: true, cell: (row) => (total > 0 ? percent(row.now.revenue / total) : NO_FIGURE), text: (row) => (total > 0 ? row.now.revenue / total : "") },
    { title: "Orders", isNumber: true, cell: (row) => [count(row.now.orders), changeOf(row, (of) => of.orders)], text: (row) => row.now.orders },
    { title: "Before", inFile: "Orders before", isNumber: true, isOfBefore: true, cell: (row) => count(row.before.orders), text: (row) => row.before?.orders },
    { title: "Order value", isNumber: true, cell: (row) => [run.money(value(row.now)), value(row.now) === null || value(row.before) === null ? null : changeOf(row, value)], text: (row) => fixed(value(row.now)) },
    { title: "Before", inFile: "Order value before", isNumber: true, isOfBefore: true, cell: (row) => run.money(value(row.before)), text: (row) => fixed(value(row.before)) },
  ].filter((column) => before || !column.isOfBefore);
  return section(segmentation.isAudience ? "What members brought" : "What each segment brought", `${sentence(context, rows, total)} An order counts for the segment in which the customer was when it came.`,
    table(`Revenue and orders by segment ${period.name}`, columns, rows),
    element("div", { class: "below" }, csvButton(`trade-${segmentation.name}`, columns.map((column) => ({ ...column, title: column.inFile ?? column.title })), rows)),
    weeklyFigure(context, places));
}

function sentence({ run, segmentation, period }, rows, total) {
  const name = (row) => nameOfTrade(segmentation, row.index);
  const most = [...rows].sort((a, b) => b.now.revenue - a.now.revenue)[0];
  const first = `${name(most)} brought ${segmentation.isAudience ? "" : "the most "}${period.name}: ${run.money(most.now.revenue)}${total > 0 && rows.length > 1 ? `, ${percent(most.now.revenue / total, 0)} of all` : ""}.`;
  const changed = rows.filter((row) => row.before).sort((a, b) => Math.abs(b.now.revenue - b.before.revenue) - Math.abs(a.now.revenue - a.before.revenue))[0];
  if (!changed || changed.now.revenue === changed.before.revenue) return first;
  const change = changed.now.revenue - changed.before.revenue;
  return `${first} ${rows.length > 1 ? `What changed most is ${name(changed)}: ` : "That is "}${run.money(Math.abs(change))} ${change > 0 ? "more" : "less"} than in ${period.beforeText}.`;
}

// Revenue of the full weeks up to the last day, by segment.
function weeklyFigure({ run, segmentation }, places) {
  const weeks = fullWeeksOf(run);
  if (weeks.length < 2) return null;
  const sums = weeks.map((day) => segmentation.trade(day, day + 6));
  const series = places.map((index) => ({
    name: nameOfTrade(segmentation, index),
    colour: index === NOBODY ? "--muted" : segmentation.colours.get(segmentation.segments[index].id),
    values: sums.map((sum) => sum.get(index)?.revenue ?? 0),
  })).filter((each) => each.values.some((value) => value !== 0));
  if (!series.length) return null;
  const whole = weeks.map((_day, i) => series.reduce((sum, each) => sum + each.values[i], 0));
  const trades = weeks.map((day) => run.trade(day, day + 6));
  const at = (day) => (day - weeks[0]) / 7;
  const columns = [
    { title: "Seven days from", cell: dayText, text: isoDay },
    { title: `Revenue, ${run.currency}`, isNumber: true, cell: (day) => decimal(whole[at(day)], run.moneyDigits), text: (day) => whole[at(day)].toFixed(run.moneyDigits) },
    ...(segmentation.isAudience ? [] : [
      { title: "Orders", isNumber: true, cell: (day) => count(trades[at(day)].orders), text: (day) => trades[at(day)].orders },
      { title: "Engagements", isNumber: true, cell: (day) => count(trades[at(day)].engagements), text: (day) => trades[at(day)].engagements },
    ]),
    ...(series.length > 1 ? series.map((each) => ({ title: each.name, isNumber: true, cell: (day) => decimal(each.values[at(day)], run.moneyDigits), text: (day) => each.values[at(day)].toFixed(run.moneyDigits) })) : []),
  ];
  return figure({
    name: `revenue-${segmentation.name}`,
    title: "Net revenue by week",
    sentence: `The last seven days brought ${run.money(whole.at(-1))}, the seven before ${run.money(whole.at(-2))}.`,
    chart: timeChart({
      label: `Net revenue by week and segment from ${dayText(weeks[0])} to ${dayText(run.lastDay)}; the table below has the figures.`,
      days: weeks, series: series.map((each) => ({ ...each, values: each.values.map((value) => Math.max(value, 0)) })),
      kind: "bars", format: (amount) => run.money(amount), ticks: count, height: 220,
    }),
    legend: series.length > 1 ? legendOf(series) : null,
    columns,
    rows: weeks,
  });
}

// The same of one segment.
export function segmentTrade(context, index) {
  const { run, segmentation, period } = context;
  const weeks = fullWeeksOf(run);
  if (weeks.length < 2 || !segmentation.sales) return null;
  const sums = weeks.map((day) => segmentation.trade(day, day + 6).get(index) ?? NOTHING);
  if (!sums.some((sum) => sum.revenue || sum.orders)) return null;
  const segment = segmentation.segments[index];
  const now = segmentation.trade(period.first, period.last).get(index) ?? NOTHING;
  const before = period.before && (segmentation.trade(period.before.first, period.before.last).get(index) ?? NOTHING);
  const at = (day) => (day - weeks[0]) / 7;
  const columns = [
    { title: "Seven days from", cell: dayText, text: isoDay },
    { title: `Revenue, ${run.currency}`, isNumber: true, cell: (day) => decimal(sums[at(day)].revenue, run.moneyDigits), text: (day) => sums[at(day)].revenue.toFixed(run.moneyDigits) },
    { title: "Orders", isNumber: true, cell: (day) => count(sums[at(day)].orders), text: (day) => sums[at(day)].orders },
    { title: "Order value", isNumber: true, cell: (day) => (sums[at(day)].orders > 0 ? run.money(sums[at(day)].revenue / sums[at(day)].orders, true) : NO_FIGURE), text: (day) => (sums[at(day)].orders > 0 ? (sums[at(day)].revenue / sums[at(day)].orders).toFixed(run.moneyDigits) : "") },
  ];
  return section("What they brought while they were in it", null, figure({
    name: `revenue-${segmentation.name}-${segment.id}`,
    title: "Net revenue by week",
    sentence: `${plural(now.orders, "order")} of ${run.money(now.revenue)} in all ${period.name}${before ? `; ${plural(before.orders, "order")} of ${run.money(before.revenue)} in ${period.beforeText}` : ""}. An order counts here if the customer was here when it came.`,
    chart: timeChart({
      label: `Net revenue of ${segment.name} by week from ${dayText(weeks[0])} to ${dayText(run.lastDay)}; the table below has the figures.`,
      days: weeks, series: [{ name: segment.name, colour: segmentation.colours.get(segment.id), values: sums.map((sum) => Math.max(sum.revenue, 0)) }],
      kind: "bars", format: (amount) => run.money(amount), ticks: count, height: 180,
    }),
    columns,
    rows: weeks,
  }));
}

// Where it is not known what segments brought, that of all customers.
function revenueSection({ run }) {
  const weeks = [];
  for (let end = run.lastDay; run.tradeFrom !== null && end - 6 >= run.tradeFrom; end -= 7) weeks.unshift({ day: end - 6, ...run.trade(end - 6, end) });
  if (weeks.length < 2) return null;
  const [last, before] = [weeks.at(-1), weeks.at(-2)];
  const columns = [
    { title: "Seven days from", cell: (week) => dayText(week.day), text: (week) => isoDay(week.day) },
    { title: `Revenue, ${run.currency}`, isNumber: true, cell: (week) => decimal(week.revenue, run.moneyDigits), text: (week) => week.revenue.toFixed(run.moneyDigits) },
    { title: "Orders", isNumber: true, cell: (week) => count(week.orders), text: (week) => week.orders },
    { title: "Engagements", isNumber: true, cell: (week) => count(week.engagements), text: (week) => week.engagements },
  ].filter((column) => column.title !== "Engagements" || run.days.engagements);
  return section("Revenue", null, figure({
    name: "revenue",
    title: "Net revenue by week",
    sentence: `The last seven days brought ${run.money(last.revenue)}, the seven before ${run.money(before.revenue)}.`,
    chart: timeChart({
      label: `Net revenue by week from ${dayText(weeks[0].day)} to ${dayText(run.lastDay)}; the table below has the figures.`,
      days: weeks.map((week) => week.day),
      series: [{ name: "Revenue", colour: "--accent", values: weeks.map((week) => Math.max(week.revenue, 0)) }],
      kind: "bars", format: (value) => run.money(value), ticks: count, height: 180,
    }),
    columns,
    rows: weeks,
  }));
}
