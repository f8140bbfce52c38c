// The charts. Plotly draws them; what is common to all stands first.

const phone = window.matchMedia("(max-width: 640px)").matches;
const INK = "#1f2933";
const GRID = "#e7ebef";
const LEGEND = phone
  ? { orientation: "h", y: -0.15, yanchor: "top", x: 0, font: { size: 11 } }
  : { x: 1.02, y: 1, font: { size: 14 } };

function draw(id, traces, layout) {
  const axis = { gridcolor: GRID, linecolor: GRID, zeroline: false, automargin: true };
  const { xaxis, yaxis, ...rest } = layout;
  Plotly.newPlot(id, traces, {
    font: { family: getComputedStyle(document.body).fontFamily, size: phone ? 12 : 14, color: INK },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 8, r: 8, t: 8, b: 8 },
    legend: LEGEND,
    hoverlabel: { bgcolor: "#ffffff", bordercolor: GRID, font: { color: INK } },
    dragmode: false,
    xaxis: { ...axis, fixedrange: true, ...xaxis },
    yaxis: { ...axis, fixedrange: true, ...yaxis },
    ...rest,
  }, { displayModeBar: false, responsive: true });
}

/** Triangles on the axis: when each version that took over was learned. */
function versionMarks() {
  const learned = content.kind === "learned" ? content.versions.filter((version) => version.version > 0) : [];
  return learned.length ? [{
    type: "scatter", mode: "markers", name: "model learned", x: learned.map((version) => shownDay(version.as_of)),
    y: learned.map(() => 0), text: learned.map((version) => `version ${version.version}`), hovertemplate: "%{text}<extra></extra>",
    marker: { symbol: "triangle-up", size: learned.length > 30 ? 6 : 8, color: INK }, cliponaxis: false,
  }] : [];
}

function drawSizes() {
  const weeks = summary.sizes;
  const ids = content.segments.map((segment) => segment.id)
    .filter((id) => weeks.some((week) => (week.customers[id] ?? 0) > 0));
  if (!ids.length) return showEmpty("sizes-chart", "No customer has been in a segment yet.");
  const days = weeks.map((week) => shownDay(week.at));
  draw("sizes-chart", ids.map((id) => ({
    type: "scatter", mode: "lines", stackgroup: "customers", name: plotlyText(nameOf(id)),
    x: days, y: weeks.map((week) => week.customers[id] ?? 0),
    line: { width: 1, color: "#ffffff" }, fillcolor: colourOf(id), hoverlabel: { namelength: -1 },
    // The outline is white, so the legend would be too: a marker that is never drawn lends it the colour.
    marker: { color: colourOf(id) },
  })).concat(versionMarks()), {
    height: phone ? 420 : 440, hovermode: "x unified", legend: phone ? LEGEND : { ...LEGEND, traceorder: "reversed" },
    yaxis: { title: { text: "customers" }, rangemode: "tozero" }, xaxis: { type: "date", showgrid: false },
  });
  setText("sizes-finding", describeGrowth(weeks, ids));
  putFoldedTable("sizes-table", "Customers in each segment at the end of each week",
    [{ title: "Week to" }, ...ids.map((id) => ({ title: nameOf(id), number: true }))],
    weeks.map((week) => [formatDay(week.at), ...ids.map((id) => formatCount(week.customers[id] ?? 0))]));
}

function describeGrowth(weeks, ids) {
  const span = Math.min(12, weeks.length - 1);
  if (span < 1) return "";
  const changes = ids.map((id) => ({
    name: nameOf(id), change: (weeks.at(-1).customers[id] ?? 0) - (weeks.at(-1 - span).customers[id] ?? 0),
  })).sort((a, b) => b.change - a.change);
  const findings = [];
  if (changes[0].change > 0) findings.push(`${changes[0].name} grew most (+${formatCount(changes[0].change)})`);
  if (changes.at(-1).change < 0) findings.push(`${changes.at(-1).name} shrank most (−${formatCount(-changes.at(-1).change)})`);
  return findings.length ? `In the last ${plural(span, "week")} ${findings.join(" and ")}.` : "";
}

