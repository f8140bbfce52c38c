// What became of the records: accepted, late, doubled, refused and why.

import { element } from "../dom.js";
import { count, percent, plural } from "../format.js";
import { csvButton, page, section, table, tile, tiles } from "../parts.js";

export function qualityPage(context) {
  const { run } = context;
  const { counts } = run;
  return page("Quality of data", element("p", { class: "headline" }, refusedText(run) ?? `All ${plural(counts.in, "record")} were accepted.`),
    tiles("Records",
      tile("Read", count(counts.in), "records in the input"),
      tile("Applied", count(counts.applied + counts.late_applied), counts.late_applied ? `${count(counts.late_applied)} of them late` : "none of them late"),
      tile("Seen before", count(counts.duplicate), "left out, as they had come already"),
      tile("Refused", count(counts.rejected), percent(counts.in ? counts.rejected / counts.in : 0, 2))),
    refusals(run),
    inputs(run));
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
  return section("Refused, by reason", "The commonest reason first, each with its first records. All of them are in dead_letters.jsonl.",
    run.refused.map(({ reason, records, examples }) => {
      const name = `${reason.replaceAll("_", " ")}: ${plural(records, "record")}`;
      return element("div", { class: "reason" },
        element("h3", {}, name),
        examples.length ? table(name, columns, examples, { isStacked: true }) : null,
        examples.length ? element("div", { class: "below" }, csvButton(`refused-${reason}`, columns, examples)) : null);
    }));
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
