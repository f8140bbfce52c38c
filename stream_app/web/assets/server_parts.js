// Parts of pages that are filled once the server has answered: members page by page, a customer, the latest moves, and
// whoever made a move of some kind.

import { element } from "./dom.js";
import { count, dateText, instantText, plural } from "./format.js";
import { pagedTable } from "./pages/members.js";
import { choice, customerLink, section, segmentName, table } from "./parts.js";
import { Refused } from "./source.js";

const PAGE_CUSTOMERS = 25;
const HISTORY_PAGE = 1_000;
const LATEST_SHOWN = 6;
const MOVERS_MAX = 200;

// A place that fills itself; drawing the page anew leaves it alone.
export function holder(name, ...children) {
  return element("div", { "data-own": name, class: "own" }, children);
}

export function failed(site, error, what) {
  if (site.isSignedOut(error)) return element("p", {}, "");
  return element("p", { class: "notice", role: "alert" }, error instanceof Refused && error.status === 403 ? `Your token does not show ${what}: ${error.message}.` : `${what} cannot be shown now: ${error.message}.`);
}

// --- members ----------------------------------------------------------------------------------------------------

export function membersSection(context, segment) {
  if (context.isRefresh) return element("section", {});
  const { site, segmentation } = context;
  const place = holder("members", element("p", { class: "faint", role: "status" }, "Loading members …"));
  const path = `/v1/segmentations/${encodeURIComponent(segmentation.name)}/segments/${encodeURIComponent(segment.id)}/members`;
  let [order, cursors] = ["longest", [null]];
  const go = async (number, isMoved = true) => {
    const cursor = cursors[number];
    try {
      const found = await site.server.get(path, [["limit", PAGE_CUSTOMERS], ["order", order], ...(cursor ? [["cursor", cursor]] : [])]);
      cursors[number + 1] = found.next_cursor;
      place.replaceChildren(...memberPage(context, segment, found, number, go));
      if (isMoved) place.querySelector(".page-of")?.focus();
    } catch (error) {
      place.replaceChildren(failed(site, error, "The members"));
    }
  };
  go(0, false);
  const orders = [{ value: "longest", name: "longest here" }, { value: "newest", name: "newest" }];
  return section("Members", null,
    choice("First", order, orders, (wanted) => {
      [order, cursors] = [wanted, [null]];
      go(0, false);
    }),
    place,
    element("div", { class: "below" }, element("a", { class: "button quiet", href: `${path}?format=csv`, download: `members-${segmentation.name}-${segment.id}.csv` }, "Download all as CSV")));
}

function memberPage(context, segment, found, number, go) {
  const first = number * PAGE_CUSTOMERS;
  const columns = [
    { title: "Customer", cell: (row) => customerLink(context, row.customer_id), text: (row) => row.customer_id },
    { title: "Here since", className: "date", cell: (row) => instantText(Date.parse(row.since)), text: (row) => row.since },
  ];
  if (!found.members.length) return [element("p", {}, number ? "There are no more." : "Nobody is here now.")];
  return [
    table(`Members of ${segment.name}`, columns, found.members, { isCompact: true }),
    element("div", { class: "paging" },
      element("button", { type: "button", class: "quiet", disabled: number === 0, onclick: () => go(number - 1) }, "Back"),
      element("span", { class: "page-of", tabindex: "-1" }, `${count(first + 1)}–${count(first + found.members.length)} of ${plural(found.customers, "member")}`),
      element("button", { type: "button", class: "quiet", disabled: !found.next_cursor, onclick: () => go(number + 1) }, "Next")),
  ];
}

// --- a customer -------------------------------------------------------------------------------------------------

export function customerParts(context, id, sections) {
  const { site } = context;
  if (context.isRefresh) return [element("div", {})];
  const place = holder("customer", element("p", { class: "faint", role: "status" }, "Looking up …"));
  const look = async () => {
    try {
      const known = await lookUp(context, id);
      place.replaceChildren(...(known ? sections(context, id, known) : [element("p", { class: "notice", role: "status" }, `There is no customer “${id}”.`)]).filter(Boolean));
    } catch (error) {
      place.replaceChildren(failed(site, error, "The customer"));
    }
  };
  site.watchCustomer(id, place, look);
  look();
  return [place];
}

// Where a customer is, and its moves as far as they are kept one by one; where a segmentation keeps none any more, what
// led to where the customer is.
async function lookUp({ run, site }, id) {
  const path = `/v1/customers/${encodeURIComponent(id)}`;
  let found;
  try {
    found = await site.server.get(`${path}/segments`);
  } catch (error) {
    if (error instanceof Refused && error.code === "customer-unknown") return null;
    throw error;
  }
  const present = found.segments.filter((each) => run.segmentation(each.segmentation));
  const kept = await historyOf(site.server, path);
  const told = new Set(kept.map((each) => each.segmentation));
  const last = present.filter((each) => !told.has(each.segmentation)).map((each) => ({ ...each, to_segment: each.segment, effective_at: each.since }));
  const moves = [...kept.filter((each) => run.segmentation(each.segmentation)), ...last].map((each) => moveOf(run, each));
  moves.sort((a, b) => a.atMs - b.atMs);
  const following = new Map(present.filter((each) => each.next_move).map((each) => {
    const segmentation = run.segmentation(each.segmentation);
    const target = each.next_move.to_segment;
    return [segmentation, { atMs: Date.parse(each.next_move.at), to: target ? segmentation.indexOf(target.id) : -1 }];
  }));
  return { moves, acts: null, following };
}

