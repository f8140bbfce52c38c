// How fresh everything is, as far as the process that serves the pages can know.

import { element } from "../dom.js";
import { count, daysText, decimal, instantText, plural, rangesText } from "../format.js";
import { page, section, table, tile, tiles } from "../parts.js";
import { holder } from "../server_parts.js";

const EVERY_MS = 2_000;
const STALE_SECONDS = 60;

export function healthPage(context) {
  if (context.isRefresh) return [];
  const place = holder("health");
  let isOver = false;
  const look = async () => {
    if (isOver || (place.childNodes.length && !place.isConnected)) return;
    try {
      place.replaceChildren(...drawn(context, await context.site.server.get("/console/health")));
    } catch (error) {
      if (context.site.isSignedOut(error)) isOver = true;
      else place.replaceChildren(element("p", { class: "notice", role: "alert" }, `The server does not answer: ${error.message}.`));
    }
    setTimeout(look, EVERY_MS);
  };
  look();
  return page("Health", element("p", { class: "headline" }, context.site.isLive ? "Whether what these pages show is of now." : "These pages show a replay, which does not change."), place);
}

function drawn(context, health) {
  if (!health.ready) {
    return [element("p", { class: "notice", role: "alert" }, `Look-ups cannot be answered: ${health.reason}.`), processes(health)];
  }
  return [summary(context, health), context.site.isLive ? waiting(health) : null, figures(context, health), processes(health)].filter(Boolean);
}

function secondsText(seconds) {
  if (seconds < 60) return `${decimal(seconds, seconds < 10 ? 1 : 0)} s`;
  if (seconds < 7_200) return plural(Math.round(seconds / 60), "minute");
  if (seconds < 172_800) return plural(Math.round(seconds / 3_600), "hour");
  return daysText(seconds / 86_400);
}

function ago(health, atMs) {
  return secondsText(Math.max(health.now_ms - atMs, 0) / 1_000);
}

function summary({ run, site }, health) {
  const { view } = health;
  if (!view.is_live) return tiles("State", tile("Shown", "a replay", `as of ${instantText(run.asOfMs)}`));
  const { follower } = view;
  const isStale = !follower || view.written_at_ms === null || health.now_ms - view.written_at_ms > STALE_SECONDS * 1_000 || follower.staleness_seconds > STALE_SECONDS;
  return tiles("State",
    tile("View", isStale ? "behind" : "up to date", follower ? `its process says: ${follower.state}` : "its process is of an earlier release and says nothing of itself", isStale ? { text: "▼ see the runbook: SegmenterViewStale", tone: "bad" } : null),
    tile("Not written yet", follower ? secondsText(follower.staleness_seconds) : "–", "age of the oldest record that the view lacks"),
    tile("Last look", view.written_at_ms === null ? "–" : `${ago(health, view.written_at_ms)} ago`, "when its process wrote to the view, or saw that there was nothing"),
    tile("Newest move", view.newest_at_ms === null ? "none kept" : `${ago(health, view.newest_at_ms)} ago`, "when it came into the view"),
    tile("This page", site.streamState === "live" ? "live" : "not live", site.streamState === "live" ? "moves arrive as they happen" : site.streamText));
}

function waiting({ view }) {
  const { follower, positions } = view;
  const kinds = [...new Set(Object.keys(positions).map((field) => field.split("/")[0]))].sort();
  const read = (kind) => Object.entries(positions).filter(([field]) => field.startsWith(`${kind}/`));
  const columns = [
    { title: "Records", cell: (kind) => kind },
    { title: "Partitions", isNumber: true, cell: (kind) => count(read(kind).length) },
    { title: "Read so far", isNumber: true, cell: (kind) => count(read(kind).reduce((sum, [, offset]) => sum + offset, 0)) },
    { title: "Waiting", isNumber: true, cell: (kind) => (follower ? count(follower.lag_records[kind] ?? 0) : "not told") },
  ];
  return section("How far the view has read", "By kind of record; what waits is counted to the end of the topic, so markers of transactions count, too.",
    table("Positions of the view", columns, kinds));
}

function figures({ run, site }, health) {
  if (!health.figures.length || !site.isLive) return null;
  const columns = [
    { title: "Segmentation", cell: (row) => run.segmentation(row.segmentation)?.title ?? row.segmentation },
    { title: "Partitions", isNumber: true, cell: (row) => count(row.partitions) },
    { title: "Newest", className: "date", cell: (row) => instantText(Date.parse(row.newest)) },
    { title: "Oldest", className: "date", cell: (row) => instantText(Date.parse(row.oldest)) },
  ];
  return section("How fresh the figures of members are", "Each worker tells those of its partitions; the instant is that of the events, so a partition without events stands still.",
    table("Instants of figures", columns, health.figures));
}

function processes(health) {
  const workers = health.workers ?? [];
  const rows = [
    { name: "API, which serves these pages", version: health.version, state: `started ${ago(health, health.started_at_ms)} ago` },
    health.view?.follower ? { name: "View", version: health.view.follower.version, state: health.view.follower.state } : null,
    ...workers.map((each) => ({
      name: `Workers of ${plural(each.partitions.length, "partition")}`,
      version: each.version ?? "an earlier release",
      library: each.library,
      state: `of ${rangesText(each.partitions)}; newest figures as of ${instantText(Date.parse(each.newest))}`,
    })),
  ].filter(Boolean);
  const columns = [
    { title: "Process", cell: (row) => row.name },
    { title: "Version", cell: (row) => row.version || "–" },
    { title: "Library", isNumber: true, cell: (row) => row.library ?? "–" },
    { title: "State", cell: (row) => row.state },
  ];
  const mixed = workers.length > 1 ? " Workers run different versions at the moment." : "";
  return section("Processes", `A worker writes its version with the figures of its partitions, for the first time soon after it has taken them over; a partition without customers has none. Webhooks say theirs in their metrics (segmenter_build_info).${mixed}`,
    table("Processes and their versions", columns, rows));
}
