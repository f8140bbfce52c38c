// One segment: who its members are against everybody, how many, where they come from and go, and how long they stay.

import { rangeChart } from "../charts/ranges.js";
import { timeChart } from "../charts/time.js";
import { element } from "../dom.js";
import { comparedText, count, dayText, daysText, decimal, isFigure, isoDay, percent, plural, signed } from "../format.js";
import { NOBODY, isOwn } from "../model.js";
import { weeksOf } from "../state.js";
import { actionText, barList, choice, csvButton, figure, lineLegendOf, page, section, segmentName, table, tile, tiles } from "../parts.js";
import { listedText, memberFile, pagedMembers } from "./members.js";
import { overlapSection } from "./overlap.js";
import { medianStay, paceText, staysSection } from "./stays.js";
import { segmentTrade } from "./trade.js";

const FIGURES = [
  { key: "recency_days", name: "Days since last active", isMoney: false, more: "has been silent for longer", less: "has been active more recently" },
  { key: "tenure_days", name: "Days as a customer", isMoney: false, more: "has been a customer for longer", less: "came later" },
  { key: "orders", name: "Orders", isMoney: false, more: "has ordered more often", less: "has ordered less often" },
  { key: "revenue", name: "Revenue", isMoney: true, more: "has spent more", less: "has spent less" },
  { key: "order_value", name: "Order value", isMoney: true, more: "spends more on an order", less: "spends less on an order" },
  { key: "engagements", name: "Engagements", isMoney: false, more: "has engaged more often", less: "has engaged less often" },
];

export function segmentPage(context) {
  const { segmentation, query } = context;
  const wanted = query.get("segment");
  const found = segmentation.indexOf(wanted);
  const index = found >= 0 ? found : Math.max(segmentation.segments.findIndex((each) => segmentation.members[each.id]), 0);
  const segment = segmentation.segments[index];
  if (!segment) return page("Segment", element("p", {}, "There are no segments yet."));
  const members = segmentation.members[segment.id];
  const options = segmentation.segments.map((each, i) => ({ value: each.id, name: segmentation.nameOf(i) }));
  return page(segment.name, element("div", {},
    options.length > 1 ? choice("Segment", segment.id, options, (id) => context.go("segment", { segment: id, with: query.get("with") })) : null,
    element("p", { class: "headline" }, definition(segmentation, segment)),
    context.site ? context.site.action(context, segment) : actionText(segment),
    members ? listButtons(context, index, members) : null),
  keyFigures(context, index, members),
  members ? comparison(context, segment, members) ?? means(context, segment, members) : null,
  sizes(context, index),
  flows(context, index),
  staysSection(context, segment),
  segmentTrade(context, index),
  members ? overlapSection(context, index) : null,
  memberPart(context, index, members));
}

function listButtons(context, index, members) {
  const { listing, segmentation } = context;
  const rows = listing.members(segmentation, index);
  if (!rows.length) return null;
  return element("p", { class: "below" }, memberFile(context, `members-${segmentation.name}-${segmentation.segments[index].id}`, rows, rows.length >= members.customers ? `Download the list of ${plural(rows.length, "member")}` : `Download the ${count(rows.length)} best members`));
}

function definition(segmentation, segment) {
  if (segment.former) return "A former segment: no present version has it.";
  const means = segment.means ?? "";
  if (segmentation.kind === "learned") return `True of everybody here: ${means}.${segment.open ? "" : " It admits nobody at present."}`;
  if (means === "otherwise") return "Everybody for whom none of the other conditions holds.";
  const isLater = segmentation.kind === "rules" && segment.tried > 0;
  return `Defined by: ${means}${isLater ? ", where no condition that is tried before holds" : ""}.`;
}

function keyFigures(context, index, members) {
  const { run, segmentation, period } = context;
  const { money } = run;
  const side = (name) => segmentation.sum(period.first, period.last, (from, to, cause) => (name === "to" ? to : from) === index && isOwn(cause));
  const [entered, left] = [side("to"), side("from")];
  const segment = segmentation.segments[index];
  const stay = medianStay(segmentation, segment) ?? paceText(segmentation, period, index);
  const since = segmentation.sinceDays?.[segment.id];
  const brought = segmentation.trade(period.first, period.last).get(index) ?? { revenue: 0, orders: 0 };
  const before = period.before && (segmentation.trade(period.before.first, period.before.last).get(index)?.revenue ?? 0);
  return tiles("Key figures",
    tile("Customers", count(members?.customers ?? 0), members ? `${percent(members.share)} of all` : "nobody is here now"),
    members ? tile("Revenue of members", money(members.revenue), `${percent(members.revenue_share)} of all; ${money(members.revenue_per_customer)} each`) : null,
    members ? tile("Order value", money(members.average_order_value), `${decimal(members.orders_per_customer, 1)} orders each; all: ${money(segmentation.everyone.average_order_value)}`) : null,
    tile("Entered and left", `${count(entered.customers)} and ${count(left.customers)}`, `${period.name}, of their own${run.ifKnown(left.revenue, (spent) => `; who left had spent ${spent}`)}`),
    segmentation.sales && tile("Brought", money(brought.revenue), `${plural(brought.orders, "order")} ${period.name}`, before ? { text: comparedText(brought.revenue, before, period.beforeText), tone: brought.revenue > before ? "good" : "bad" } : null),
    stay ? tile("Half stay for", stay, since ? `those here now came ${daysText(since[1])} ago (median)` : "") : null);
}

