// Charts over days, drawn by uPlot on a canvas: areas and bars on top of each other, and lines. The figure around a
// chart has its sentence and its table, so the canvas itself is one picture to a screen reader.

import { DASHES } from "../colours.js";
import { element, resolvedColour } from "../dom.js";
import { DAY_MS, count, dayText } from "../format.js";

const HEIGHT = 260;
const mounted = new Set();

// Redraws what is on the page, for another theme or width.
export function redrawCharts() {
  for (const chart of [...mounted]) {
    if (chart.holder.isConnected) chart.draw();
    else mounted.delete(chart);
  }
}

const watcher = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    for (const chart of mounted) if (chart.holder === target) chart.resize();
  }
});

// series: [{name, colour (a custom property), values}]; kind: "areas", "bars" or "lines"; marks: [{day, text}].
export function timeChart({ label, days, series, kind, marks = [], format = count, ticks = format, height = HEIGHT }) {
  const holder = element("div", { class: "canvas", role: "img", "aria-label": label });
  const note = element("div", { class: "hover", "aria-hidden": "true" });
  const chart = { holder, plot: null };
  const stacked = kind === "lines" ? series.map((each) => each.values) : stack(series.map((each) => each.values));
  const widthSeconds = kind === "bars" ? ((days[1] ?? days[0] + 1) - days[0]) * (DAY_MS / 1000) : 0;  // of a bar, from its day on
  chart.draw = () => {
    chart.plot?.destroy();
    holder.replaceChildren(note);
    chart.plot = new uPlot(options(), [days.map((day) => (day * DAY_MS) / 1000), ...stacked], holder);
    chart.width = holder.clientWidth;
  };
  chart.resize = () => {
    if (holder.clientWidth && holder.clientWidth !== chart.width) {
      chart.width = holder.clientWidth;
      chart.plot?.setSize({ width: holder.clientWidth, height });
    }
  };

  function options() {
    const [text, line] = [resolvedColour("--muted"), resolvedColour("--line")];
    const axis = { stroke: text, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "12px system-ui, sans-serif" };
    return {
      width: Math.max(holder.clientWidth, 240),
      height,
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: { x: { time: true, range: (_plot, low, high) => [low, high + widthSeconds] }, y: { range: (_plot, low, high) => [Math.min(low ?? 0, 0) * 1.05, high > 0 ? high * 1.05 : 1] } },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
      axes: [
        { ...axis, values: shortDates, space: 70 },
        { ...axis, values: (_plot, values) => values.map((value) => ticks(value)), size: 64 },
      ],
      series: [{}, ...series.map(seriesOptions)],
      hooks: { setCursor: [showValues], draw: [drawMarks] },
    };
  }

  function seriesOptions({ name, colour }, place) {
    const shown = resolvedColour(colour);
    if (kind === "lines") return { label: name, stroke: shown, width: 2, dash: DASHES[place % DASHES.length], points: { show: false } };
    const paths = kind === "bars" ? uPlot.paths.bars({ size: [0.8, 40], align: 1 }) : uPlot.paths.linear();
    return { label: name, stroke: resolvedColour("--surface"), width: kind === "bars" ? 0 : 1, fill: shown, paths, points: { show: false } };
  }

  function drawMarks(plot) {
    if (!marks.length) return;
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = resolvedColour("--text");
    ctx.setLineDash([4, 4]);
    for (const mark of marks) {
      const x = plot.valToPos((mark.day * DAY_MS) / 1000, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }

  function showValues(plot) {
    const place = plot.cursor.idx;
    const isOver = place !== null && place !== undefined && plot.cursor.left >= 0;
    note.classList.toggle("shown", isOver);
    if (!isOver) return;
    note.replaceChildren(element("strong", {}, dayText(days[place])), ...series.flatMap((each) => {
      const value = each.values[place];
      if (!value) return [];
      return element("span", {}, element("i", { class: "patch", style: { background: `var(${each.colour})` } }), `${each.name} ${format(value)}`);
    }));
    const { left } = plot.cursor;
    note.style.setProperty("left", `${left < plot.width / 2 ? left + 96 : left - 20 - note.offsetWidth + 60}px`);
  }

  mounted.add(chart);
  watcher.observe(holder);
  requestAnimationFrame(() => holder.isConnected && chart.draw());
  return holder;
}

// Every series on top of those behind it, so that the first of them lies uppermost; drawn from the largest down.
function stack(series) {
  const sums = new Array(series[0]?.length ?? 0).fill(0);
  return series.map((_values, place) => series[series.length - 1 - place])
    .map((values) => values.map((value, i) => { sums[i] += value; return sums[i]; }))
    .reverse();
}

function shortDates(_plot, ticks) {
  const form = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
  const monthForm = new Intl.DateTimeFormat("en-GB", { month: "short", year: "2-digit", timeZone: "UTC" });
  const isLong = ticks.length > 1 && ticks[1] - ticks[0] >= 28 * 86_400;
  return ticks.map((tick) => (isLong ? monthForm : form).format(new Date(tick * 1000)));
}
