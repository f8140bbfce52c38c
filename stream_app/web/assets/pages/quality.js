// What became of the records: accepted, late, doubled, refused and why.

import { element } from "../dom.js";
import { count, instantText, percent, plural } from "../format.js";
import { csvButton, page, section, table, tile, tiles } from "../parts.js";
import { addressOf } from "../state.js";

const REFUSED_SHARE_SHOWN = 0.01;
const REASONS_SHOWN = 3;

export function qualityPage(context) {
  const { run } = context;
  const { counts } = run;
  if (!counts) return page("Quality of data", context.site?.quality(context));
  return page("Quality of data", element("p", { class: "headline" }, refusedText(run) ?? `All ${plural(counts.in, "record")} were accepted.`),
    tiles("Records",
      tile("Read", count(counts.in), "records in the input"),
      tile("Applied", count(counts.applied + counts.late_applied), counts.late_applied ? `${count(counts.late_applied)} of them late` : "none of them late"),
      tile("Seen before", count(counts.duplicate), run.tooOld ? `left out; ${count(run.tooOld)} of them said something of an order that is too old to be followed` : "left out, as they had come already"),
      tile("Refused", count(counts.rejected), percent(counts.in ? counts.rejected / counts.in : 0, 2))),
    refusals(run),
    doubts(run),
    inputs(run));
}

// What the figures are without. The report begins with it and with the commonest reasons; later pages recall it only
// where it is a part that matters.
export function refusedNotice({ run, shared }, isFirst) {
  const text = run.counts && refusedText(run);
  if (!text || (!isFirst && run.counts.rejected / run.counts.in <= REFUSED_SHARE_SHOWN)) return null;
  const link = element("a", { href: addressOf("quality", shared) }, "See why");
  if (!isFirst) return element("p", { class: "notice" }, `${text} `, link);
  return element("div", { class: "notice" },
    element("p", {}, `${text} The figures are without ${run.counts.rejected === 1 ? "it" : "them"}. `, link),
    element("ul", { class: "reasons" }, run.refused.slice(0, REASONS_SHOWN).map(({ reason, records, examples }) => element("li", {},
      `${nameOf(reason)}: ${plural(records, "record")}`,
      examples.length ? `, such as ${examples[0].file}, line ${examples[0].line}: ${examples[0].message}` : null))));
}

export function refusedText({ counts }) {
  if (!counts.rejected) return null;
  return `${plural(counts.rejected, "record")} of ${count(counts.in)} (${percent(counts.rejected / counts.in, 2)}) ${counts.rejected === 1 ? "was" : "were"} refused.`;
}

function refusals(run) {
  if (!run.refused.length) return null;
  const columns = [
    { title: "File", cell: (row) => row.file, text: (row) => row.file },
    { title: "Line", isNumber: true, cell: (row) => String(row.line), text: (row) => row.line },
    { title: "Field", cell: (row) => (row.field && row.field !== "$" ? element("code", {}, row.field) : "the record"), text: (row) => row.field },
    { title: "What is wrong", className: "words", cell: (row) => row.message, text: (row) => row.message },
  ];
  const nobodys = run.withoutCustomer
    ? ` Without a customer: ${count(run.withoutCustomer)} of them. Their customer's id is missing, or stands for nobody, such as “guest”.`
    : "";
  return section("Refused, by reason", `The commonest reason first, each with its first records. All of them are in dead_letters.jsonl.${nobodys}`,
    run.refused.map(({ reason, records, examples }) => {
      const name = `${nameOf(reason)}: ${plural(records, "record")}`;
      return element("div", { class: "reason" },
        element("h3", {}, name),
        examples.length ? table(name, columns, examples, { isStacked: true }) : null,
        examples.length ? element("div", { class: "below" }, csvButton(`refused-${reason}`, columns, examples)) : null);
    }));
}

export function nameOf(reason) {
  return reason.replaceAll("_", " ");
}

// Records that are followed for their own customer alone.
function doubts(run) {
  const { ahead, behind, examples } = run.doubts;
  if (!ahead && !behind) return null;
  const sides = [ahead ? `${count(ahead)} far ahead` : null, behind ? `${count(behind)} far behind` : null].filter(Boolean);
  const columns = [
    { title: "File", cell: (row) => row.file, text: (row) => row.file },
    { title: "Row", isNumber: true, cell: (row) => count(row.row), text: (row) => row.row },
    { title: "Says", className: "date", cell: (row) => instantText(Date.parse(row.at)), text: (row) => row.at },
  ];
  return section("Times in doubt", `${plural(ahead + behind, "record")} ${ahead + behind === 1 ? "lies" : "lie"} far from all others in time: ${sides.join(" and ")}. A mistyped year does so, or a date that stands for none. They count for their own customers; nobody else's time follows them.`,
    examples.length ? [
      table("Records far from all others in time", columns, examples),
      element("div", { class: "below" }, csvButton("times-in-doubt", columns, examples)),
    ] : null);
}

function inputs(run) {
  const columns = [
    { title: "File", cell: (row) => row.file, text: (row) => row.file },
    { title: "Holds", cell: (row) => row.topic, text: (row) => row.topic },
    { title: "Records", isNumber: true, cell: (row) => count(row.records), text: (row) => row.records },
  ];
  return section("Where the records came from", null,
    table("Input files", columns, run.inputs, { isCompact: true }),
    element("div", { class: "below" }, csvButton("inputs", columns, run.inputs)));
}
