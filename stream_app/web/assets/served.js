// The pages as a server gives them: behind a session, with the document of now, and live where there is a stream.

import { SaidActions, actionEditor } from "./action_editor.js";
import { element } from "./dom.js";
import { instantText, plural, startMs } from "./format.js";
import { Latest, Stream, count } from "./live.js";
import { Pages, begin } from "./main.js";
import { Run } from "./model.js";
import { healthPage } from "./pages/health.js";
import { CAUSE_NAMES } from "./pages/movements.js";
import { signInPage } from "./pages/signin.js";
import { refresh } from "./refreshing.js";
import { refusedParts } from "./refused_parts.js";
import { customerParts, decisionSection, latestSection, membersSection, moveOf, moversParts } from "./server_parts.js";
import { Server, SignedOut } from "./source.js";

const REDRAW_MS = 400;
const DOCUMENT_MS = 30_000;
const LATEST_FIRST = 30;
const MOVES_PAGE = 200;

// What the server adds to the pages of the document.
class Site {
  constructor(app, server, session) {
    this.app = app;
    this.server = server;
    this.isLive = session.is_live;
    this.latest = new Latest();
    this.watched = null;
    this.mark = null;
    this.asked = new Set();
    this.said = new SaidActions();
    this.isDirty = false;
    this.isFetching = false;
    this.pages = [{ name: "health", title: "Health", draw: healthPage, hasNoToolbar: true }];
    this.shown = new Pages(app, this);
    this.stream = null;
    this.status = element("p", { class: "live", role: "status" });
  }

  async start() {
    if (this.isLive && this.server.may("stream:migrations")) this.listen();
    await this.fetchDocument(true);
    this.shown.show();
    if (!this.isLive) return;
    this.reloadDocument().then(() => {  // the one at hand may be older than the stream
      refresh(this.shown);
      document.documentElement.dataset.current = "yes";
    });
    setInterval(() => this.reloadDocument(), DOCUMENT_MS);
  }

  listen() {
    const causes = Object.keys(CAUSE_NAMES).filter((cause) => cause !== "erasure");  // such moves say "consent"
    this.stream = new Stream(causes, {
      onMove: (move) => this.receive(move),
      onState: (state) => {
        this.tellState();
        if (state === "live" && this.shown.run) this.catchUp();
        this.redrawSoon();
      },
    });
  }

  get streamState() {
    return this.stream?.state ?? "none";
  }

  get streamText() {
    if (this.stream) return "The connection is lost; trying again.";
    return this.server.may("stream:migrations") ? "" : "Your token lacks the scope stream:migrations, so figures follow every half a minute.";
  }

  tellState() {
    if (!this.isLive) return;
    const text = { live: "Live", waiting: "Connecting …", none: "Not live" }[this.streamState];
    this.status.className = `live ${this.streamState}`;
    this.status.textContent = text;
    this.status.title = this.streamState === "live" ? "" : this.streamText;
  }

  receive(move) {
    this.latest.add(move);
    if (this.watched?.id === move.customer_id && this.watched.place.isConnected) this.watched.look();
    if (!this.shown.run) return;
    if (!count(this.shown.run, move)) this.reloadDocument();
    this.redrawSoon();
  }

  redrawSoon() {
    if (this.isDirty) return;
    this.isDirty = true;
    setTimeout(() => {
      this.isDirty = false;
      if (document.visibilityState !== "visible" || !this.shown.run) return;
      refresh(this.shown);
      document.querySelector(".as-of").textContent = this.asOfText(this.shown.run);
    }, REDRAW_MS);
  }

  asOfText(run) {
    return this.isLive ? `${plural(run.customers, "customer")}, as of ${instantText(run.asOfMs)}` : null;
  }

  async fetchDocument(mayBeOld = false) {
    const { mark, raw } = await this.server.document(mayBeOld);
    if (mark === this.mark) return false;
    this.mark = mark;
    const run = new Run(raw);
    this.said.applyTo(run);
    this.stream?.catchUp(run);
    this.shown.take(run);
    return true;
  }

  async reloadDocument() {
    if (this.isFetching || document.visibilityState !== "visible") return;
    this.isFetching = true;
    try {
      if (await this.fetchDocument()) this.redrawSoon();
    } catch (error) {
      this.isSignedOut(error);
    } finally {
      this.isFetching = false;
    }
  }

  // What may have come while the stream was away.
  async catchUp() {
    await this.reloadDocument();
    this.asked.clear();
    this.redrawSoon();
  }

  // Has the latest moves of a segmentation in the feed, once.
  async fetchLatest(segmentation) {
    if (this.asked.has(segmentation.name)) return;
    this.asked.add(segmentation.name);
    try {
      this.latest.begin((await this.movesOf(segmentation, LATEST_FIRST)).moves.map(({ entry_id: entryId, move }) => ({ ...move, entryId })));
      this.redrawSoon();
    } catch (error) {
      this.isSignedOut(error);
    }
  }

  movesOf(segmentation, limit, parameters = []) {
    return this.server.get("/console/moves", [["segmentation", segmentation.name], ["limit", limit], ...parameters]);
  }

  // Moves of a period, the newest first, that a test lets through.
  async moves(segmentation, period, isListed, limit) {
    const [fromMs, toMs] = [startMs(period.first), startMs(period.last + 1)];
    const found = [];
    for (let before = null; found.length < limit;) {
      const page = await this.movesOf(segmentation, MOVES_PAGE, [["from_ms", fromMs], ["to_ms", toMs], ...(before ? [["before", before]] : [])]);
      for (const { move: raw } of page.moves) {
        const move = moveOf(this.shown.run, raw);
        if (isListed(move.from, move.to, move.cause, move.change)) found.push(raw);
      }
      before = page.before;
      if (!before) break;
    }
    return found.slice(0, limit);
  }

  watchCustomer(id, place, look) {
    this.watched = { id, place, look };
  }

  // Whether an error means that nobody is signed in any more; then that is shown.
  isSignedOut(error) {
    if (!(error instanceof SignedOut)) return false;
    location.reload();
    return true;
  }

  controls() {
    this.tellState();
    const { session } = this.server;
    return [
      this.isLive ? this.status : null,
      session.needs_token ? element("span", { class: "faint who" }, session.client) : null,
      session.needs_token ? element("button", { type: "button", class: "quiet", onclick: async () => {
        await this.server.signOut();
        location.reload();
      } }, "Sign out") : null,
    ];
  }

  members(context, segment) {
    return this.server.may("read:customers") ? membersSection(context, segment) : null;
  }

  customer(context, id, sections) {
    return customerParts(context, id, sections);
  }

  action(context, segment) {
    return actionEditor(context, segment);
  }

  decision(context) {
    return decisionSection(context);
  }

  latestOf(context) {
    if (!this.isLive || !this.server.may("read:customers")) return null;
    this.fetchLatest(context.segmentation);
    return latestSection(context);
  }

  movers(context, title, isListed) {
    return moversParts(context, title, isListed);
  }

  quality(context) {
    return refusedParts(context);
  }
}

begin(async (app) => {
  const server = new Server();
  const session = await server.begin();
  if (!session.signed_in) {
    signInPage(app, server);
    return;
  }
  await new Site(app, server, session).start();
});
