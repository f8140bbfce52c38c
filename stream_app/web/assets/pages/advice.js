// What to do now, and about whom: the segments that a look is worth most, with the list of those who are in them.

import { element, freshId } from "../dom.js";
import { count, percent, plural } from "../format.js";
import { isOfKind, isOwn } from "../model.js";
import { segmentName } from "../parts.js";
import { addressOf } from "../state.js";
import { memberFile } from "./members.js";

const BEST_MAX = 2;

// Who is slipping away, who brings the most, and who may bring more; for an audience, whoever is in it.
export function adviceSection(context) {
  const { segmentation } = context;
  const cards = segmentation.isAudience ? audienceCards(context) : segmentation.hasLevels ? levelCards(context) : [];
  const shown = cards.filter((card) => card.rows.length);
  if (!shown.length) return null;
  const id = freshId("advice");
  return element("section", { class: "advice", "aria-labelledby": id },
    element("h2", { id }, "What to do now"),
    element("div", { class: "advice-cards" }, shown.map((card) => cardOf(context, card))));
}

function levelCards(context) {
  const { segmentation, period, run } = context;
  const rows = segmentation.present
    .map((segment) => ({ segment, index: segmentation.indexOf(segment.id), members: segmentation.members[segment.id] }))
    .filter((row) => row.members?.customers && row.segment.action);
  const inRevenue = (a, b) => b.members.revenue - a.members.revenue;
  const slipping = rows.filter((row) => row.segment.level === -1).sort(inRevenue).slice(0, 1);
  const best = rows.filter((row) => row.segment.level > 0).slice(0, BEST_MAX);
  const others = rows.filter((row) => row.segment.level >= 0 && !best.includes(row)).sort(inRevenue).slice(0, 1);
  const entered = (index) => segmentation.sum(period.first, period.last, (_from, to, cause) => to === index && isOwn(cause)).customers;
  const lapsed = segmentation.sum(period.first, period.last, (from, _to, cause, change) => isOfKind(segmentation, "lapsed", from, change) && isOwn(cause));
  return [
    {
      title: "Win back", rows: slipping,
      more: lapsed.customers ? [`${plural(lapsed.customers, "customer")} fell silent ${period.name}${run.ifKnown(lapsed.revenue, (spent) => `; they had spent ${spent}`)}. `, element("a", { href: addressOf("movements", { ...context.shared, change: "lapsed" }) }, "Who they are")] : null,
      text: (row) => plural(row.members.customers, "customer") + run.ifKnown(row.members.revenue, (spent) => ` who have spent ${spent}, ${percent(row.members.revenue_share)} of all revenue`),
    },
    {
      title: "Look after", rows: best,
      text: (row) => `${plural(row.members.customers, "customer")}, ${percent(row.members.share)} of all${run.ifKnown(row.members.revenue, () => `, with ${percent(row.members.revenue_share)} of the revenue`)}`,
    },
    {
      title: "Develop", rows: others,
      text: (row) => `${plural(row.members.customers, "customer")}${run.ifKnown(row.members.revenue_per_customer, (spent) => ` who have spent ${spent} each`)}; ${entered(row.index) ? count(entered(row.index)) : "nobody"} came ${period.name}`,
    },
  ];
}

function audienceCards({ segmentation, run }) {
  const rows = segmentation.present
    .map((segment, index) => ({ segment, index, members: segmentation.members[segment.id] }))
    .filter((row) => row.members?.customers && row.segment.action);
  return [{ title: segmentation.title, rows, text: (row) => plural(row.members.customers, "member") + run.ifKnown(row.members.revenue, (spent) => ` who have spent ${spent}`) }];
}

function cardOf(context, { title, rows, text, more = null }) {
  const { segmentation, listing } = context;
  return element("article", { class: "advice-card" },
    element("h3", {}, title),
    rows.map((row) => {
      const members = listing.members(segmentation, row.index);
      return element("div", { class: "advice-row" },
        element("p", {}, segmentName(context, segmentation, row.index), ": ", text(row), "."),
        element("p", { class: "action" }, row.segment.action),
        members.length ? element("p", { class: "below" }, memberFile(context, `members-${segmentation.name}-${row.segment.id}`, members, members.length >= row.members.customers ? "Download the list" : `Download the best ${count(members.length)}`)) : null);
    }),
    more ? element("p", { class: "more" }, more) : null);
}
