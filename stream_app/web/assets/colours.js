// One colour for each segment id, the same in every report: cool ones, and warm ones below the middle of the life
// cycle, where there is trouble. Learned segments have theirs by name; others theirs by their id, and where two of one
// segmentation would meet, the later takes the next one free.

const COOL = 10;
const WARM = 6;

const LEARNED = {
  s104: "--cool-0", s1: "--cool-1", s2: "--cool-2", s103: "--cool-3", s101: "--cool-4", s4: "--cool-5", s3: "--cool-6",
  s102: "--cool-7", s5: "--warm-0", s105: "--warm-1", s106: "--warm-3", s6: "--warm-2",
};

function digest(text) {
  let hash = 2166136261;
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 16777619) >>> 0;
  return hash;
}

// Of a segmentation, the custom property that holds each segment's colour, by id.
export function segmentColours(kind, segments) {
  const colours = new Map();
  const taken = new Set();
  for (const segment of segments) {
    if (kind === "learned" && LEARNED[segment.id]) {
      colours.set(segment.id, LEARNED[segment.id]);
      continue;
    }
    const isTrouble = segment.level !== null && segment.level < 0;
    const [stem, size] = isTrouble ? ["--warm", WARM] : ["--cool", COOL];
    let slot = digest(segment.id) % size;
    for (let tried = 0; tried < size && taken.has(`${stem}-${slot}`); tried += 1) slot = (slot + 1) % size;
    taken.add(`${stem}-${slot}`);
    colours.set(segment.id, `${stem}-${slot}`);
  }
  return colours;
}

// How the lines of a chart are broken, in their order, so that they differ without colours too.
export const DASHES = [[], [7, 4], [2, 3]];
