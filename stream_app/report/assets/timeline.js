// One customer's segments over time. Rows are unpacked only for the customer shown.

const timelines = content.timelines;
const rowsByCustomer = new Map(timelines.customers);
const SUGGESTIONS_MAX = 20;

/** The move that a packed row stands for; the layout is that of TimelineSample in timelines.py. */
function unpack([at, from, to, cause, version, margin, pattern, numbers, eventId]) {
  let sentence = pattern;
  if (typeof pattern === "number") {
    const given = numbers.split(" ");
    sentence = timelines.patterns[pattern].split("\u0001").map((part, index) => (index ? given[index - 1] : "") + part).join("");
  }
  return {
    at, version, margin, sentence, eventId, cause: content.causes[cause],
    from: from === null ? null : timelines.segments[from], to: to === null ? null : timelines.segments[to],
  };
}

function showTimeline(customerId) {
  const result = document.getElementById("timeline-result");
  const rows = rowsByCustomer.get(customerId);
  if (!rows) {
    result.replaceChildren(element("p", { class: "empty" },
      timelines.customersTotal > rowsByCustomer.size
        ? `“${customerId}” is not among the customers included here; look it up in migrations.jsonl.`
        : `There is no customer “${customerId}”.`));
    return;
  }
  const moves = rows.map(unpack);
  const last = moves.at(-1);
  const end = Math.max(summary.period.to === null ? last.at : Date.parse(summary.period.to), last.at);
  const days = Math.round((end - last.at) / 86_400_000);
  result.replaceChildren(
    element("h3", {}, `Customer ${customerId}`),
    element("p", {}, placeOf(last.to), ` since ${formatDay(last.at)} (${plural(days, "day")}); ` +
      `${plural(moves.length - (moves[0].from === null && content.kind !== "audience" ? 1 : 0), "move")} in all.`),
    element("div", { id: "timeline-chart", class: "chart", role: "img",
      "aria-label": `Band of the segments of customer ${customerId} over time. The list below names each move.` }),
    element("ol", { class: "moves", reversed: "" }, ...moves.map(describeMove).reverse()),
    moves.every((move) => move.margin === null) ? "" : element("p", { class: "small" }, "Margin: how far past the middle between two segments the customer was, in log units " +
      "(0.7 is a factor of two); the smaller it is, the closer the call."));
  drawTimeline(moves, end);
}

/** The segment, or that there is none. */
const placeOf = (reference) => reference === null
  ? element("span", {}, content.kind === "audience" ? "Not in the audience" : "In no segment")
  : segmentLabel(reference.id, reference.name);

function titleOf({ from, to }) {
  if (to === null) return ["Leaves ", placeOf(from)];
  if (from !== null) return [placeOf(from), " → ", placeOf(to)];
  return [content.kind === "audience" ? "Enters " : "First seen: ", placeOf(to)];
}

function describeMove(move) {
  const title = titleOf(move);
  const facts = [`Cause: ${CAUSES[move.cause].label.toLowerCase()}`];
  if (move.eventId) facts.push(`event ${move.eventId}`);
  if (move.margin !== null) facts.push(`margin ${formatNumber(move.margin, 2)}`);
  facts.push(versionOf(move.version));
  const instant = new Date(move.at).toISOString();
  return element("li", {},
    element("time", { datetime: instant, title: instant }, formatDay(move.at)),
    element("div", {}, element("strong", {}, ...title), element("p", {}, move.sentence), element("p", { class: "small" }, facts.join(" · "))));
}

function drawTimeline(moves, end) {
  const stays = moves.map((move, index) => ({ ...move, until: Math.max(moves[index + 1]?.at ?? end, move.at) }))
    .filter((stay) => stay.to !== null);
  const ids = [...new Set(stays.map((stay) => stay.to.id))];
  draw("timeline-chart", ids.map((id) => {
    const own = stays.filter((stay) => stay.to.id === id);
    return {
      type: "bar", orientation: "h", name: plotlyText(own.at(-1).to.name), y: own.map(() => ""),
      x: own.map((stay) => stay.until - stay.at), base: own.map((stay) => shownTime(stay.at)),
      marker: { color: colourOf(id), line: { color: "#ffffff", width: 1 } },
      customdata: own.map((stay) => `${formatDay(stay.at)} – ${formatDay(stay.until)}`),
      hovertemplate: "%{customdata}", width: 1,
    };
  }), {
    height: phone ? 150 : 130, barmode: "overlay", showlegend: true,
    legend: { orientation: "h", y: 1.05, yanchor: "bottom", x: 0, font: { size: phone ? 11 : 14 } },
    xaxis: { type: "date", showgrid: false, range: [shownTime(moves[0].at), shownTime(end)] },
    yaxis: { visible: false },
  });
}

function suggestCustomers(typed) {
  const suggestions = [];
  for (const id of rowsByCustomer.keys()) {
    if (id.startsWith(typed)) suggestions.push(element("option", { value: id }));
    if (suggestions.length === SUGGESTIONS_MAX) break;
  }
  document.getElementById("timeline-suggestions").replaceChildren(...suggestions);
}

const customerOfAddress = () => {
  const fragment = window.location.hash;
  if (!fragment.startsWith("#customer=")) return null;
  try {
    return decodeURIComponent(fragment.slice("#customer=".length));
  } catch {
    return fragment.slice("#customer=".length);
  }
};

function startTimeline() {
  const included = rowsByCustomer.size;
  if (!included) {
    document.getElementById("timeline-form").hidden = true;
    return showEmpty("timeline-result", "Nobody has entered a segment yet.");
  }
  setText("timeline-included", included < timelines.customersTotal
    ? `Included here: ${formatCount(included)} of ${plural(timelines.customersTotal, "customer")} with ` +
      `${formatCount(timelines.migrations)} of ${formatCount(timelines.migrationsTotal)} entries and moves, chosen by a hash of the id; all are in migrations.jsonl.`
    : `All ${plural(included, "customer")} with all ${formatCount(timelines.migrations)} entries and moves are included.`);
  const input = document.getElementById("timeline-customer");
  const show = (customerId) => {
    input.value = customerId;
    suggestCustomers(customerId);
    showTimeline(customerId);
  };
  input.addEventListener("input", () => {
    suggestCustomers(input.value);
    if (rowsByCustomer.has(input.value)) showTimeline(input.value);
  });
  document.getElementById("timeline-form").addEventListener("submit", (event) => {
    event.preventDefault();
    window.location.hash = `customer=${encodeURIComponent(input.value)}`;
  });
  const follow = () => {
    const customerId = customerOfAddress();
    if (customerId === null) return;
    show(customerId);
    document.getElementById("timeline").scrollIntoView();
  };
  window.addEventListener("hashchange", follow);
  if (customerOfAddress() === null) show(summary.examples[0]?.customer_id ?? rowsByCustomer.keys().next().value);
  else follow();
}
