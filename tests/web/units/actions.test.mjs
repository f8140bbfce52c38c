import assert from "node:assert/strict";
import { test } from "node:test";
import { SaidActions } from "../assets/action_editor.js";

function run(...segments) {
  const segmentation = { name: "value", segments };
  return { segmentation: (name) => (name === "value" ? segmentation : undefined) };
}

test("what was said stays in documents that were made before it, for a minute", (context) => {
  context.mock.timers.enable({ apis: ["Date"], now: 1_000 });
  const [said, segment] = [new SaidActions(), { id: "s1", action: "Thank them." }];
  const kept = { action: "Call them.", action_edit: { edited_by: "marta" } };
  said.add({ name: "value" }, segment, kept);
  assert.deepEqual(segment, { id: "s1", action: "Call them.", edit: { edited_by: "marta" } });

  const [older, other] = [{ id: "s1", action: "Thank them." }, { id: "s2", action: "Wait." }];
  said.applyTo(run(older, other));
  assert.deepEqual([older.action, older.edit, other.action], ["Call them.", { edited_by: "marta" }, "Wait."]);
  said.applyTo(run());

  context.mock.timers.setTime(62_000);
  const later = { id: "s1", action: "Write to them." };
  said.applyTo(run(later));
  assert.equal(later.action, "Write to them.");
});
