// Draws a page anew where it stands: what says something else now is put in place of what was there. Charts, what is
// held open, and what somebody is typing in stay; the focus stays where it was.

const FOCUSABLE = "a[href], button, input, select, summary, [tabindex]";

export function refresh(pages) {
  const shown = document.querySelector("main");
  if (!shown || !pages.run) return;
  const { context } = pages;
  const fresh = [context.page.draw({ ...context, isRefresh: true })].flat(Infinity).filter((node) => node instanceof Element);
  const old = [...shown.children].slice(-fresh.length);
  if (old.length !== fresh.length || old.some((node, place) => node.tagName !== fresh[place].tagName)) {
    if (!shown.contains(document.activeElement)) pages.show();  // other parts than before
    return;
  }
  old.forEach((node, place) => replace(node, fresh[place]));
}

function replace(old, fresh) {
  if (old.textContent === fresh.textContent || old.querySelector("canvas, [data-own]") || old.matches("[data-own]")) return;
  if (old.querySelector("input:focus, select:focus")) return;
  const focused = [...old.querySelectorAll(FOCUSABLE)].indexOf(document.activeElement);
  const opened = [...old.querySelectorAll("details")].map((each) => each.open);
  const scrolled = [...old.querySelectorAll(".scroll")].map((each) => each.scrollLeft);
  old.replaceWith(fresh);
  fresh.querySelectorAll("details").forEach((each, place) => { each.open = opened[place] ?? false; });
  fresh.querySelectorAll(".scroll").forEach((each, place) => { each.scrollLeft = scrolled[place] ?? 0; });
  if (focused >= 0) fresh.querySelectorAll(FOCUSABLE)[focused]?.focus({ preventScroll: true });
}
