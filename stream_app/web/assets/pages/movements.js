// Who moved from where to where in a period, and why.

import { ribbons } from "../charts/ribbons.js";
import { timeChart } from "../charts/time.js";
import { element } from "../dom.js";
import { count, dateText, dayText, isoDay, plural } from "../format.js";
import { NOBODY, isMove, isOfKind, isOwn } from "../model.js";
import { choice, csvButton, customerLink, figure, legendOf, page, section, segmentName, table } from "../parts.js";
import { addressOf, weeksOf } from "../state.js";

export const CAUSE_NAMES = {
  purchase: "Purchase", refund: "Refund", engagement: "Engagement", lapse: "Passing of time", profile: "Profile",
  model: "New model", definition: "New definition", merge: "Merge of ids", consent: "Consent",
  erasure: "Erasure",
};
const CAUSE_COLOURS = {
  purchase: "--cool-2", refund: "--warm-4", engagement: "--cool-5", lapse: "--warm-0", profile: "--cool-1",
  model: "--cool-7", definition: "--cool-9", merge: "--cool-3", consent: "--warm-2", erasure: "--warm-1",
};
const KINDS = { lapsed: "Lapsed", returned: "Won back", entered: "Entered", left: "Left" };
const RIBBONS_MAX = 30;
const LISTED_MAX = 200;

export function movementsPage(context) {
  const { segmentation, period, query } = context;
  const chosen = chosenCauses(context);
  const only = KINDS[query.get("change")] ? query.get("change") : "all";
  const admits = (from, _to, cause, change) => isMove(segmentation, from) && chosen.has(cause) && (only === "all" || isOfKind(segmentation, only, from, change));
  const pairs = segmentation.pairs(period.first, period.last, admits);
  const picked = query.get("from") !== null ? [Number(query.get("from")), Number(query.get("to"))] : null;
  const isListed = (from, to, ...why) => admits(from, to, ...why) && (!picked || (from === picked[0] && to === picked[1]));
  const title = picked ? `${segmentation.nameOf(picked[0])} → ${segmentation.nameOf(picked[1])}` : KINDS[only];
  const model = segmentation.models.find((each) => String(each.version) === query.get("version") && each.status !== "held");
  return page("Movements", element("p", { class: "headline" }, sentenceOf(context, pairs)),
    model ? versionSection(context, model) : null,
    element("div", { class: "toolbar" }, kindChoice(context, only), causeFilter(context, chosen)),
    picked || only !== "all" ? context.site?.movers(context, title, isListed) ?? moversSection(context, title, isListed) : null,
    pairs.length ? [diagramSection(context, pairs), matrixSection(context, pairs)] : null,
    causesSection(context));
}

function chosenCauses({ run, query }) {
  const named = query.get("causes");
  if (named !== null) return new Set(named.split(" ").filter((cause) => run.causes.includes(cause)));
  return new Set(run.causes.filter(isOwn));
}

function sentenceOf({ run, segmentation, period }, pairs) {
  const moves = pairs.reduce((sum, pair) => sum + pair.customers, 0);
  if (!moves) return `Nobody moved ${period.name}.`;
  const [first] = pairs;
  return `${plural(moves, "move")} ${period.name}. The commonest: ${count(first.customers)} from ${segmentation.nameOf(first.from)} to ${segmentation.nameOf(first.to)}${run.ifKnown(first.revenue, (money) => `, who had spent ${money}`)}.`;
}

function kindChoice(context, only) {
  const { segmentation, period } = context;
  const kinds = Object.keys(KINDS).filter((kind) => kind === only || segmentation.sum(period.first, period.last, (from, _to, _cause, change) => isMove(segmentation, from) && isOfKind(segmentation, kind, from, change)).customers);
  if (!kinds.length) return null;
  return choice("Moves", only, [{ value: "all", name: "all" }, ...kinds.map((kind) => ({ value: kind, name: KINDS[kind].toLowerCase() }))],
    (change) => context.go("movements", { causes: context.query.get("causes"), change: change === "all" ? null : change }));
}

function causeFilter(context, chosen) {
  const { run, segmentation, period } = context;
  const boxes = run.causes.map((cause) => {
    const moves = segmentation.sum(period.first, period.last, (from, _to, kind) => kind === cause && isMove(segmentation, from)).customers;
    if (!moves && !chosen.has(cause)) return null;
    if (!moves && cause !== "purchase" && cause !== "lapse") return null;
    return element("label", {},
      element("input", { type: "checkbox", value: cause, checked: chosen.has(cause), onchange: () => {
        const next = new Set(chosen);
        if (next.has(cause)) next.delete(cause);
        else next.add(cause);
        context.go("movements", { causes: [...next].join(" ") || "none", change: context.query.get("change") });
      } }),
      ` ${CAUSE_NAMES[cause] ?? cause} `, element("span", { class: "faint" }, count(moves)));
  });
  return element("fieldset", { class: "causes" },
    element("legend", {}, "Moves caused by"),
    boxes);
}

