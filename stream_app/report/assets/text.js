"use strict";
// Figures and elements as text. Everything from the data reaches the page as a text node, never as markup.

const content = JSON.parse(document.getElementById("report-content").textContent);
const summary = content.summary;
const segmentById = new Map(content.segments.map((segment) => [segment.id, segment]));
const missingColour = "#c4c7cc";

const CAUSES = {
  purchase: { label: "A purchase", colour: "#4477aa" },
  engagement: { label: "Engagement (visits, e-mails, …)", colour: "#66ccee" },
  refund: { label: "A refund", colour: "#ee6677" },
  profile: { label: "An update of the profile", colour: "#228833" },
  lapse: { label: "Time passing without activity", colour: "#6b7075" },
  model: { label: "A new model version", colour: "#ccbb44" },
  definition: { label: "A new definition", colour: "#aa3377" },
};

const formatCount = (number) => Math.round(number).toLocaleString("en-GB");
function formatShare(share, digits = 1) {
  if (share === null) return "–";
  if (share > 0 && 100 * share < 0.5 * 10 ** -digits) return `<${(10 ** -digits).toFixed(digits)}%`;
  return `${(100 * share).toFixed(digits)}%`;
}
const formatNumber = (number, digits = 1) =>
  number === null || number === undefined
    ? "–"
    : number.toLocaleString("en-GB", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const formatMoney = (number) => formatNumber(number, content.moneyDigits);
const timeZone = summary.timezone; // days are those of the shop
const formatDay = (instant) =>
  instant === null
    ? "–"
    : new Date(instant).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone });
/** What the shop's clocks show, as Plotly takes it: such as 2024-05-01 14:00:00. */
const shownTime = (instant) => new Date(instant).toLocaleString("sv-SE", { timeZone });
const shownDay = (instant) => shownTime(instant).slice(0, 10);
const plural = (count, noun) => `${formatCount(count)} ${noun}${count === 1 ? "" : "s"}`;

/** A flow's moves by customers themselves; the others are made by new versions, which draw the lines elsewhere. */
const ownMoves = (flow) => flow.migrations - flow.by_new_version;

const versionNoun = content.kind === "learned" ? "model" : "definition";
const versionOf = (version) => `${versionNoun} version ${version}`;

const nameOf = (segmentId) => segmentById.get(segmentId)?.name ?? segmentId;
const colourOf = (segmentId) => segmentById.get(segmentId)?.colour ?? missingColour;
const translucent = (colour, alpha) =>
  `rgba(${[1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)).join(",")},${alpha})`;

/** Text for a Plotly label, which would otherwise be read as markup. */
const plotlyText = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "style") Object.assign(node.style, value);
    else if (value !== null) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

const swatch = (colour) => element("span", { class: "swatch", style: { background: colour }, "aria-hidden": "true" });
const segmentLabel = (segmentId, name = nameOf(segmentId)) =>
  element("span", {}, swatch(colourOf(segmentId)), name);

function setText(id, text) {
  document.getElementById(id).textContent = text;
}
