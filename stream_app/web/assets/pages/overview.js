// What a marketer asks first: how many, worth how much, who is slipping away, who came back, and what to do.

import { sparkLine } from "../charts/spark.js";
import { timeChart } from "../charts/time.js";
import { element } from "../dom.js";
import { NO_FIGURE, comparedText, count, dayText, decimal, isoDay, percent, plural, signed } from "../format.js";
import { NOBODY, isMove, isOfKind, isOwn } from "../model.js";
import { barList, csvButton, figure, legendOf, page, section, segmentName, table, tile, tiles } from "../parts.js";
import { addressOf } from "../state.js";
import { adviceSection } from "./advice.js";
import { changeMark, tradeSection } from "./trade.js";

const TREND_DAYS = 180;
const BY_VERSIONS = "By new versions";
const PERIOD_REVENUE = "Revenue in the period";

export function overviewPage(context) {
  const { run, segmentation, period } = context;
  if (!run.customers) return page("Overview", element("p", {}, "There are no customers yet."));
  const facts = factsOf(run, segmentation, period);
  return page("Overview", element("p", { class: "headline" }, headline(context, facts)),
    adviceSection(context),
    keyFigures(context, facts),
    segmentTable(context, facts),
    context.site?.latestOf(context),
    tradeSection(context),
    segmentation.hasLevels ? directions(context) : null,
    sizesSection(context),
    otherSegmentations(context));
}

function factsOf(run, segmentation, period) {
  const of = (days) => days && ({
    trade: run.trade(days.first, days.last),
    lapsed: segmentation.sum(days.first, days.last, (from, _to, cause, change) => isOfKind(segmentation, "lapsed", from, change) && isOwn(cause)),
    returned: segmentation.sum(days.first, days.last, (from, _to, cause, change) => isOfKind(segmentation, "returned", from, change) && isOwn(cause)),
    entered: segmentation.sum(days.first, days.last, (from, to) => from === NOBODY && to !== NOBODY),
    left: segmentation.sum(days.first, days.last, (from, to) => from !== NOBODY && to === NOBODY),
  });
  const sizes = segmentation.sizes(Math.max(run.firstDay, Math.min(period.first - 1, period.last - TREND_DAYS)), period.last);
  return { now: of(period), before: of(period.before), sizes };
}

function headline({ run, segmentation, period }, { now, before }) {
  const span = period.days === "all" ? "In all this time" : `In the last ${plural(period.length, "day")}`;
  if (segmentation.isAudience) {
    return `${span} customers entered the audience “${segmentation.title}” ${plural(now.entered.customers, "time")} and left it ${plural(now.left.customers, "time")}.`;
  }
  const revenue = now.trade.revenue === null ? "" : `revenue was ${run.money(now.trade.revenue)}${before && run.tradeFrom <= period.before.first ? `, ${comparedText(now.trade.revenue, before.trade.revenue, period.beforeText)}` : ""}`;
  if (!segmentation.hasLevels) return revenue ? `${span} ${revenue}.` : `${span} nothing is known of revenue.`;
  const told = (moves, done) => (moves.customers ? `${plural(moves.customers, "customer")} ${done}${run.ifKnown(moves.revenue, (spent) => `, who had spent ${spent}`)}` : `nobody ${done}`);
  const [lost, back] = [told(now.lapsed, "lapsed"), told(now.returned, "came back")];
  return revenue ? `${span} ${revenue}. ${lost.charAt(0).toUpperCase()}${lost.slice(1)}; ${back}.` : `${span} ${lost}; ${back}.`;
}

// Whether more is good decides the tone; null has none.
function change(now, before, isMoreGood, period) {
  if (before === null || before === undefined) return null;
  const text = comparedText(now, before, period.beforeText);
  if (text.startsWith("as in")) return { text };
  const isMore = now > before;
  return { text: `${isMore ? "▲" : "▼"} ${text}`, tone: isMoreGood === null ? "" : isMore === isMoreGood ? "good" : "bad" };
}

function whoLink(context, change) {
  return element("a", { href: addressOf("movements", { ...context.shared, change }) }, "Who", element("span", { class: "unseen" }, change === "lapsed" ? " has lapsed" : " was won back"));
}

