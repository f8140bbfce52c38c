// A small document, as the pages get it: two segmentations and an audience over 20 days.

import { Run } from "../assets/model.js";

export const LAST_DAY = 20_019;
export const FIRST_DAY = 20_000;
const segment = (id, name, level = null) => ({ id, name, level, action: null, means: null, open: true, former: false, tried: null });
const members = (id, customers) => ({ id, customers, share: customers / 10, revenue: 100 * customers });

export function document(changes = {}) {
  return {
    format: 2, currency: "EUR", moneyDigits: 2, timezone: "UTC", asOfMs: LAST_DAY * 86_400_000, lastDay: LAST_DAY, customers: 10,
    causes: ["purchase", "lapse", "model"], changes: ["entered", "moved", "lapsed", "returned", "left"],
    days: { day: [20_000, 20_010, 20_019], revenue: [1_000, 2_050, 300], orders: [1, 2, 1], engagements: [0, 5, 1] },
    segmentations: [
      {
        name: "value", title: "Value", kind: "learned", version: 1, moves: null, models: [], versions: [],
        segments: [segment("s1", "Champions", 2), segment("s2", "Regular", 0), segment("s5", "At risk", -1), { ...segment("s9", "Old"), former: true }],
        members: { s1: members("s1", 2), s2: members("s2", 5), s5: members("s5", 3) },
        everyone: { revenue: 1_000 },
        flows: {
          day: [20_000, 20_001, 20_010, 20_018, 20_019], from: [-1, -1, 1, 1, 2], to: [1, 1, 0, 2, 1],
          cause: [0, 0, 0, 1, 2], change: [0, 0, 1, 2, 1], customers: [6, 4, 2, 4, 1], revenue: [0, 0, 5_000, 12_345, 700],
        },
        trade: { day: [20_000, 20_010, 20_010, 20_019], segment: [-1, 1, 0, 1], revenue: [1_000, 1_050, 1_000, 300], orders: [1, 1, 1, 1] },
      },
      {
        name: "region", title: "Region", kind: "rules", version: 1, moves: null, models: [], versions: [],
        segments: [segment("it", "Italy"), segment("other", "Elsewhere")],
        members: { it: members("it", 4), other: members("other", 6) },
        everyone: { revenue: 1_000 },
        flows: { day: [], from: [], to: [], cause: [], change: [], customers: [], revenue: [] },
        trade: { day: [], segment: [], revenue: [], orders: [] },
      },
      {
        name: "vips", title: "VIPs", kind: "audience", version: 1, moves: null, models: [], versions: [],
        segments: [segment("vips", "VIPs")], members: { vips: members("vips", 2) }, everyone: { revenue: 1_000 },
        flows: { day: [20_002], from: [-1], to: [0], cause: [0], change: [0], customers: [2], revenue: [900] },
        trade: { day: [], segment: [], revenue: [], orders: [] },
      },
    ],
    overlaps: [
      { of: 0, with: 1, segment: [0, 1, 1, 2], other: [0, 0, 1, 1], customers: [2, 2, 3, 3] },
      { of: 0, with: 2, segment: [0], other: [0], customers: [2] },
    ],
    listed: {
      isComplete: true, id: ["a", "ab", "b", "c"], orders: [1, 2, 3, 0], revenue: [500, 900, 900, 0], cell: [0, 24, 24, null], lastDay: [20_000, 20_010, 20_019, null],
      segments: [[0, 1, 1, 2], [0, 0, 1, 1], [0, 0, -1, -1]],
    },
    ...changes,
  };
}

export function run(changes) {
  return new Run(document(changes));
}
