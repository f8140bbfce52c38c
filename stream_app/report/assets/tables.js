// Every figure of the page as a table; also the alternative to each chart.

/** A table; columns are {title, number?}, a row's first cell is its heading, cells are text or nodes. */
function table(caption, columns, rows, className = "") {
  const head = columns.map(({ title, number }) => element("th", { scope: "col", class: number ? "number" : null }, title));
  const body = rows.map((cells) =>
    element("tr", {}, ...cells.map((cell, index) => {
      const { title, number } = columns[index];
      if (index === 0) return element("th", { scope: "row" }, cell);
      return element("td", { class: number ? "number" : null, "data-label": title }, cell);
    })));
  return element("div", { class: `scroll ${className}`, tabindex: "0", role: "region", "aria-label": caption },
    element("table", {},
      element("caption", {}, caption), element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body)));
}

function putTable(id, ...tableArguments) {
  document.getElementById(id).append(table(...tableArguments));
}

/** A table that opens with a click on its line, below the chart that shows the same. */
function putFoldedTable(id, ...tableArguments) {
  document.getElementById(id).append(
    element("details", {}, element("summary", {}, "Show as a table"), table(...tableArguments)));
}

function shareCell(share, colour) {
  const filled = element("span", { style: { width: `${100 * share}%`, background: colour } });
  const cell = document.createDocumentFragment();
  cell.append(element("span", {}, formatShare(share)), element("span", { class: "bar", "aria-hidden": "true" }, filled));
  return cell;
}

function writeHeadline() {
  const { migrations, counts, period } = summary;
  const { own_moves: own, moves_by_new_versions: byVersions } = migrations;
  const figures = [
    ["customers", formatCount(summary.customers)],
    ["events applied", formatCount(counts.applied + counts.late_applied)],
    content.kind === "audience"
      ? ["in the audience", formatCount(summary.segments.reduce((total, each) => total + each.customers, 0))]
      : ["segments with customers", formatCount(summary.segments.length)],
    ["moves by customers themselves", formatCount(own.total)],
    ["of these per customer and month", formatNumber(own.per_customer_month, 2)],
    ["of these caused by time passing", formatShare(own.total ? own.by_cause.lapse / own.total : null, 0)],
    [`moves by new ${versionNoun}s`, formatCount(byVersions.total)],
  ];
  document.getElementById("headline").append(
    ...figures.map(([label, figure]) => element("div", {}, element("dt", {}, label), element("dd", {}, figure))));
  const newest = content.versions.at(-1);
  setText("subtitle", period.from === null
    ? "No events were read."
    : `${formatDay(period.from)} to ${formatDay(period.to)} (${plural(period.days, "day")}${timeZone === "UTC" ? "" : `, ${timeZone}`}); figures as of ${formatDay(summary.as_of)}. ` +
      `Segmentation “${summary.segmentation}”, ${versionOf(summary.model_version)}` +
      (newest && summary.model_version > 0 && content.kind === "learned" ? `, learned on ${formatDay(newest.as_of)}.` : "."));
  const notices = [];
  if (summary.counts.rejected) {
    const { rejected, in: all } = summary.counts;
    notices.push(`${formatCount(rejected)} of ${plural(all, "record")} were refused (${formatShare(rejected / all)}); the last section says why.`);
  }
  if (summary.interrupted) {
    notices.push("The run was stopped early: this page shows what had been read until then.");
  }
  const notice = document.getElementById("notice");
  notice.textContent = notices.join(" ");
  notice.hidden = !notices.length;
}

/** Take away what is only to be shown of segmentations of another kind. */
function removeOtherKinds() {
  for (const node of document.querySelectorAll("[data-kind]")) {
    if (!node.dataset.kind.split(" ").includes(content.kind)) node.remove();
  }
}

function writeSegmentations() {
  if (content.pages.length < 2) return;
  document.title = `Customer segments: ${summary.segmentation}`;
  const list = document.getElementById("segmentations");
  list.hidden = false;
  if (content.pages.length <= LINKED_PAGES) {
    list.append("Segmentations: ", ...content.pages.map(({ segmentation, file }) =>
      element("a", { href: file, "aria-current": segmentation === summary.segmentation ? "page" : null }, segmentation)));
  } else {
    list.append(chooser());
  }
}