function comparison(context, segment, members) {
  const { run, segmentation } = context;
  const everyone = segmentation.everyone;
  const rows = FIGURES.filter(({ key }) => members.quantiles?.[key] && everyone.quantiles?.[key] && everyone.quantiles[key].some((value) => value !== everyone.quantiles[key][0]))
    .map((figureOf) => ({ ...figureOf, own: members.quantiles[figureOf.key], all: everyone.quantiles[figureOf.key], rank: members.rank[figureOf.key] }))
    .sort((a, b) => Math.abs(b.rank - 0.5) - Math.abs(a.rank - 0.5));
  if (!rows.length) return null;
  const text = (row, value) => (row.isMoney ? run.money(value) : decimal(value, value % 1 ? 1 : 0));
  const columns = [
    { title: "Figure", cell: (row) => row.name, text: (row) => row.name },
    { title: "Median here", isNumber: true, cell: (row) => text(row, row.own[2]), text: (row) => row.own[2] },
    { title: "Median of all", isNumber: true, cell: (row) => text(row, row.all[2]), text: (row) => row.all[2] },
    { title: "Spread: here above, everybody below", className: "spread", cell: (row) => rangeChart({
      label: `${row.name}: half of the members are between ${text(row, row.own[1])} and ${text(row, row.own[3])}; of everybody, between ${text(row, row.all[1])} and ${text(row, row.all[3])}.`,
      own: row.own, everyone: row.all, colour: segmentation.colours.get(segment.id),
    }), text: (row) => `${row.own.join(" ")} / ${row.all.join(" ")}` },
    { title: "What that means", className: "words", cell: (row) => meaning(row), text: (row) => meaning(row) },
  ];
  return section("Who they are", "Against all customers, what tells them apart most comes first. A thick bar is the middle half, a thin one eight in ten, the line the median; small values are drawn wider than large ones.",
    table(`Figures of ${segment.name} against everybody`, columns, rows, { isStacked: true }),
    element("div", { class: "below" }, csvButton(`figures-${segmentation.name}-${segment.id}`, columns, rows)));
}

const MEANS = [
  { key: "recency_days", name: "Days since last active", isMoney: false },
  { key: "tenure_days", name: "Days as a customer", isMoney: false },
  { key: "orders_per_customer", name: "Orders", isMoney: false },
  { key: "revenue_per_customer", name: "Revenue", isMoney: true },
  { key: "average_order_value", name: "Order value", isMoney: true },
];

// Where the spread of members' figures is not known.
function means(context, segment, members) {
  const { run, segmentation } = context;
  const rows = MEANS.filter(({ key }) => isFigure(members[key]) && isFigure(segmentation.everyone[key]));
  if (!rows.length) return null;
  const text = (row, value) => (row.isMoney ? run.money(value) : decimal(value, 1));
  const columns = [
    { title: "Mean", cell: (row) => row.name, text: (row) => row.name },
    { title: segment.name, isNumber: true, cell: (row) => text(row, members[row.key]), text: (row) => members[row.key] },
    { title: "All customers", isNumber: true, cell: (row) => text(row, segmentation.everyone[row.key]), text: (row) => segmentation.everyone[row.key] },
  ];
  return section("Who they are", "Against all customers. How far they spread is in the report of a replay alone.",
    table(`Means of ${segment.name} and of all customers`, columns, rows),
    element("div", { class: "below" }, csvButton(`figures-${segmentation.name}-${segment.id}`, columns, rows)));
}

function meaning(row) {
  const chance = Math.round(row.rank * 100);
  if (Math.abs(chance - 50) <= 3) return "Like everybody.";
  const [size, what] = chance > 50 ? [chance, row.more] : [100 - chance, row.less];
  return `In ${size} of 100 pairs a member ${what} than somebody drawn from all.`;
}

function sizes(context, index) {
  const { run, segmentation } = context;
  const [first, last] = [run.firstDay, run.lastDay];
  const values = segmentation.sizes(first, last)[index];
  if (!values.some((size) => size > 0)) return null;
  const days = values.map((_size, i) => first + i);
  const segment = segmentation.segments[index];
  const peak = values.indexOf(Math.max(...values));
  const columns = [
    { title: "Day", cell: dayText, text: isoDay },
    { title: "Customers", isNumber: true, cell: (day) => count(values[day - first]), text: (day) => values[day - first] },
  ];
  return section("How many there were", null, figure({
    name: `size-${segmentation.name}-${segment.id}`,
    title: "Customers at the end of each day",
    sentence: `${count(values.at(-1))} on ${dayText(last)}, ${signed(values.at(-1) - (values.at(-31) ?? 0))} in 30 days; most of all on ${dayText(days[peak])} (${count(values[peak])}).`,
    chart: timeChart({ label: `Customers in ${segment.name} from ${dayText(first)} to ${dayText(last)}; the table below has the figures.`, days, series: [{ name: segment.name, colour: segmentation.colours.get(segment.id), values }], kind: "areas", height: 200 }),
    columns,
    rows: days.filter((_day, i) => (days.length - 1 - i) % 7 === 0),
  }), comingAndGoing(context, index));
}