function keyFigures(context, { now, before }) {
  const { run, segmentation, period } = context;
  const { money } = run;
  const all = segmentation.everyone;
  const risky = segmentation.present.filter((segment) => segment.level === -1 && segmentation.members[segment.id]);
  const atRisk = risky.map((segment) => segmentation.members[segment.id]);
  const sum = (name) => atRisk.reduce((total, members) => total + members[name], 0);
  const shown = [
    tile(segmentation.isAudience ? "Members" : "Customers", count(sizeNow(segmentation)),
      segmentation.isAudience ? `of ${plural(run.customers, "customer")}, ${percent(sizeNow(segmentation) / run.customers)}` : `${now.entered.customers ? count(now.entered.customers) : "none"} of them new ${period.name}`),
    revenueTile(context, now, before),
  ];
  if (segmentation.isAudience) {
    return tiles("Key figures", shown,
      tile("Entered", count(now.entered.customers), run.ifKnown(now.entered.revenue, (spent) => `they had spent ${spent}`), change(now.entered.customers, before?.entered.customers, null, period)),
      tile("Left", count(now.left.customers), run.ifKnown(now.left.revenue, (spent) => `they had spent ${spent}`), change(now.left.customers, before?.left.customers, null, period)));
  }
  if (!segmentation.hasLevels) return tiles("Key figures", shown);
  return tiles("Key figures", shown,
    risky.length && all.revenue ? tile("Revenue at risk", money(sum("revenue")), `spent so far by the ${plural(sum("customers"), "customer")} now in ${risky.map((each) => each.name).join(", ")}; ${percent(sum("revenue") / all.revenue)} of all`) : null,
    tile("Won back", count(now.returned.customers), [`returns of customers${run.ifKnown(now.returned.revenue, (spent) => ` who had spent ${spent} before`)}. `, whoLink(context, "returned")], change(now.returned.customers, before?.returned.customers, true, period)),
    tile("Lapsed", count(now.lapsed.customers), [`customers who fell silent${run.ifKnown(now.lapsed.revenue, (spent) => ` and had spent ${spent}`)}. `, whoLink(context, "lapsed")], change(now.lapsed.customers, before?.lapsed.customers, false, period)));
}

function revenueTile({ run, period }, now, before) {
  const { revenue, orders, since } = now.trade;
  if (revenue === null) return tile("Revenue", NO_FIGURE, "not known yet: the view counts days from its second one on");
  const from = since > period.first ? `, as far as it is known: since ${dayText(since)}` : "";
  return tile("Revenue", run.money(revenue), `${orders > 0 ? `${plural(orders, "order")} of ${run.money(revenue / orders)} on average, all customers` : "no orders"}${from}`,
    before && run.tradeFrom <= period.before.first ? change(revenue, before.trade.revenue, true, period) : null);
}

function sizeNow(segmentation) {
  return Object.values(segmentation.members).reduce((sum, members) => sum + members.customers, 0);
}