function drawFlows() {
  const moves = summary.flows.filter((flow) => flow.from !== null && flow.to !== null && ownMoves(flow) > 0);
  if (!moves.length) {
    showEmpty("flows-chart", "Nobody has changed segment yet.");
    return putFlows();
  }
  const shown = moves.slice(0, phone ? 10 : 16);
  const sum = (flows) => flows.reduce((total, flow) => total + ownMoves(flow), 0);
  const order = new Map(content.segments.map((segment, index) => [segment.id, index]));
  const side = (key, x) => {
    const totals = new Map();
    for (const flow of shown) totals.set(flow[key].id, (totals.get(flow[key].id) ?? 0) + ownMoves(flow));
    const ids = [...totals.keys()].sort((a, b) => (order.get(a) ?? 99) - (order.get(b) ?? 99));
    return ids.map((id) => ({ id, x, total: totals.get(id) }));
  };
  const left = side("from", 0.001);
  const right = side("to", 0.999);
  const nodes = [...left, ...right];
  // Both sides in order of value, each node's centre where the ribbons above it end.
  const height = 480;
  const fontSize = phone ? 10 : 14;
  const longest = Math.max(...nodes.map((node) => `${nameOf(node.id)} ${formatCount(node.total)}`.length));
  const margin = Math.min(0.64 * fontSize * longest + 14, phone ? 130 : 260);
  const gap = 0.025;
  const scale = (1 - gap * (Math.max(left.length, right.length) - 1)) / sum(shown);
  for (const column of [left, right]) {
    let top = (1 - gap * (column.length - 1) - scale * sum(shown)) / 2;
    for (const node of column) {
      node.y = Math.min(Math.max(top + (node.total * scale) / 2, 0.001), 0.999);
      top += node.total * scale + gap;
    }
  }
  draw("flows-chart", [{
    type: "sankey", arrangement: "fixed",
    node: {
      label: nodes.map(() => ""), customdata: nodes.map((node) => plotlyText(nameOf(node.id))),
      color: nodes.map((node) => colourOf(node.id)), x: nodes.map((node) => node.x), y: nodes.map((node) => node.y),
      pad: gap * height, thickness: 16, line: { width: 0 }, hovertemplate: "%{customdata}: %{value}<extra></extra>",
    },
    link: {
      source: shown.map((flow) => left.findIndex((node) => node.id === flow.from.id)),
      target: shown.map((flow) => left.length + right.findIndex((node) => node.id === flow.to.id)),
      value: shown.map(ownMoves),
      color: shown.map((flow) => translucent(colourOf(flow.from.id), 0.4)),
      customdata: shown.map((flow) => `${plotlyText(nameOf(flow.from.id))} → ${plotlyText(nameOf(flow.to.id))}`),
      hovertemplate: "%{customdata}: %{value}<extra></extra>",
    },
  }], {
    height: height + 40, margin: { l: margin, r: margin, t: 20, b: 20 },
    // Plotly writes labels across the ribbons; ours stand outside, as annotations.
    annotations: nodes.map((node) => ({
      x: node.x < 0.5 ? 0 : 1, y: 1 - node.y, xref: "paper", yref: "paper", showarrow: false, yanchor: "middle",
      xanchor: node.x < 0.5 ? "right" : "left", xshift: node.x < 0.5 ? -10 : 10, align: node.x < 0.5 ? "right" : "left",
      text: `${plotlyText(nameOf(node.id))} <b>${formatCount(node.total)}</b>`, font: { size: fontSize },
    })),
  });
  const all = sum(moves);
  const top = shown[0];
  setText("flows-finding",
    `The strongest flow is ${nameOf(top.from.id)} → ${nameOf(top.to.id)}, ${formatShare(ownMoves(top) / all, 0)} of the ${formatCount(all)} moves that customers made themselves.` +
    (shown.length < moves.length ? ` Drawn: the ${shown.length} strongest of ${moves.length} flows, ${formatShare(sum(shown) / all, 0)} of these moves.` : ""));
  putFlows();
}

function putFlows() {
  if (!summary.flows.length) return;
  putFoldedTable("flows-table", "All flows, strongest first; first entries included",
    [{ title: "From" }, { title: "To" }, { title: "By customers themselves", number: true }, { title: `By new ${versionNoun}s`, number: true }],
    summary.flows.map((flow) => [
      flow.from ? segmentLabel(flow.from.id) : "first seen", flow.to ? segmentLabel(flow.to.id) : "left",
      formatCount(ownMoves(flow)), formatCount(flow.by_new_version)]));
}

function drawWeeks(id, kinds, title) {
  draw(id, kinds.map((kind) => ({
    type: "bar", name: CAUSES[kind].label, x: summary.weeks.map((week) => shownDay(week.at)),
    y: summary.weeks.map((week) => week.moves_by_cause[kind]), marker: { color: CAUSES[kind].colour, line: { width: 0 } },
  })).concat(versionMarks()), {
    barmode: "stack", bargap: 0.15, height: phone ? 420 : 380, hovermode: "x unified",
    yaxis: { title: { text: title }, rangemode: "nonnegative" }, xaxis: { type: "date", showgrid: false },
  });
}

function drawCauses() {
  const { own_moves: own, moves_by_new_versions: byVersions, entries } = summary.migrations;
  const caused = ({ by_cause: causes }) => content.causes.filter((kind) => causes[kind]);
  if (own.total) drawWeeks("causes-chart", caused(own), "moves in the week");
  else showEmpty("causes-chart", "Nobody has changed segment yet.");
  const totals = Object.entries(own.by_cause).filter(([, moves]) => moves > 0).sort(([, a], [, b]) => b - a);
  setText("causes-finding", `${plural(own.total, "move")} by customers themselves` + (totals.length ? ": " : ". ") + totals
    .map(([kind, moves]) => `${CAUSES[kind].label.toLowerCase()} ${formatShare(moves / own.total, 0)}`).join(" · ") +
    (content.kind === "audience" ? "" : ` (${formatCount(entries)} first entries are no moves).`));
  setText("version-moves-title", `Moves by new ${versionNoun}s`);
  setText("version-moves-finding", `${plural(byVersions.total, "move")}: ${formatNumber(byVersions.per_customer_month, byVersions.per_customer_month < 0.01 ? 4 : 2)} per customer and month.`);
  if (byVersions.total) drawWeeks("version-moves-chart", caused(byVersions), "moves in the week");
  else document.getElementById("version-moves-chart").remove();
  const kinds = [...caused(own), ...caused(byVersions)];
  if (!summary.weeks.length) return;
  putFoldedTable("causes-table", "First entries and moves in each week, by cause",
    [{ title: "Week from" }, { title: "First entries", number: true }, ...kinds.map((kind) => ({ title: CAUSES[kind].label, number: true }))],
    summary.weeks.map((week) => [
      formatDay(week.at), formatCount(week.entries), ...kinds.map((kind) => formatCount(week.moves_by_cause[kind]))]));
}