/** Up to so many segmentations are links side by side; of more, one is chosen from a list. */
const LINKED_PAGES = 5;

function chooser() {
  const groups = [["Segmentations", (kind) => kind !== "audience"], ["Audiences", (kind) => kind === "audience"]];
  const select = element("select", { id: "segmentation-choice" }, ...groups.map(([label, fits]) =>
    element("optgroup", { label }, ...content.pages.filter(({ kind }) => fits(kind)).map(({ segmentation, title, file }) =>
      element("option", { value: file, selected: segmentation === summary.segmentation ? "" : null }, title)))));
  select.addEventListener("change", () => { window.location.href = select.value; });
  return element("label", {}, "Segmentation or audience: ", select);
}

/** All segmentations and audiences, a line each. */
function writeOverview() {
  const shown = content.pages.length > 1;
  if (!shown) return document.getElementById("overview").remove();
  putTable("overview-table", `Customers who were in each on ${formatDay(summary.as_of)}, and how often customers move of themselves`, [
    { title: "Segmentation or audience" }, { title: "Kind" }, { title: "Segments", number: true }, { title: "Customers", number: true },
    { title: "Share of customers", number: true }, { title: "Moves per customer and month", number: true },
  ], content.pages.map(({ title, file, kind, segments, customers, share, monthly }) => [
    element("a", { href: file }, title), kind, kind === "audience" ? "–" : formatCount(segments), formatCount(customers),
    shareCell(share, missingColour), formatNumber(monthly, 2),
  ]), "cards");
}

function writeContents() {
  document.getElementById("contents").append(...[...document.querySelectorAll("main > section")].map((section) =>
    element("a", { href: `#${section.id}` }, section.dataset.short)));
}

function writeSegments() {
  const best = summary.segments[0];
  if (!best) return showEmpty("segments-table", "There are no customers yet.");
  setText("segments-finding",
    `${best.name}: ${formatShare(best.share)} of customers, ${formatShare(best.revenue_share)} of revenue.`);
  const row = (members, label, colour, days) => [
    label, formatCount(members.customers), shareCell(members.share, colour),
    formatMoney(members.revenue), shareCell(members.revenue_share, colour), formatNumber(days, 0),
  ];
  putTable("segments-table", `Customers who were in each segment on ${formatDay(summary.as_of)}; revenue is net of refunds, in ${summary.currency}, over their lifetime`, [
    { title: "Segment" }, { title: "Customers", number: true }, { title: "Share of customers", number: true },
    { title: "Revenue", number: true }, { title: "Share of revenue", number: true }, { title: "Days in the segment", number: true },
  ], [
    ...summary.segments.map((segment) =>
      row(segment, segmentLabel(segment.id), colourOf(segment.id), content.daysInSegment[segment.id])),
    row(summary.all_segments, "All", missingColour, content.daysInAnySegment),
  ], "cards");
}

function writeMeanings() {
  const shown = content.segments.filter(({ id }) => id in content.meanings);
  if (!shown.length) return showEmpty("meanings-table", "No model is known.");
  putTable("meanings-table", "Every segment of the newest model, also where nobody is in it",
    [{ title: "Segment" }, { title: "True of everybody in it" }, { title: "What to do" }],
    shown.map(({ id }) => {
      const { statement, action, open } = content.meanings[id];
      return [segmentLabel(id), open ? statement : element("span", {}, statement, " ", element("span", { class: "tag" }, "closed")), action];
    }), "cards");
  if (shown.some(({ id }) => !content.meanings[id].open)) {
    document.getElementById("meanings-table").append(element("p", { class: "small" },
      "Closed: too little sets the segment apart from the others at present. Who is in it stays until they move; nobody enters whom another segment fits."));
  }
}

/** Rank of each value among the others, 0 to 1; equal values share their mean rank. */
function relativePositions(values) {
  return values.map((value) => {
    const below = values.filter((other) => other < value).length;
    const equal = values.filter((other) => other === value).length;
    return values.length > 1 ? (below + (equal - 1) / 2) / (values.length - 1) : 0.5;
  });
}

