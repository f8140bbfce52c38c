// One customer: in which segments now and why, what led there, what was bought, and what comes next by itself.

import { lanesChart } from "../charts/lanes.js";
import { element, freshId } from "../dom.js";
import { DAY_MS, count, dateText, dayText, daysText, instantText, plural } from "../format.js";
import { NOBODY } from "../model.js";
import { choice, csvButton, customerLink, figure, page, section, segmentName, table, tile, tiles } from "../parts.js";
import { CAUSE_NAMES } from "./movements.js";

const EXAMPLES = 12;

export function customerPage(context) {
  const { people, listing, query } = context;
  const id = query.get("id");
  const title = id ? `Customer ${id}` : "Customers";
  const head = page(title, element("div", {}, search(context, id), id && (people.has(id) || listing.has(id)) ? null : element("p", { class: "lead" }, heldText(context))));
  if (!id) return [...head, examples(context)];
  if (people.has(id)) return [...head, ...sections(context, id, { moves: people.moves(id), acts: people.events(id), following: people.following(id) })];
  if (context.site) return [...head, ...context.site.customer(context, id, sections)];
  const row = listing.of(id);
  if (row) return [...head, listedFigures(context, row), listedSegments(context, row), element("p", { class: "notice" }, "This file does not have the moves of this customer; migrations.jsonl beside it has those of everybody.")];
  return [...head, element("p", { class: "notice", role: "status" }, absentText(context, id)), examples(context)];
}

function heldText({ run, people, listing, site }) {
  if (site) return "Any customer can be looked up here.";
  if (people.size >= run.customers) return `All ${plural(run.customers, "customer")} are here with every move.`;
  const listed = Math.max(listing.size, people.size);
  const present = listing.isComplete ? `All ${plural(run.customers, "customer")} are here with their present segments` : `${count(listed)} of ${plural(run.customers, "customer")} are here with their present segments, those with the greatest revenue in each`;
  return `${present}, and ${count(people.size)} of them with every move: a fair sample, and the best of each segment. migrations.jsonl has every move of everybody.`;
}

// Whether there is no such customer, or this file is without the customer.
function absentText({ run, people, listing }, id) {
  if (listing.isComplete || people.size >= run.customers) return `There is no customer “${id}”: all ${plural(run.customers, "customer")} are in this file, and none has this id.`;
  return `“${id}” is not included in this file, which has ${count(Math.max(listing.size, people.size))} of ${plural(run.customers, "customer")}. That does not mean that there is no such customer: memberships.jsonl beside it has everybody.`;
}

function listedFigures({ run }, row) {
  return tiles("Key figures",
    tile("Orders", count(row.orders), "in all"),
    tile("Net revenue", run.money(row.revenue, true), row.orders > 0 ? `${run.money(row.revenue / row.orders)} an order` : ""),
    tile("Last active", row.lastDay === null ? "never" : dayText(row.lastDay), row.lastDay === null ? "only a profile is known" : `${plural(run.lastDay - row.lastDay, "day")} before ${dayText(run.lastDay)}`));
}

function listedSegments(context, row) {
  const rows = context.listing.segmentsOf(row).map(([segmentation, index]) => ({ segmentation, index }));
  const columns = [
    { title: "Segmentation", cell: (each) => each.segmentation.title, text: (each) => each.segmentation.name },
    { title: "Segment", cell: (each) => segmentName(context, each.segmentation, each.index), text: (each) => each.segmentation.nameOf(each.index) },
    { title: "What is true of everybody in it", className: "words", cell: (each) => each.segmentation.meaningOf(each.index), text: (each) => each.segmentation.meaningOf(each.index) },
    { title: "What to do", className: "words", cell: (each) => each.segmentation.segments[each.index].action ?? "", text: (each) => each.segmentation.segments[each.index].action },
  ];
  return section("Where this customer is now", context.run.asOfMs ? `As of ${instantText(context.run.asOfMs)}.` : null,
    table(`Segments of customer ${row.id}`, columns, rows, { isStacked: true }),
    element("div", { class: "below" }, csvButton("segments-of-a-customer", columns, rows)));
}

// What is known of a customer: moves, acts (null if they are not known), and what follows by segmentation.
function sections(context, id, { moves, acts, following }) {
  return [
    acts || moves.length ? keyFigures(context, id, moves, acts) : null,
    present(context, id, moves, following),
    timeline(context, id, moves, acts, following),
    history(context, id, moves),
  ].filter(Boolean);
}

function search(context, id) {
  const [input, list] = [freshId("customer"), freshId("ids")];
  const options = element("datalist", { id: list });
  return element("form", { class: "search", role: "search", onsubmit: (event) => {
    event.preventDefault();
    const wanted = event.target.elements.id.value.trim();
    if (wanted) context.go("customer", { id: wanted });
  } },
  element("label", { for: input }, "Customer id"),
  element("input", { id: input, name: "id", list, value: id ?? "", autocomplete: "off", spellcheck: "false", oninput: (event) => {
    const start = event.target.value;
    const found = start ? context.listing.startingWith(start, 20) : [];
    options.replaceChildren(...found.map((each) => element("option", { value: each })));
  } }),
  options,
  element("button", { type: "submit" }, "Look up"));
}