async function historyOf(server, path) {
  const moves = [];
  for (let cursor = null; ;) {
    const page = await server.get(`${path}/migrations`, [["limit", HISTORY_PAGE], ...(cursor ? [["cursor", cursor]] : [])]);
    moves.push(...page.migrations);
    cursor = page.next_cursor;
    if (!cursor) return moves.reverse();  // in the order in which they were made
  }
}

// A migration, or a membership with what led to it, as pages have moves.
export function moveOf(run, raw) {
  const segmentation = run.segmentation(raw.segmentation);
  const index = (end) => (end ? segmentation.indexOf(end.id) : -1);
  return {
    atMs: Date.parse(raw.effective_at),
    segmentation,
    from: index(raw.from_segment),
    to: index(raw.to_segment),
    cause: raw.cause?.kind ?? null,
    change: raw.change,
    version: raw.model_version,
    revenueBefore: raw.revenue_before ?? null,
    sentence: shortened(raw),
  };
}

// A sentence without its end "; from → to.", where both stand beside it.
function shortened({ explanation, from_segment: from, to_segment: to }) {
  if (!explanation) return "The reason is not kept any more.";
  const end = `; ${from?.name} → ${to?.name}.`;
  return explanation.sentence.endsWith(end) ? `${explanation.sentence.slice(0, -end.length)}.` : explanation.sentence;
}

// --- moves ------------------------------------------------------------------------------------------------------

export function latestSection(context) {
  const { site, run, segmentation } = context;
  const moves = site.latest.moves.filter((move) => move.segmentation === segmentation.name).slice(0, LATEST_SHOWN);
  return section("Latest moves", site.streamState === "live" ? "As they happen." : site.streamText,
    moves.length ? table("Who moved last", moveColumns(context), moves.map((move) => ({ id: move.customer_id, move: moveOf(run, move) })), { isStacked: true }) : element("p", { class: "faint" }, "None yet."));
}

function moveColumns(context) {
  const { segmentation } = context;
  return [
    { title: "Customer", cell: (row) => customerLink(context, row.id), text: (row) => row.id },
    { title: "When", className: "date", cell: (row) => instantText(row.move.atMs), text: (row) => new Date(row.move.atMs).toISOString() },
    { title: "From", cell: (row) => segmentName(context, segmentation, row.move.from, false), text: (row) => segmentation.nameOf(row.move.from) },
    { title: "To", cell: (row) => segmentName(context, segmentation, row.move.to, false), text: (row) => segmentation.nameOf(row.move.to) },
    { title: "Why", className: "words", cell: (row) => row.move.sentence, text: (row) => row.move.sentence },
  ];
}

export function moversParts(context, title, isListed) {
  const { site, run, segmentation, period } = context;
  if (!site.isLive) return null;
  if (context.isRefresh) return element("section", {});
  const total = segmentation.sum(period.first, period.last, isListed).customers;
  const place = holder("movers", element("p", { class: "faint", role: "status" }, "Looking for them …"));
  const look = async () => {
    try {
      const found = await site.moves(segmentation, period, isListed, MOVERS_MAX);
      const rows = found.map((move) => ({ id: move.customer_id, move: moveOf(run, move) }));
      const columns = moveColumns(context);
      place.replaceChildren(
        element("p", { class: "lead" }, rows.length >= total ? `All ${plural(total, "move")} ${period.name}.` : `The ${rows.length >= MOVERS_MAX ? "last " : ""}${plural(rows.length, "move")} of ${count(total)} ${period.name}${rows.length >= MOVERS_MAX ? "." : ": those that the view still keeps one by one."}`),
        ...(pagedTable(`Who they are: ${title}`, `movers-${segmentation.name}`, columns, rows, { isStacked: true }) ?? []));
    } catch (error) {
      place.replaceChildren(failed(site, error, "Who they are"));
    }
  };
  look();
  return section(title, null, place);
}

// --- decisions --------------------------------------------------------------------------------------------------

export function decisionSection(context) {
  const { site, segmentation } = context;
  const version = segmentation.waiting;
  if (version === null) return null;
  if (context.isRefresh) return element("section", {});
  const model = segmentation.models.findLast((each) => each.version === version && each.status === "held");
  const churn = model?.expected_churn ?? null;
  const said = element("p", { role: "status" });
  const decide = async (action) => {
    said.textContent = "Handed in; waiting for a worker …";
    try {
      const outcome = await site.server.post(`/console/segmentations/${encodeURIComponent(segmentation.name)}/models/${version}/${action}`);
      said.textContent = outcome.status === "done" ? `Done: version ${outcome.published_version} is in force.` : `${outcome.status === "pending" ? "Handed in" : "Refused"}: ${outcome.reason}.`;
      if (outcome.status === "done") site.reloadDocument();
    } catch (error) {
      if (!site.isSignedOut(error)) said.replaceChildren(`That did not work: ${error.message}. On a machine that reaches Kafka: `, element("code", {}, command(segmentation, version, action)));
    }
  };
  const buttons = site.server.session.can_decide
    ? element("div", { class: "below" }, ["approve", "reject"].map((action) => element("button", { type: "button", onclick: () => decide(action) }, action === "approve" ? "Approve" : "Reject")))
    : element("p", {}, "To decide on it: ", element("code", {}, command(segmentation, version, "approve")), ", or ", element("code", {}, "reject"), " in its place.");
  return element("section", { class: "card", "data-own": "decision", "aria-label": "Held for approval" },
    element("h2", {}, `Model ${version} is held for approval`),
    element("p", { class: "lead" }, `Learned on ${model ? dateText(model.atMs) : "–"}; ${churn === null ? "nobody knows how many customers it would move" : `it is expected to move ${Math.round(churn * 1000) / 10} % of the customers at once`}.`),
    buttons, said);
}

function command(segmentation, version, action) {
  return `segmenter model ${action} ${segmentation.name} ${version}`;
}
