// How long members of a segment stay, and for how long those here now have been here.

import { curveChart } from "../charts/curve.js";
import { count, daysText, decimal, percent, plural } from "../format.js";
import { figure, section } from "../parts.js";

// The median stay in words; null where nothing is known of stays.
export function medianStay(segmentation, segment) {
  const told = segmentation.stays?.segments[segment.id];
  if (!told) return null;
  const half = told.quartiles[1];
  return half === null ? `${count(Math.floor(told.days.at(-1)))}+ days` : daysText(half);
}

// Where stays are not known one by one, by Little's law: who is here, by how many leave a day. It holds for any segment,
// however far stays spread.
export function paceText(segmentation, period, index) {
  const sizes = segmentation.sizes(period.first, period.last)[index];
  const left = segmentation.sum(period.first, period.last, (from) => from === index).customers;
  if (segmentation.stays || !left) return null;
  return `about ${daysText(sizes.reduce((sum, size) => sum + size, 0) / left)}`;
}

export function staysSection({ run, segmentation }, segment) {
  const told = segmentation.stays?.segments[segment.id];
  if (!told || told.days.at(-1) < 1) return null;
  const since = segmentation.sinceDays?.[segment.id];
  const sampled = segmentation.stays.customers < run.customers ? ` From ${count(segmentation.stays.customers)} customers drawn by chance.` : "";
  const rows = told.days.map((day, i) => ({ day, share: told.staying[i] }));
  const columns = [
    { title: "Days after entering", cell: (row) => decimal(row.day, 1), text: (row) => row.day },
    { title: "Still there", isNumber: true, cell: (row) => percent(row.share), text: (row) => row.share },
  ];
  return section("How long they stay", null, figure({
    name: `stays-${segmentation.name}-${segment.id}`,
    title: "Who is still there, by days after entering",
    sentence: `${quartilesText(told.quartiles)} ${plural(told.stays, "stay")}, ${count(told.left)} of them ended by what customers did or left undone; those that go on count for as long as they have lasted.${sampled}${since ? ` Of those here now, the middle half came ${daysText(since[0])} to ${daysText(since[2])} ago, the median ${daysText(since[1])}.` : ""}`,
    chart: curveChart({
      label: `Share of members still in ${segment.name} by days after entering: ${rows.filter((_row, i) => i % 12 === 0).map((row) => `${percent(row.share, 0)} after ${decimal(row.day, 0)}`).join(", ")}.`,
      days: told.days, shares: told.staying, quartiles: told.quartiles, colour: segmentation.colours.get(segment.id),
    }),
    columns,
    rows,
  }));
}

function quartilesText([quarter, half, most]) {
  if (quarter === null) return "Fewer than a quarter leave within the longest stay that is known.";
  if (half === null) return `A quarter leave within ${daysText(quarter)}; half stay for longer than is known yet.`;
  if (most === null) return `Half stay for ${daysText(half)} or less, a quarter leave within ${daysText(quarter)}.`;
  if (Math.round(quarter) === Math.round(most)) return `Nearly everybody stays for about ${daysText(half)}.`;
  return `Half stay for ${daysText(half)} or less; the middle half for ${quarter < 1 ? NO_DAYS : decimal(quarter, 0)} to ${daysText(most)}.`;
}

const NO_DAYS = "less than a day";