function drawModels() {
  const learned = content.models.filter((model) => model.version > 0);
  if (!learned.length) return showEmpty("models-chart", "No model has been learned yet: what is usual elsewhere holds.");
  const held = learned.filter((model) => model.status === "held");
  const published = learned.filter((model) => model.status !== "held");
  const forecast = published.filter((model) => model.expected_churn !== null);
  const days = (models) => models.map((model) => shownDay(model.as_of));
  const labels = (models) => models.map((model) => `version ${model.version}`);
  const hovertemplate = "%{text}: %{y:.1%}";
  // A held proposal may lie far above the rest; it is drawn at the upper edge then, its figure beside it.
  const shares = published.flatMap((model) => [model.actual_churn ?? 0, model.expected_churn ?? 0]);
  const top = 1.15 * Math.max(0.01, ...shares);
  // The first models are learned from few customers, so they may differ by far more than any later ones.
  const drifts = learned.map((model) => model.psi ?? 0);
  const driftTop = Math.min(1, Math.max(0.3, ...drifts));
  draw("models-chart", [
    { type: "bar", name: "moved", x: days(published), y: published.map((model) => model.actual_churn), text: labels(published),
      textposition: "none", hovertemplate, marker: { color: "#88ccee" } },
    { type: "scatter", mode: "markers", name: "forecast", x: days(forecast), y: forecast.map((model) => model.expected_churn),
      text: labels(forecast), hovertemplate, marker: { color: INK, size: 7 } },
    { type: "scatter", mode: "markers+text", name: "held for approval", x: days(held),
      y: held.map((model) => Math.min(model.expected_churn, top)), text: held.map((model) => formatShare(model.expected_churn, 0)),
      textposition: "middle right", customdata: labels(held), hovertemplate: "%{customdata}: %{text} forecast", marker: { color: "#cc6677", size: 13, symbol: "x" }, showlegend: held.length > 0 },
    { type: "scatter", mode: "lines", name: drifts.some((drift) => drift > driftTop) ? "drift of customers, cut at 1" : "drift of customers", x: days(learned), y: learned.map((model) => model.psi),
      hovertemplate: "largest stability index: %{y:.3f}", line: { color: "#117733", width: 2 }, yaxis: "y2" },
  ], {
    height: phone ? 460 : 440, bargap: 0.3, xaxis: { type: "date", showgrid: false, anchor: "y2" },
    yaxis: { title: { text: "share of customers" }, tickformat: top < 0.05 ? ".1%" : ".0%", range: [0, 1.12 * top], domain: [0.4, 1] },
    yaxis2: { title: { text: "drift" }, range: [0, 1.1 * driftTop], domain: [0, 0.28], gridcolor: GRID, automargin: true, fixedrange: true, nticks: 4 },
  });
  const mean = (values) => values.reduce((total, value) => total + value, 0) / values.length;
  const actual = published.map((model) => model.actual_churn).filter((churn) => churn !== null);
  const findings = [];
  if (actual.length) findings.push(`${plural(actual.length, "model")} moved ${formatShare(mean(actual))} of customers each, on average.`);
  if (held.length) findings.push(`${plural(held.length, "proposal")} held for approval.`);
  setText("models-finding", findings.join(" "));
  putFoldedTable("models-table", "Model versions. A role shifts in log units (0.7 is a factor of two); drift compares the customer base with the version before: below 0.1 is steady, above 0.25 is a marked shift",
    [{ title: "Version" }, { title: "Learned on" }, { title: "Status" }, { title: "Forecast to move", number: true },
      { title: "Moved", number: true }, { title: "Share moved", number: true }, { title: "Largest shift of a role", number: true }, { title: "of" },
      { title: "Largest drift", number: true }, { title: "in" }],
    content.models.map((model) => [
      String(model.version), formatDay(model.version === 0 ? null : model.as_of),
      element("span", { class: `tag ${model.status === "held" ? "held" : ""}` }, model.version === 0 ? "before learning" : model.status),
      formatShare(model.expected_churn), model.moved === null ? "–" : formatCount(model.moved), formatShare(model.actual_churn),
      formatNumber(model.role_drift, 3), model.role === null ? "–" : nameOf(model.role), formatNumber(model.psi, 3), (model.psi_axis ?? "–").replaceAll("_", " "),
    ]));
}