function examples(context) {
  const { segmentation } = context;
  const best = segmentation.present.flatMap((segment) => context.listing.members(segmentation, segmentation.indexOf(segment.id)).slice(0, 2).map((row) => row.id));
  const known = [...new Set(best)].filter((id) => context.people.has(id)).slice(0, EXAMPLES);
  if (!known.length) return null;
  return section("For example", `Those with the greatest revenue in the segments of ${segmentation.title}.`,
    element("ul", { class: "chips" }, known.map((id) => element("li", {}, customerLink(context, id)))));
}

function keyFigures({ run, listing }, id, moves, acts) {
  const row = acts ? null : listing.of(id);
  const bought = acts?.filter((act) => act.kind === "purchase") ?? null;
  const refunded = acts?.filter((act) => act.kind === "refund" || act.kind === "cancellation").reduce((sum, act) => sum + act.amount, 0) ?? 0;
  const revenue = bought ? bought.reduce((sum, act) => sum + act.amount, 0) - refunded : null;
  const last = acts?.at(-1)?.atMs;
  return tiles("Key figures",
    row ? [tile("Orders", count(row.orders), "in all"), tile("Net revenue", run.money(row.revenue, true), row.orders > 0 ? `${run.money(row.revenue / row.orders)} an order` : "")] : null,
    acts ? tile("Purchases", count(bought.length), bought.length ? `the last on ${dateText(bought.at(-1).atMs)}` : "none yet") : null,
    acts ? tile("Net revenue", run.money(revenue, true), bought.length ? `${run.money(revenue / bought.length)} an order` : "") : null,
    acts ? null : spentTile(run, moves),
    last ? tile("Last active", daysText((run.asOfMs - last) / DAY_MS), `before ${dateText(run.asOfMs)}`) : null,
    tile("Moves", count(moves.filter((move) => move.from !== NOBODY).length), `since ${dateText(moves[0].atMs)}, in all segmentations`));
}

// Where purchases are not known, moves say what the customer had brought before them.
function spentTile(run, moves) {
  const move = moves.findLast((each) => each.revenueBefore !== null && each.revenueBefore !== undefined);
  return move ? tile("Had spent", run.money(move.revenueBefore, true), `before the last move, on ${dateText(move.atMs)}`) : null;
}

function lastMoves(moves) {
  const last = new Map();
  for (const move of moves) last.set(move.segmentation, move);
  return last;
}

function present(context, id, moves, following) {
  const rows = [...lastMoves(moves)].filter(([, move]) => move.to !== NOBODY)
    .map(([segmentation, move]) => ({ segmentation, move, next: following.get(segmentation) }))
    .sort((a, b) => context.run.segmentations.indexOf(a.segmentation) - context.run.segmentations.indexOf(b.segmentation));
  const nextText = (row) => (row.next ? `${row.next.to === NOBODY ? "leaves" : row.segmentation.nameOf(row.next.to)} on ${dateText(row.next.atMs)}` : "stays, as far as time alone goes");
  const columns = [
    { title: "Segmentation", cell: (row) => row.segmentation.title, text: (row) => row.segmentation.name },
    { title: "Segment", cell: (row) => segmentName(context, row.segmentation, row.move.to), text: (row) => row.segmentation.nameOf(row.move.to) },
    { title: "Since", className: "date", cell: (row) => dateText(row.move.atMs), text: (row) => new Date(row.move.atMs).toISOString() },
    { title: "Why", className: "words", cell: (row) => row.move.sentence, text: (row) => row.move.sentence },
    { title: "Next, if nothing happens", cell: (row) => nextText(row), text: nextText },
  ];
  return section("Where this customer is now", `${context.run.asOfMs ? `As of ${instantText(context.run.asOfMs)}.` : ""}`,
    table(`Segments of customer ${id}`, columns, rows, { isStacked: true }),
    element("div", { class: "below" }, csvButton("segments-of-a-customer", columns, rows)));
}

