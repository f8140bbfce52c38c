// What the segments mean, which versions there were, what they moved, and which are held back.

import { timeChart } from "../charts/time.js";
import { element } from "../dom.js";
import { NO_FIGURE, count, dateText, dayOf, decimal, percent, plural } from "../format.js";
import { csvButton, figure, lineLegendOf, page, section, segmentName, table } from "../parts.js";
import { addressOf } from "../state.js";

const LEVELS = { up: "better than usual", middle: "usual", down: "trouble" };

export function modelsPage(context) {
  const { segmentation } = context;
  return page("Models and definitions", element("p", { class: "headline" }, lead(segmentation)),
    segmentation.models.length ? [held(context), latest(context)] : null,
    definitions(context),
    segmentation.models.length ? [chart(context), versions(context)] : null);
}

function lead(segmentation) {
  if (segmentation.kind === "audience") return `“${segmentation.title}” is an audience: a customer is in it while its condition holds.`;
  if (segmentation.kind === "rules") return `“${segmentation.title}” is defined by rules: conditions are tried from top to bottom, and the first that holds decides.`;
  const learned = segmentation.models.filter((model) => model.version > 0 && model.status !== "held");
  if (!learned.length) return "No model has been learned yet; until then it is what is usual elsewhere that decides.";
  const worst = learned.reduce((a, b) => ((b.actual_churn ?? 0) > (a.actual_churn ?? 0) ? b : a));
  const moved = worst.actual_churn ? ` The one that moved most, model ${worst.version}, moved ${percent(worst.actual_churn)} of all customers.` : "";
  return `${plural(learned.length, "model")} took over, the last on ${dateText(learned.at(-1).atMs)}.${moved}`;
}

function definitions(context) {
  const { segmentation } = context;
  const level = (segment) => (segment.level === null ? NO_FIGURE : segment.level > 0 ? LEVELS.up : segment.level < 0 ? LEVELS.down : LEVELS.middle);
  const rows = [...segmentation.present];
  if (segmentation.kind === "rules") rows.sort((a, b) => a.tried - b.tried);
  const columns = [
    { title: "Segment", cell: (segment) => segmentName(context, segmentation, segmentation.indexOf(segment.id)), text: (segment) => segment.name },
    { title: "Id", cell: (segment) => element("code", {}, segment.id), text: (segment) => segment.id },
    { title: segmentation.kind === "learned" ? "What is true of everybody in it" : "Condition", className: "words", cell: (segment) => [segment.means ?? "", segment.open ? null : element("span", { class: "badge" }, "closed at present")], text: (segment) => segment.means },
    { title: "Level", cell: level, text: (segment) => segment.level },
    { title: "What to do", className: "words", cell: (segment) => segment.action ?? "", text: (segment) => segment.action },
  ];
  return section("What each segment means", segmentation.description,
    table(`Definitions of ${segmentation.title}`, columns, rows, { isStacked: true }),
    element("div", { class: "below" }, csvButton(`definitions-${segmentation.name}`, columns, rows)));
}

function held(context) {
  const waiting = context.segmentation.models.filter((model) => model.status === "held");
  if (!waiting.length) return null;
  if (context.site?.isLive) return context.site.decision(context);
  const last = waiting.at(-1);
  return element("p", { class: "notice" }, `${plural(waiting.length, "proposal")} held for approval; the newest, model ${last.version} of ${dateText(last.atMs)}, was expected to move ${percent(last.expected_churn)} of the customers.`);
}

function moversHref(context, model) {
  if (!context.segmentation.newest) return addressOf("movements", { ...context.shared, causes: model.version ? "model" : null });
  return addressOf("movements", { ...context.shared, version: model.version });
}

// What the newest model did, and whom it moved.
function latest(context) {
  const model = context.segmentation.models.filter((each) => each.version > 0 && each.status !== "held").at(-1);
  if (!model) return null;
  const link = (text) => element("a", { href: moversHref(context, model) }, text);
  const moved = model.moved === null ? [link("Whom new models moved"), ", all of them together; what each moved is not told apart here."] : model.moved ? [`It moved ${plural(model.moved, "customer")}, ${percent(model.actual_churn)} of all. `, link("Whom it moved")] : "It moved nobody.";
  return section(`The newest model, ${model.version}, took over on ${dateText(model.atMs)}`, null, element("p", {}, moved));
}

function chart(context) {
  const { segmentation, run } = context;
  const told = segmentation.models.filter((model) => model.version > 0 && model.status !== "held" && model.actual_churn !== null);
  if (told.length < 2) return null;
  const days = told.map((model) => dayOf(model.atMs));
  const series = [
    { name: "Actual", colour: "--accent", values: told.map((model) => model.actual_churn) },
    { name: "Forecast", colour: "--everyone", values: told.map((model) => model.expected_churn ?? 0) },
  ];
  const mean = told.reduce((sum, model) => sum + model.actual_churn, 0) / told.length;
  return section("What new models moved", null, figure({
    name: `models-${segmentation.name}`,
    title: "Share of the customers that each new model moved, and what was forecast",
    sentence: `On average ${percent(mean)}; at most ${percent(Math.max(...series[0].values))}.`,
    chart: timeChart({ label: `Share moved by each model, ${dateText(told[0].atMs)} to ${dateText(run.asOfMs)}; the table below has the figures.`, days, series, kind: "lines", format: (share) => percent(share), height: 200 }),
    legend: lineLegendOf(series),
    columns: versionColumns(context),
    rows: told,
  }));
}

function versionColumns(context) {
  const { segmentation } = context;
  const nameOf = (id) => segmentation.segments.find((segment) => segment.id === id)?.name ?? id;
  return [
    { title: "Model", isNumber: true, cell: (model) => String(model.version), text: (model) => model.version },
    { title: "Learned on", className: "date", cell: (model) => (model.version === 0 ? NO_FIGURE : dateText(model.atMs)), text: (model) => (model.version === 0 ? "" : new Date(model.atMs).toISOString()) },
    { title: "Status", cell: (model) => (model.status === "held" ? element("span", { class: "badge" }, "held for approval") : model.version === 0 ? "before learning" : "took over"), text: (model) => model.status },
    { title: "Forecast", isNumber: true, cell: (model) => percent(model.expected_churn), text: (model) => model.expected_churn },
    { title: "Actual", isNumber: true, cell: (model) => percent(model.actual_churn), text: (model) => model.actual_churn },
    { title: "Customers moved", isNumber: true, cell: (model) => (model.moved ? element("a", { href: moversHref(context, model) }, count(model.moved)) : count(model.moved)), text: (model) => model.moved },
    { title: "Segment that changed most", cell: (model) => (model.role ? nameOf(model.role) : NO_FIGURE), text: (model) => model.role },
    { title: "Drift of the inputs", isNumber: true, cell: (model) => (model.psi === null ? NO_FIGURE : decimal(model.psi, 3)), text: (model) => model.psi },
  ];
}

function versions(context) {
  const { segmentation } = context;
  const rows = [...segmentation.models].reverse();
  const columns = versionColumns(context);
  return section("Every version, the newest first", "Forecast and actual: the share of all customers that the version moved at once. Drift compares the customers with those that the last model was learned from; above 0.2 it is large.",
    element("details", { open: rows.length <= 12 },
      element("summary", {}, plural(rows.length, "version")),
      table(`Versions of ${segmentation.title}`, columns, rows)),
    element("div", { class: "below" }, csvButton(`versions-${segmentation.name}`, columns, rows)));
}
