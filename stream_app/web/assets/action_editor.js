// What to do with a segment's customers, for those who may say so: a sentence with a button, or a field to write in. It
// is kept by the server, in place of what the segment's definition says.

import { element } from "./dom.js";
import { actionText } from "./parts.js";
import { holder } from "./server_parts.js";

const LONGEST = 500;
const REMEMBERED_MS = 60_000;

// What was said on this page: a document may have been made before, and comes afterwards.
export class SaidActions {
  constructor() {
    this.said = new Map();
  }

  add(segmentation, segment, kept) {
    const said = { action: kept.action, edit: kept.action_edit };
    this.said.set(JSON.stringify([segmentation.name, segment.id]), { said, until: Date.now() + REMEMBERED_MS });
    Object.assign(segment, said);
  }

  applyTo(run) {
    for (const [place, { said, until }] of this.said) {
      const [name, id] = JSON.parse(place);
      const segment = run.segmentation(name)?.segments.find((each) => each.id === id);
      if (Date.now() > until) this.said.delete(place);
      else if (segment) Object.assign(segment, said);
    }
  }
}

export function actionEditor(context, segment) {
  const { site, segmentation } = context;
  if (!site.server.session.can_edit_actions || segment.former) return actionText(segment);
  const place = element("div", { class: "action-editor" });
  const path = `/v1/segmentations/${encodeURIComponent(segmentation.name)}/segments/${encodeURIComponent(segment.id)}/action`;

  const show = () => {
    const button = element("button", { type: "button", class: "quiet", onclick: edit }, segment.action ? "Change" : "Say what to do");
    place.replaceChildren(...[actionText(segment), button].filter(Boolean));
    return button;
  };

  const edit = () => {
    const said = element("p", { role: "status" });
    const field = element("input", { type: "text", name: "action", maxlength: LONGEST, required: true, value: segment.action ?? "" });
    const keep = async (method, body) => {
      said.textContent = "Keeping it …";
      try {
        const kept = await site.server.change(method, path, body);
        site.said.add(segmentation, segment, kept);
        show().focus();
      } catch (error) {
        if (!site.isSignedOut(error)) said.textContent = `That did not work: ${error.message}.`;
      }
    };
    const form = element("form", { onsubmit: (event) => {
      event.preventDefault();
      keep("PUT", { action: field.value });
    } },
    element("label", {}, element("span", {}, `What to do with ${segment.name}`), field),
    element("div", { class: "below" },
      element("button", { type: "submit" }, "Keep"),
      segment.edit ? element("button", { type: "button", class: "quiet", onclick: () => keep("DELETE") }, "Back to the definition's") : null,
      element("button", { type: "button", class: "quiet", onclick: () => show().focus() }, "Cancel")),
    said);
    place.replaceChildren(holder("action", form));
    field.focus();
  };

  show();
  return place;
}