function diagramSection(context, pairs) {
  const { segmentation, run } = context;
  const shown = pairs.slice(0, RIBBONS_MAX);
  const columns = [
    { title: "From", cell: (pair) => segmentName(context, segmentation, pair.from), text: (pair) => segmentation.nameOf(pair.from) },
    { title: "To", cell: (pair) => segmentName(context, segmentation, pair.to), text: (pair) => segmentation.nameOf(pair.to) },
    { title: "Moves", isNumber: true, cell: (pair) => count(pair.customers), text: (pair) => pair.customers },
    { title: `Spent before, ${run.currency}`, isNumber: true, cell: (pair) => run.money(pair.revenue), text: (pair) => pair.revenue?.toFixed(run.moneyDigits) },
  ].slice(0, segmentation.flows.revenue ? 4 : 3);
  const left = pairs.length - shown.length;
  return section("From where to where", null, figure({
    name: `movements-${segmentation.name}`,
    title: "Segments left (left side) and entered (right side)",
    sentence: `A ribbon is as wide as its moves, and has the colour of the segment entered.${left > 0 ? ` ${plural(left, "pair")} with fewer moves are in the table only.` : ""}`,
    chart: element("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Flow diagram" }, ribbons({
      label: `Flow diagram: ${shown.slice(0, 3).map((pair) => `${segmentation.nameOf(pair.from)} to ${segmentation.nameOf(pair.to)} ${count(pair.customers)}`).join(", ")}; the table below has all.`,
      pairs: shown,
      order: (index) => (index === NOBODY ? segmentation.segments.length : index),
      nameOf: (index) => segmentation.nameOf(index),
      colourOf: (index) => (index === NOBODY ? "--everyone" : segmentation.colours.get(segmentation.segments[index].id)),
    })),
    columns,
    rows: pairs,
  }));
}

function matrixSection(context, pairs) {
  const { segmentation } = context;
  const rows = [...new Set(pairs.map((pair) => pair.from))].sort((a, b) => a - b);
  const ends = [...new Set(pairs.map((pair) => pair.to))].sort((a, b) => a - b);
  const moves = new Map(pairs.map((pair) => [`${pair.from}>${pair.to}`, pair.customers]));
  const largest = Math.max(...pairs.map((pair) => pair.customers));
  const cell = (from, to) => {
    const size = moves.get(`${from}>${to}`);
    if (!size) return element("td", { class: "heat empty" }, from === to ? "" : "·");
    const href = addressOf("movements", { ...context.shared, causes: context.query.get("causes"), change: context.query.get("change"), from, to });
    const strength = Math.round(12 + 78 * Math.sqrt(size / largest));
    return element("td", { class: "heat", style: { "--strength": `${strength}%` } },
      element("a", { href, "aria-label": `${segmentation.nameOf(from)} to ${segmentation.nameOf(to)}: ${plural(size, "move")}; who they are` }, count(size)));
  };
  const caption = `Moves from the segment of the row to the segment of the column`;
  const columns = [{ title: "From", text: (from) => segmentation.nameOf(from) }, ...ends.map((to) => ({ title: segmentation.nameOf(to), text: (from) => moves.get(`${from}>${to}`) ?? 0 }))];
  return section("Matrix", "Rows are left, columns entered; the darker, the more moves. A number leads to the customers behind it.",
    element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
      element("table", { class: "matrix" },
        element("caption", { class: "unseen" }, caption),
        element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "From \\ to"), ends.map((to) => element("th", { scope: "col" }, segmentation.nameOf(to))))),
        element("tbody", {}, rows.map((from) => element("tr", {}, element("th", { scope: "row" }, segmentName(context, segmentation, from)), ends.map((to) => cell(from, to))))))),
    element("div", { class: "below" }, csvButton(`matrix-${segmentation.name}`, columns, rows)));
}

function moversSection(context, title, isListed) {
  const { people, segmentation, period } = context;
  const total = segmentation.sum(period.first, period.last, isListed).customers;
  const found = [...people.movers(segmentation, period.first, period.last, isListed), ...people.recentMovers(segmentation, period.first, isListed)]
    .sort((a, b) => b.move.atMs - a.move.atMs);
  return listSection(context, title, found, total, period.name);
}

