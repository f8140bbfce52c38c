// What was refused lately, as the view counts it: by day and reason, with the newest records of each.

import { timeChart } from "./charts/time.js";
import { element } from "./dom.js";
import { count, dayText, instantText, isoDay, plural } from "./format.js";
import { nameOf } from "./pages/quality.js";
import { csvButton, figure, legendOf, section, table, tile, tiles } from "./parts.js";
import { failed, holder } from "./server_parts.js";

const COLOURS = ["--warm-1", "--warm-2", "--accent", "--everyone"];
const OTHERS = "All others";
const DAY_MS = 86_400_000;
const DAYS_MIN = 14;

export function refusedParts(context) {
  if (context.isRefresh) return [];
  const { site } = context;
  const place = holder("refused", element("p", { class: "faint", role: "status" }, "Loading what was refused …"));
  const look = async () => {
    try {
      place.replaceChildren(...drawn(context, await site.server.get("/console/refused")).filter(Boolean));
    } catch (error) {
      place.replaceChildren(failed(site, error, "What was refused"));
    }
  };
  look();
  return place;
}

function drawn(context, found) {
  const { days, reasons } = found;
  const elsewhere = element("p", { class: "lead" }, "How many records were read, came late or had times in doubt is in the metrics of each worker: segmenter_events_total, segmenter_late_events_total and segmenter_duplicate_events_total.");
  if (!days.length) return [element("p", { class: "headline" }, "What was refused is not known here."), elsewhere];
  const within = (wanted) => reasons.reduce((sum, { by_day: byDay }) => sum + byDay.slice(-wanted).reduce((all, each) => all + each, 0), 0);
  const [day, week, all] = [within(1), within(7), within(days.length)];
  return [
    element("p", { class: "headline" }, all ? `${plural(week, "record")} ${week === 1 ? "was" : "were"} refused in the last 7 days; figures are without ${week === 1 ? "it" : "them"}.` : `No record was refused in the last ${count(days.length)} days.`),
    tiles("Refused records",
      tile("Today", count(day), "since midnight"),
      tile("Last 7 days", count(week), `${count(within(14) - week)} in the 7 days before`),
      tile(`Last ${days.length} days`, count(all), reasons.length ? `most often: ${nameOf(reasons[0].reason)}` : "as long as they are counted")),
    all ? overTime(days, reasons) : null,
    all ? byReason(found) : null,
    elsewhere,
  ];
}

function overTime(days, reasons) {
  const earliest = days.findIndex((_day, place) => reasons.some(({ by_day: byDay }) => byDay[place] > 0));
  const first = Math.max(Math.min(earliest, days.length - DAYS_MIN), 0);
  const shown = days.slice(first).map((day) => Date.parse(day) / DAY_MS);
  const told = reasons.slice(0, COLOURS.length - 1).map(({ reason, by_day: byDay }, place) => ({ name: nameOf(reason), colour: COLOURS[place], values: byDay.slice(first) }));
  const rest = reasons.slice(COLOURS.length - 1);
  if (rest.length) told.push({ name: OTHERS, colour: COLOURS.at(-1), values: shown.map((_day, place) => rest.reduce((sum, each) => sum + each.by_day[first + place], 0)) });
  const at = (day) => day - shown[0];
  const columns = [
    { title: "Day", cell: dayText, text: isoDay },
    ...told.map((each) => ({ title: each.name, isNumber: true, cell: (day) => count(each.values[at(day)]), text: (day) => each.values[at(day)] })),
  ];
  return section("When they were refused", null, figure({
    name: "refused-by-day",
    title: "Refused records by day and reason",
    sentence: "A day on which many come often is that of a release of whatever sends them.",
    chart: timeChart({ label: `Refused records by day from ${dayText(shown[0])} to ${dayText(shown.at(-1))}; the table below has the figures.`, days: shown, series: told, kind: "bars", height: 180 }),
    legend: told.length > 1 ? legendOf(told) : null,
    columns,
    rows: shown,
  }));
}

function byReason({ reasons, has_examples: hasExamples }) {
  const columns = [
    { title: "When", className: "date", cell: (row) => instantText(row.at_ms), text: (row) => new Date(row.at_ms).toISOString() },
    { title: "Where", cell: (row) => `${row.topic}, partition ${row.partition}, offset ${row.offset}`, text: (row) => `${row.topic}/${row.partition}/${row.offset}` },
    { title: "Field", cell: (row) => (row.field && row.field !== "$" ? element("code", {}, row.field) : "the record"), text: (row) => row.field },
    { title: "What is wrong", className: "words", cell: (row) => row.message, text: (row) => row.message },
  ];
  const lead = `The commonest reason first${hasExamples ? ", each with its newest records" : "; with the scope read:customers, each with its newest records"}. All of them are on the topic dead-letters.`;
  return section("Refused, by reason", lead, reasons.map(({ reason, records, examples }) => {
    const name = `${nameOf(reason)}: ${plural(records, "record")}`;
    return element("div", { class: "reason" },
      element("h3", {}, name),
      examples.length ? table(name, columns, examples, { isStacked: true }) : null,
      examples.length ? element("div", { class: "below" }, csvButton(`refused-${reason}`, columns, examples)) : null);
  }));
}