function writeProfiles() {
  if (!summary.segments.length) return showEmpty("profiles-table", "There are no customers yet.");
  const count = (number) => formatNumber(number, 2);
  const day = (number) => formatNumber(number, 1);
  const measures = [
    ["recency_days", "Days since last activity", day, true], ["orders_per_customer", "Orders per customer", count, false],
    ["revenue_per_customer", `Revenue per customer (${summary.currency})`, formatMoney, false],
    ["average_order_value", `Average order (${summary.currency})`, formatMoney, false],
    ["tenure_days", "Days as a customer", day, false],
  ];
  const columns = measures.map(([key, , format, lowIsGood]) => {
    const values = summary.segments.map((segment) => segment[key]);
    const positions = relativePositions(values).map((position) => (lowIsGood ? 1 - position : position));
    return values.map((value, row) => {
      const position = positions[row];
      const background = `rgb(${[[243, 28], [246, 72], [250, 122]].map(([from, to]) => Math.round(from + (to - from) * position))})`;
      return element("td", { style: { background, color: position > 0.5 ? "#ffffff" : "#1f2933" } }, format(value));
    });
  });
  const head = element("tr", {}, element("th", { scope: "col" }, "Segment"),
    ...measures.map(([, title]) => element("th", { scope: "col" }, title)));
  const rows = summary.segments.map(({ id }, row) =>
    element("tr", {}, element("th", { scope: "row" }, segmentLabel(id)), ...columns.map((column) => column[row])));
  const all = element("tr", {}, element("th", { scope: "row" }, "All"),
    ...measures.map(([key, , format]) => element("td", {}, format(summary.all_segments[key]))));
  document.getElementById("profiles-table").append(
    element("div", { class: "scroll heat", tabindex: "0", role: "region", "aria-label": "Segment profiles" }, element("table", {},
      element("caption", {}, `Means over the customers who were in each segment on ${formatDay(summary.as_of)}, over their lifetime`),
      element("thead", {}, head), element("tbody", {}, ...rows, all))));
}

function writeConditions() {
  putTable("conditions-table", "Conditions, in the order in which they are tried",
    [{ title: "Segment" }, { title: "Condition" }],
    Object.entries(content.conditions).map(([id, condition]) => [segmentLabel(id), condition]));
}

function writeRecords() {
  const { counts, rejected_by_reason: reasons, times_in_doubt: doubts, inputs } = summary;
  const count = { title: "Records", number: true };
  putTable("records-table", "Input records", [{ title: "What became of them" }, count], [
    ["Read", counts.in], ["Applied", counts.applied], ["Already known (duplicates)", counts.duplicate],
    ["Came late, applied", counts.late_applied], ["Rejected", counts.rejected],
    ["Times in doubt: far from all others, followed for their customer alone", doubts.ahead + doubts.behind],
  ].map(([label, number]) => [label, formatCount(number)]));
  if (counts.rejected) {
    putTable("rejected-table", "Rejected records; each is in dead_letters.jsonl with its place and reason",
      [{ title: "Reason" }, count],
      Object.entries(reasons).sort(([, a], [, b]) => b - a).map(([reason, number]) => [reason.replaceAll("_", " "), formatCount(number)]));
  }
  if (doubts.examples.length) {
    putTable("doubts-table", "Times in doubt", [{ title: "File" }, { title: "Row", number: true }, { title: "Says" }],
      doubts.examples.map((each) => [each.file, formatCount(each.row), each.at]));
  }
  putTable("inputs-table", "Input files", [{ title: "File" }, { title: "Holds" }, count],
    inputs.map((input) => [input.file, input.topic, formatCount(input.records)]));
  if (summary.without_customer) {
    document.getElementById("without-customer").textContent = `Without a customer: ${formatCount(summary.without_customer)}`
      + ` of the rejected records. They have no id, or one that stands for nobody, such as "guest".`;
  }
}

function showEmpty(id, message) {
  document.getElementById(id).replaceChildren(element("p", { class: "empty" }, message));
}