// Whom a model has moved when it took over, whatever the period that is looked at.
function versionSection(context, model) {
  const { run, people, segmentation } = context;
  if (segmentation.newest?.version === model.version && segmentation.newest.moves.length) {
    const place = (id) => (id === null ? NOBODY : segmentation.indexOf(id));
    const moves = segmentation.newest.moves.map((move) => ({ id: move.id, move: { ...move, from: place(move.from), to: place(move.to) } }));
    return listSection(context, `Whom model ${model.version} moved`, moves, model.moved ?? moves.length, `on ${dateText(model.atMs)}`);
  }
  const found = people.movers(segmentation, run.firstDay, run.lastDay, (_from, _to, cause, _change, version) => cause === "model" && version === model.version);
  return listSection(context, `Whom model ${model.version} moved`, found, model.moved ?? found.length, `on ${dateText(model.atMs)}`);
}

function listSection(context, title, found, total, when) {
  const { run, people, segmentation } = context;
  const rows = found.slice(0, LISTED_MAX);
  const columns = [
    { title: "Customer", cell: (row) => customerLink(context, row.id), text: (row) => row.id },
    { title: "When", className: "date", cell: (row) => dateText(row.move.atMs), text: (row) => new Date(row.move.atMs).toISOString() },
    { title: "From", cell: (row) => segmentName(context, segmentation, row.move.from, false), text: (row) => segmentation.nameOf(row.move.from) },
    { title: "To", cell: (row) => segmentName(context, segmentation, row.move.to, false), text: (row) => segmentation.nameOf(row.move.to) },
    { title: "Why", className: "words", cell: (row) => row.move.sentence ?? element("span", { class: "faint" }, "not in this file"), text: (row) => row.move.sentence },
  ];
  const lead = found.length >= total
    ? `All ${plural(total, "move")} ${when}.`
    : `${plural(found.length, "move")} of ${count(total)} ${when}: those of the ${count(people.size)} customers (of ${count(run.customers)}) who are here with every move. migrations.jsonl beside this file has all.`;
  return section(title, `${lead}${found.length > LISTED_MAX ? ` The first ${LISTED_MAX} are shown.` : ""}`,
    rows.length ? table(`${title}: the list`, columns, rows, { isStacked: true }) : null,
    element("div", { class: "below" },
      rows.length ? csvButton(`movers-${segmentation.name}`, columns, found) : null,
      element("a", { href: addressOf("movements", { ...context.shared, causes: context.query.get("causes") }) }, "Close the list")));
}

function causesSection({ run, segmentation }) {
  const weeks = weeksOf(run);
  const series = run.causes.map((cause) => ({ cause, name: CAUSE_NAMES[cause] ?? cause, colour: CAUSE_COLOURS[cause] ?? "--everyone", values: weeks.map(() => 0) }));
  segmentation.each(weeks[0], run.lastDay, (row, from, _to, cause) => {
    if (!isMove(segmentation, from)) return;
    const week = Math.floor((segmentation.flows.day[row] - weeks[0]) / 7);
    series.find((each) => each.cause === cause).values[week] += segmentation.flows.customers[row];
  });
  const drawn = (wanted) => series.filter((each) => wanted(each.cause) && each.values.some((moves) => moves > 0));
  const own = drawn(isOwn);
  const byVersions = drawn((cause) => !isOwn(cause));
  const figureOf = (kept, name, title, sentence) => figure({
    name: `${name}-${segmentation.name}`, title, sentence,
    chart: timeChart({ label: `${title} from ${dayText(weeks[0])} to ${dayText(run.lastDay)}; the table below has the figures.`, days: weeks, series: kept, kind: "bars", height: 200 }),
    legend: legendOf(kept),
    columns: [
      { title: "Seven days from", cell: dayText, text: isoDay },
      ...kept.map((each) => ({ title: each.name, isNumber: true, cell: (day) => count(each.values[(day - weeks[0]) / 7]), text: (day) => each.values[(day - weeks[0]) / 7] })),
    ],
    rows: weeks,
  });
  const total = (kept) => kept.reduce((sum, each) => sum + each.values.reduce((a, b) => a + b, 0), 0);
  if (!own.length && !byVersions.length) return section("Why customers moved", "Nobody has changed segment yet.");
  return section("Why customers moved, week by week", null,
    own.length ? figureOf(own, "causes", "Moves by what customers did or left undone", `${plural(total(own), "move")} since ${dayText(run.firstDay)}: ${own.map((each) => `${each.name.toLowerCase()} ${Math.round((total([each]) / total(own)) * 100)} %`).join(", ")}.`) : null,
    byVersions.length ? figureOf(byVersions, "versions", "Moves by new versions", `${plural(total(byVersions), "move")} that no customer made: a new version drew the lines elsewhere.`) : null);
}