function comingAndGoing({ run, segmentation }, index) {
  const weeks = weeksOf(run);
  if (weeks.length < 2) return null;
  const segment = segmentation.segments[index];
  const series = [
    { name: "Entered", colour: "--accent", values: weeks.map(() => 0) },
    { name: "Left", colour: "--warm-1", values: weeks.map(() => 0) },
    { name: "By new versions, net", colour: "--everyone", values: weeks.map(() => 0) },
  ];
  segmentation.each(weeks[0], run.lastDay, (row, from, to, cause) => {
    if (from !== index && to !== index) return;
    const week = Math.floor((segmentation.flows.day[row] - weeks[0]) / 7);
    const moved = segmentation.flows.customers[row];
    if (!isOwn(cause)) series[2].values[week] += to === index ? moved : -moved;
    else series[to === index ? 0 : 1].values[week] += moved;
  });
  const shown = series.filter((each) => each.values.some((moves) => moves !== 0));
  if (!shown.length) return null;
  return figure({
    name: `coming-and-going-${segmentation.name}-${segment.id}`,
    title: "Who came and who went, week by week",
    sentence: `In the last seven days ${count(series[0].values.at(-1))} entered and ${count(series[1].values.at(-1))} left by what they did themselves.`,
    chart: timeChart({ label: `Customers who entered and left ${segment.name} by week; the table below has the figures.`, days: weeks, series: shown, kind: "lines", height: 180 }),
    legend: lineLegendOf(shown),
    columns: [
      { title: "Seven days from", cell: dayText, text: isoDay },
      ...shown.map((each) => ({ title: each.name, isNumber: true, cell: (day) => signedOrCount(each, (day - weeks[0]) / 7), text: (day) => each.values[(day - weeks[0]) / 7] })),
    ],
    rows: weeks,
  });
}

function signedOrCount(series, week) {
  return series.name.endsWith("net") ? signed(series.values[week]) : count(series.values[week]);
}

function flows(context, index) {
  const { run, segmentation, period } = context;
  const segment = segmentation.segments[index];
  const pairs = (side) => segmentation.pairs(period.first, period.last, (from, to, cause) => (side === "to" ? to : from) === index && isOwn(cause));
  const [came, went] = [pairs("to"), pairs("from")];
  const list = (title, found, other) => element("div", {},
    element("h3", {}, title),
    found.length ? barList(title, found.slice(0, 8).map((pair) => ({
      name: segmentName(context, segmentation, pair[other]),
      size: pair.customers,
      colour: pair[other] === NOBODY ? "--everyone" : segmentation.colours.get(segmentation.segments[pair[other]].id),
      figures: count(pair.customers) + run.ifKnown(pair.revenue, (money) => ` · ${money}`),
    }))) : element("p", {}, "Nobody."));
  const columns = [
    { title: "From", text: (pair) => segmentation.nameOf(pair.from) },
    { title: "To", text: (pair) => segmentation.nameOf(pair.to) },
    { title: "Moves", text: (pair) => pair.customers },
    { title: `Spent before, ${run.currency}`, text: (pair) => pair.revenue?.toFixed(run.moneyDigits) },
  ];
  const most = (found, other, word) => (found.length ? ` Most ${word} ${segmentation.nameOf(found[0][other])} (${count(found[0].customers)}).` : "");
  return section("Where they come from and where they go", `${period.text}, by what customers did themselves${segmentation.flows.revenue ? "; with the money that they had spent before" : ""}.${most(came, "from", "came from")}${most(went, "to", "left for")}`,
    element("div", { class: "two" }, list("They came from", came, "from"), list("They left for", went, "to")),
    came.length + went.length ? element("div", { class: "below" }, csvButton(`flows-${segmentation.name}-${segment.id}`, columns, [...came, ...went])) : null);
}

// The document's list where it is whole or there is no other; else a server has everybody.
function memberPart(context, index, members) {
  const { listing, segmentation, site } = context;
  const isWhole = members && listing.members(segmentation, index).length >= members.customers;
  if (site && !isWhole) return site.members(context, segmentation.segments[index]);
  return members ? memberList(context, index, members) : null;
}

function memberList(context, index, members) {
  const { listing, segmentation } = context;
  const segment = segmentation.segments[index];
  const rows = listing.members(segmentation, index);
  return section("Members", listedText(rows.length, members.customers),
    pagedMembers(context, `Members of ${segment.name}`, `members-${segmentation.name}-${segment.id}`, rows));
}
