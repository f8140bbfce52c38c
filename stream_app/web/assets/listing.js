// Customers with their present segments and what they have brought: all, or those with the greatest revenue.

import { NOBODY } from "./model.js";

const NOBODY_LISTED = { isComplete: false, id: [], orders: [], revenue: [], cell: [], lastDay: [], segments: [] };

export class Listing {
  constructor(run) {
    const raw = run.listed ?? NOBODY_LISTED;
    this.run = run;
    this.raw = raw;
    this.places = new Map(raw.id.map((id, place) => [id, place]));
    this.lists = new Map();
  }

  get size() {
    return this.raw.id.length;
  }

  get isComplete() {
    return this.raw.isComplete;
  }

  has(id) {
    return this.places.has(id);
  }

  // What is known of a customer, in major units; null of those who are not here.
  of(id) {
    const place = this.places.get(id);
    return place === undefined ? null : this.row(place);
  }

  row(place) {
    const { id, orders, revenue, lastDay, segments } = this.raw;
    return {
      id: id[place],
      orders: orders[place],
      revenue: revenue[place] / this.run.minorPerMajor,
      lastDay: lastDay[place],
      segments: segments.map((column) => column[place]),
    };
  }

  // Those of a segment who are here, the greatest revenue first.
  members(segmentation, index) {
    const number = this.run.segmentations.indexOf(segmentation);
    const key = `${number}>${index}`;
    if (!this.lists.has(key)) {
      const { segments, revenue } = this.raw;
      const places = [];
      segments[number]?.forEach((segment, place) => { if (segment === index) places.push(place); });
      places.sort((a, b) => revenue[b] - revenue[a] || a - b);
      this.lists.set(key, places);
    }
    return this.lists.get(key).map((place) => this.row(place));
  }

  // Buyers in some cells of the grid, by their numbers, the greatest revenue first.
  inCells(cells) {
    const wanted = new Set(cells);
    const { cell, revenue } = this.raw;
    return cell.flatMap((each, place) => (wanted.has(each) ? [place] : [])).sort((a, b) => revenue[b] - revenue[a] || a - b).map((place) => this.row(place));
  }

  // Those whose ids begin so.
  startingWith(text, most) {
    const found = [];
    for (const id of this.raw.id) {
      if (!id.startsWith(text)) continue;
      found.push(id);
      if (found.length === most) break;
    }
    return found;
  }

  // In which segments a customer is: [segmentation, place].
  segmentsOf(row) {
    return row.segments.map((index, number) => [this.run.segmentations[number], index]).filter(([, index]) => index !== NOBODY);
  }
}