function segmentTable(context, facts) {
  const { run, segmentation, period } = context;
  const rows = segmentation.present.map((segment) => rowOf(context, facts, segment));
  const largest = Math.max(...rows.map((row) => row.members?.share ?? 0), 0.001);
  const columns = [
    { title: segmentation.isAudience ? "Audience" : "Segment", className: "segment-cell", cell: (row) => [segmentName(context, segmentation, row.index), row.segment.action ? element("span", { class: "small" }, row.segment.action) : null], text: (row) => row.segment.name },
    { title: "Customers", isNumber: true, cell: (row) => count(row.size), text: (row) => row.size },
    { title: "Share", className: "share", cell: (row) => shareBar(row, segmentation, largest), text: (row) => row.members?.share ?? 0 },
    { title: `Trend, ${plural(facts.sizes[0]?.length ?? 0, "day")}`, className: "trend", cell: (row) => sparkLine(facts.sizes[row.index], segmentation.colours.get(row.segment.id)), text: (row) => facts.sizes[row.index].join(" ") },
    { title: "Entered", isNumber: true, cell: (row) => count(row.entered.customers), text: (row) => row.entered.customers },
    { title: "Left", isNumber: true, cell: (row) => count(row.left.customers), text: (row) => row.left.customers },
    { title: BY_VERSIONS, isNumber: true, cell: (row) => signed(row.byVersions), text: (row) => row.byVersions },
    { title: "Revenue in all", isNumber: true, cell: (row) => (row.members ? [run.money(row.members.revenue), element("span", { class: "small" }, percent(row.members.revenue_share))] : NO_FIGURE), text: (row) => row.members?.revenue ?? 0 },
    { title: PERIOD_REVENUE, isOfSales: true, isNumber: true, cell: (row) => [run.money(row.revenue), element("span", { class: "small" }, changeMark(row.revenue, row.revenueBefore))], text: (row) => row.revenue.toFixed(run.moneyDigits) },
    { title: "Order value", isInFileOnly: true, text: (row) => row.members?.average_order_value },
    { title: "What to do", isInFileOnly: true, text: (row) => row.segment.action },
  ].filter((column) => (column.title !== BY_VERSIONS || rows.some((row) => row.byVersions)) && (!column.isOfSales || segmentation.sales));
  const lead = segmentation.isAudience
    ? `Entered and left ${period.name}; revenue is what present members have spent in all.`
    : `From the best of the life cycle to the lost. Entered and left ${period.name}, by what customers did themselves${rows.some((row) => row.byVersions) ? "; what new versions of the model moved is told apart" : ""}. Revenue in all is what present members have spent${segmentation.sales ? "; revenue in the period is what came of those who were in the segment then" : ""}.`;
  return section(segmentation.isAudience ? "Who is in it" : "Who your customers are", lead,
    table(`Segments of ${segmentation.title}`, columns.filter((column) => !column.isInFileOnly), rows),
    element("div", { class: "below" }, csvButton(`segments-${segmentation.name}`, columns, rows)));
}

function rowOf({ segmentation, period }, facts, segment) {
  const index = segmentation.indexOf(segment.id);
  const sizes = facts.sizes[index];
  const byOwn = (end, other) => segmentation.sum(period.first, period.last, (from, to, cause) => (end === "to" ? to : from) === index && isOwn(cause) && other(from, to));
  const [entered, left] = [byOwn("to", () => true), byOwn("from", () => true)];
  const brought = (days) => segmentation.trade(days.first, days.last).get(index)?.revenue ?? 0;
  const versions = (side) => segmentation.sum(period.first, period.last, (from, to, cause) => (side === "to" ? to : from) === index && !isOwn(cause)).customers;
  return {
    segment, index, members: segmentation.members[segment.id], size: sizes.at(-1) ?? 0,
    entered, left, byVersions: versions("to") - versions("from"),
    revenue: brought(period), revenueBefore: period.before && brought(period.before),
  };
}

function shareBar(row, segmentation, largest) {
  const share = row.members?.share ?? 0;
  return [
    element("span", { class: "share-text" }, percent(share)),
    element("span", { class: "track", "aria-hidden": "true" },
      element("span", { class: "bar", style: { width: `${(share / largest) * 100}%`, background: `var(${segmentation.colours.get(row.segment.id)})` } })),
  ];
}

function totalRevenue(pairs) {
  return pairs.length && pairs.every((pair) => pair.revenue !== null) ? pairs.reduce((sum, pair) => sum + pair.revenue, 0) : null;
}

function directions(context) {
  const { segmentation, period, run } = context;
  const list = (direction) => segmentation.pairs(period.first, period.last, (from, to, cause) => isMove(segmentation, from) && isOwn(cause) && segmentation.direction(from, to) === direction);
  const shown = (pairs, label, sentence) => element("div", {},
    element("h3", {}, label),
    element("p", { class: "lead" }, `${plural(pairs.reduce((sum, pair) => sum + pair.customers, 0), "move")} ${sentence}${run.ifKnown(totalRevenue(pairs), (spent) => `, by customers who had spent ${spent}`)}.`),
    barList(label, pairs.slice(0, 6).map((pair) => ({
      name: [segmentName(context, segmentation, pair.from, false), element("span", { class: "to" }, " → "), segmentName(context, segmentation, pair.to, false)],
      size: pair.customers,
      colour: segmentation.colours.get(segmentation.segments[pair.to].id),
      figures: count(pair.customers) + run.ifKnown(pair.revenue, (money) => ` · ${money}`),
    }))));
  const columns = [
    { title: "Direction", text: (pair) => segmentation.direction(pair.from, pair.to) },
    { title: "From", text: (pair) => segmentation.nameOf(pair.from) },
    { title: "To", text: (pair) => segmentation.nameOf(pair.to) },
    { title: "Moves", text: (pair) => pair.customers },
    { title: `Spent before, ${run.currency}`, text: (pair) => pair.revenue?.toFixed(run.moneyDigits) },
  ];
  return section("Up and down the life cycle", `What customers did themselves ${period.name}${segmentation.flows.revenue ? "; with the money that they had spent before" : ""}.`,
    element("div", { class: "two" },
      shown(list("up"), "Up", "up"),
      shown(list("down"), "Down", "down")),
    element("div", { class: "below" }, element("a", { href: addressOf("movements", context.shared) }, "All movements"), csvButton(`up-and-down-${segmentation.name}`, columns, [...list("up"), ...list("down")])));
}

