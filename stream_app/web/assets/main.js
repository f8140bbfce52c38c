// Shows the page that the address names, within the frame that all pages share.

import { redrawCharts } from "./charts/time.js";
import { element } from "./dom.js";
import { count, dateText } from "./format.js";
import { Listing } from "./listing.js";
import { customerPage } from "./pages/customer.js";
import { modelsPage } from "./pages/models.js";
import { movementsPage } from "./pages/movements.js";
import { overviewPage } from "./pages/overview.js";
import { qualityPage, refusedNotice } from "./pages/quality.js";
import { rfmPage } from "./pages/rfm.js";
import { segmentPage } from "./pages/segment.js";
import { choice } from "./parts.js";
import { People } from "./people.js";
import { PERIODS, addressOf, periodOf, readAddress } from "./state.js";

const PAGES = [
  { name: "overview", title: "Overview", draw: overviewPage },
  { name: "movements", title: "Movements", draw: movementsPage },
  { name: "segment", title: "Segments", draw: segmentPage },
  { name: "rfm", title: "RFM grid", draw: rfmPage, needs: "rfm" },
  { name: "customer", title: "Customers", draw: customerPage },
  { name: "models", title: "Models and definitions", draw: modelsPage },
  { name: "quality", title: "Quality of data", draw: qualityPage, hasNoToolbar: true },
];
export const PAGE_NAMES = PAGES.map((page) => page.name);
const THEMES = ["auto", "light", "dark"];

function contextOf({ run, people, listing, site }) {
  const { page, query } = readAddress();
  const pages = [...PAGES.filter(({ needs }) => !needs || run[needs] || site?.isLive), ...(site?.pages ?? [])];
  const segmentation = run.segmentation(query.get("segmentation")) ?? run.segmentations[0];
  const days = query.get("days") === "all" ? "all" : PERIODS.includes(Number(query.get("days"))) ? Number(query.get("days")) : 30;
  const shared = { segmentation: segmentation.name, days };
  return {
    run, people, listing, site, query, segmentation, shared, pages,
    page: pages.find((each) => each.name === page) ?? pages[0],
    period: periodOf(run, days),
    go: (name, parameters) => { location.hash = addressOf(name, { ...shared, ...parameters }); },
  };
}

function frame(context) {
  const { run } = context;
  const links = context.pages.map(({ name, title }) => element("li", {}, element("a", {
    href: addressOf(name, context.shared),
    "aria-current": context.page.name === name ? "page" : null,
  }, title)));
  return [
    element("a", { class: "skip", href: "#main", onclick: (event) => { event.preventDefault(); document.querySelector("h1")?.focus(); } }, "To the content"),
    element("header", { class: "top" },
      element("p", { class: "brand" }, "Customer segments"),
      element("p", { class: "as-of" }, context.site?.asOfText(run) ?? (run.asOfMs ? `${count(run.customers)} customers, as of ${dateText(run.asOfMs)}` : "no customers yet")),
      element("div", { class: "controls" }, context.site?.controls(context), themeButton())),
    element("nav", { class: "pages", "aria-label": "Pages" }, element("ul", {}, links)),
    element("main", { id: "main" },
      context.page.hasNoToolbar || (context.page.name === "customer" && context.query.get("id")) ? null : toolbar(context),
      run.interrupted ? element("p", { class: "notice" }, "The replay was interrupted; the figures are as of then.") : null,
      context.page.name === "quality" ? null : refusedNotice(context, context.page.name === "overview"),
      context.page.draw(context)),
    element("footer", {}, `Days and times are those of ${run.timezone === "UTC" ? "UTC" : `the shop, ${run.timezone}`}. Money in ${run.currency}.`),
  ];
}

function toolbar(context) {
  const { run, segmentation, period, page, shared } = context;
  const go = (change) => context.go(page.name, change);
  const hasPeriod = ["overview", "movements", "segment"].includes(page.name);
  const periods = [...PERIODS.filter((days) => days < run.lastDay - run.firstDay || days === 30).map((days) => ({ value: days, name: `last ${days} days` })), { value: "all", name: "the whole time" }];
  return element("div", { class: "toolbar" },
    run.segmentations.length > 1 ? choice("Segmentation", segmentation.name, run.segmentations.map((each) => ({ value: each.name, name: each.isAudience ? `${each.title} (audience)` : each.title })), (name) => go({ segmentation: name })) : null,
    hasPeriod ? choice("Period", shared.days, periods, (days) => go({ days, segment: context.query.get("segment") })) : null,
    hasPeriod ? element("p", { class: "span" }, period.text, period.before ? `, compared with ${period.beforeText}` : "") : null);
}

function themeButton() {
  const now = document.documentElement.dataset.theme ?? "auto";
  return element("button", { type: "button", class: "quiet theme", onclick: (event) => {
    const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme ?? "auto") + 1) % THEMES.length];
    setTheme(next);
    event.target.textContent = `Theme: ${next}`;
  } }, `Theme: ${now}`);
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("theme", theme);
  } catch { /* where nothing may be kept, the theme lasts as long as the page */ }
  redrawCharts();
}

function rememberedTheme() {
  try {
    return localStorage.getItem("theme");
  } catch {
    return null;
  }
}

// Shows pages from now on; what they draw may be replaced, and drawn anew where it stands.
export class Pages {
  // site: what a server adds to the document, null in a file.
  constructor(app, site = null) {
    this.app = app;
    this.site = site;
    this.run = null;
    this.people = null;
    this.listing = null;
    this.shown = null;
    addEventListener("hashchange", () => this.show());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawCharts);
  }

  // Takes a document over.
  take(run) {
    this.run = run;
    this.people = new People(run);
    this.listing = new Listing(run);
  }

  show() {
    if (!this.run) return;
    const context = contextOf(this);
    this.app.replaceChildren(...frame(context));
    document.title = `${context.page.title} – Customer segments`;
    if (this.shown !== null && this.shown !== context.page.name) {
      document.querySelector("h1")?.focus({ preventScroll: true });
      scrollTo(0, 0);
    }
    this.shown = context.page.name;
  }

  get context() {
    return contextOf(this);
  }
}

// Has pages drawn; where that fails, says so.
export async function begin(prepare) {
  const app = document.getElementById("app");
  const theme = rememberedTheme();
  if (THEMES.includes(theme)) document.documentElement.dataset.theme = theme;
  try {
    await prepare(app);
    document.documentElement.dataset.complete = "yes";
    performance.mark("figures");
  } catch (error) {
    app.replaceChildren(element("p", { class: "notice", role: "alert" }, "This browser cannot show the pages; they need one of 2023 or later. ", String(error)));
    throw error;
  }
}