function timeline(context, id, moves, acts, following) {
  const { run } = context;
  const lanes = run.segmentations.map((segmentation) => laneOf(run, segmentation, moves.filter((move) => move.segmentation === segmentation)))
    .filter((lane) => lane.stays.length && (lane.hasMoves || lane.segmentation.isAudience));
  const shown = acts ?? [];
  if (acts === null && !lanes.length) return null;
  const columns = acts === null ? STAY_COLUMNS : [
    { title: "When", className: "date", cell: (act) => instantText(act.atMs), text: (act) => new Date(act.atMs).toISOString() },
    { title: "What", cell: (act) => act.kind, text: (act) => act.kind },
    { title: `Amount, ${run.currency}`, isNumber: true, cell: (act) => (act.kind === "engagement" ? "" : run.money(act.amount, true)), text: (act) => (act.kind === "engagement" ? "" : act.amount.toFixed(run.moneyDigits)) },
  ];
  const fromMs = Math.min(moves[0].atMs, shown[0]?.atMs ?? moves[0].atMs);
  const coming = comingMoves(context, following, lanes, fromMs);
  const comingText = coming.length ? ` Without a further act, ${coming.map(({ lane, name, atMs }) => `${lane.name}: ${name} on ${dateText(atMs)}`).join("; ")}; that stands dashed behind the line of today.` : "";
  return section("What happened, and where it led", null, figure({
    name: acts === null ? "stays-of-a-customer" : "acts-of-a-customer",
    title: acts === null ? "Segments over time" : "Segments over time, and purchases below",
    sentence: acts === null ? "Purchases are not shown: what these pages are drawn from follows moves between segments, and orders stay with the workers." : `${plural(shown.filter((act) => act.kind === "purchase").length, "purchase")} and ${plural(shown.filter((act) => act.kind === "engagement").length, "engagement")}; a purchase is the taller, the greater its amount. What the lanes show stands in the list of moves below.${comingText}`,
    chart: element("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Timeline" }, lanesChart({
      label: `Timeline of customer ${id}: ${lanes.map((lane) => `${lane.name} ${lane.stays.at(-1).name}`).join(", ")} at the end.`,
      lanes, acts, coming, fromMs, toMs: run.asOfMs, amountText: (amount) => run.money(amount, true),
    })),
    columns,
    rows: acts === null ? lanes.flatMap((lane) => lane.stays.map((stay) => ({ lane, stay }))) : shown,
  }));
}

const STAY_COLUMNS = [
  { title: "Segmentation", cell: (row) => row.lane.name, text: (row) => row.lane.segmentation.name },
  { title: "Segment", cell: (row) => row.stay.name, text: (row) => row.stay.name },
  { title: "From", className: "date", cell: (row) => dateText(row.stay.fromMs), text: (row) => new Date(row.stay.fromMs).toISOString() },
  { title: "Until", className: "date", cell: (row) => dateText(row.stay.toMs), text: (row) => new Date(row.stay.toMs).toISOString() },
];

// What silence alone leads to, as far as it comes soon enough to be drawn.
function comingMoves({ run }, following, lanes, fromMs) {
  const limitMs = run.asOfMs + Math.max((run.asOfMs - fromMs) / 4, 30 * DAY_MS);
  return lanes.flatMap((lane, place) => {
    const next = following.get(lane.segmentation);
    if (!next || next.atMs > limitMs || !lane.stays.length) return [];
    const { segmentation } = lane;
    const isNowhere = next.to === NOBODY;
    return [{ lane, place, atMs: next.atMs, name: isNowhere ? "leaves" : segmentation.nameOf(next.to), colour: isNowhere ? "--everyone" : segmentation.colours.get(segmentation.segments[next.to].id) }];
  });
}

function laneOf(run, segmentation, moves) {
  const stays = moves.flatMap((move, i) => (move.to === NOBODY ? [] : [{
    fromMs: move.atMs,
    toMs: moves[i + 1]?.atMs ?? run.asOfMs,
    name: segmentation.nameOf(move.to),
    colour: segmentation.colours.get(segmentation.segments[move.to].id),
  }]));
  return { name: segmentation.title, segmentation, stays, hasMoves: moves.length > 1 };
}

function history(context, id, moves) {
  const { run, query } = context;
  const involved = run.segmentations.filter((each) => moves.some((move) => move.segmentation === each));
  const only = query.get("of") ?? (involved.includes(context.segmentation) ? context.segmentation.name : "all");
  const rows = moves.filter((move) => only === "all" || move.segmentation.name === only).reverse();
  const columns = [
    { title: "When", className: "date", cell: (move) => instantText(move.atMs), text: (move) => new Date(move.atMs).toISOString() },
    { title: "Segmentation", cell: (move) => move.segmentation.title, text: (move) => move.segmentation.name },
    { title: "From", cell: (move) => segmentName(context, move.segmentation, move.from), text: (move) => move.segmentation.nameOf(move.from) },
    { title: "To", cell: (move) => segmentName(context, move.segmentation, move.to), text: (move) => move.segmentation.nameOf(move.to) },
    { title: "Cause", cell: (move) => CAUSE_NAMES[move.cause] ?? move.cause, text: (move) => move.cause },
    { title: "Why", className: "words", cell: (move) => move.sentence, text: (move) => move.sentence },
  ];
  const options = [{ value: "all", name: "All segmentations" }, ...involved.map((each) => ({ value: each.name, name: each.title }))];
  const isWhole = involved.every((each) => moves.find((move) => move.segmentation === each).from === NOBODY);
  return section(isWhole ? "Every move, the newest first" : "Moves that are kept, the newest first", null,
    choice("Moves in", only, options, (of) => context.go("customer", { id, of })),
    table(`Moves of customer ${id}`, columns, rows, { isStacked: true }),
    element("div", { class: "below" }, csvButton("moves-of-a-customer", columns, rows)));
}