function sizesSection(context) {
  const { run, segmentation } = context;
  const [first, last] = [run.firstDay, run.lastDay];
  const days = Array.from({ length: last - first + 1 }, (_each, i) => first + i);
  const sizes = segmentation.sizes(first, last);
  const series = segmentation.segments
    .map((segment, index) => ({ name: segmentation.nameOf(index), colour: segmentation.colours.get(segment.id), values: sizes[index] }))
    .filter((each) => each.values.some((size) => size > 0));
  if (!series.length) return null;
  const grew = series.map((each) => ({ name: each.name, change: each.values.at(-1) - (each.values.at(-31) ?? 0) })).sort((a, b) => Math.abs(b.change) - Math.abs(a.change))[0];
  const weekly = days.filter((_day, i) => (days.length - 1 - i) % 7 === 0);
  const columns = [
    { title: "Day", cell: (day) => dayText(day), text: isoDay },
    ...series.map((each) => ({ title: each.name, isNumber: true, cell: (day) => count(each.values[day - first]), text: (day) => each.values[day - first] })),
  ];
  const sentence = segmentation.isAudience
    ? `${plural(series[0].values.at(-1), "member")} on ${dayText(last)}, ${signed(grew.change)} in 30 days.`
    : `In the last 30 days ${grew.name} changed most (${signed(grew.change)}).`;
  return section(segmentation.isAudience ? "How the audience grew and shrank" : "How the segments grew and shrank", null, figure({
    name: `sizes-${segmentation.name}`,
    title: segmentation.isAudience ? "Members at the end of each day" : "Customers in each segment at the end of each day",
    sentence,
    chart: timeChart({ label: `Customers by segment from ${dayText(first)} to ${dayText(last)}; the table below has the figures.`, days, series, kind: "areas" }),
    legend: legendOf(series),
    columns,
    rows: weekly,
  }));
}

function otherSegmentations(context) {
  const { run } = context;
  if (run.segmentations.length < 2) return null;
  const kinds = { learned: "Learned", rules: "By rules", audience: "Audience" };
  const columns = [
    { title: "Name", cell: (each) => element("a", { href: addressOf("overview", { ...context.shared, segmentation: each.name, segment: null }) }, each.title), text: (each) => each.title },
    { title: "Kind", cell: (each) => kinds[each.kind] ?? each.kind, text: (each) => each.kind },
    { title: "Segments", isNumber: true, cell: (each) => count(each.isAudience ? 1 : each.present.length), text: (each) => each.present.length },
    { title: "Customers", isNumber: true, cell: (each) => count(sizeNow(each)), text: sizeNow },
    { title: "Share", isNumber: true, cell: (each) => percent(sizeNow(each) / run.customers), text: (each) => sizeNow(each) / run.customers },
    { title: "Moves a customer and month", isNumber: true, isOfWholeRun: true, cell: (each) => decimal(each.moves.own_moves.per_customer_month, 2), text: (each) => each.moves.own_moves.per_customer_month },
  ].filter((column) => !column.isOfWholeRun || run.segmentations.every((each) => each.moves));
  return section("All segmentations and audiences", "Each divides the same customers in its own way; customers may enter and leave an audience again and again.",
    table("Segmentations and audiences, with their sizes", columns, run.segmentations),
    element("div", { class: "below" }, csvButton("segmentations", columns, run.segmentations)));
}
