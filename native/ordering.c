/* The order of lines: whether they are in order of time, and which of one instant comes first.
 *
 * Whoever reads files has to know both before anything is folded, and looks at each line for it, so it has to cost
 * little beside scanning.
 *
 * Whether lines are in order. Times of one form are ordered as their text is. So a line's time is not read: where it
 * begins is found by the text in front of it, and the texts are compared. A byte of that text which the first line has
 * least often is looked for (memchr), and the rest is compared where it stands.
 *
 * What is of one instant. Lines that follow one another are sorted by their bytes, and equal ones stay as they come.
 * Most instants have one line or two.
 *
 * Contract: a line ends with a line feed. Of the form that is compared are 24 bytes that end with `Z`; whether they are a
 * time is for others to say, who see the first and the last one of each block.
 *
 * Bounds: any bytes; a line that does not lie in its buffer is refused. Sorting takes n log n comparisons. */
#include <stdlib.h>
#include <string.h>

#include "segmenter.h"

enum { TIME_BYTES = 24 };

/* A line among those of its instant. */
typedef struct line {
  const uint8_t *text;
  int64_t size, place;
} line;

static int64_t count_of(uint8_t byte, const uint8_t *text, int64_t size) {
  int64_t count = 0;
  for (int64_t i = 0; i < size; i++) count += text[i] == byte;
  return count;
}

/* Which byte of a mark the first line has least often. */
static int64_t rarest_of(const uint8_t *mark, int64_t mark_size, const uint8_t *buffer, int64_t size) {
  const uint8_t *const end = memchr(buffer, '\n', (size_t)size);
  const int64_t first = end ? end - buffer : size;
  int64_t rarest = 0, least = INT64_MAX;
  for (int64_t i = 0; i < mark_size; i++) {
    const int64_t count = count_of(mark[i], buffer, first);
    if (count < least) least = count, rarest = i;
  }
  return rarest;
}

/* Where a line has what follows a mark; -1 if the mark is not in it exactly once. */
static int64_t behind_mark(const uint8_t *text, int64_t size, const uint8_t *mark, int64_t mark_size, int64_t rarest) {
  int64_t found = -1;
  for (int64_t at = rarest; at < size; at++) {
    const uint8_t *const hit = memchr(text + at, mark[rarest], (size_t)(size - at));
    if (!hit) break;
    at = hit - text;
    const int64_t begin = at - rarest;
    if (mark_size > size - begin || memcmp(text + begin, mark, (size_t)mark_size) != 0) continue;
    if (found >= 0) return -1;
    found = begin + mark_size;
  }
  return found;
}

int32_t seg_lines_in_order(const uint8_t *buffer, int64_t size, const uint8_t *mark, int64_t mark_size,
                           int64_t *edges) {
  const int64_t rarest = rarest_of(mark, mark_size, buffer, size);
  bool is_ascending = true;
  edges[0] = edges[1] = -1;
  for (int64_t at = 0; at < size;) {
    const uint8_t *const end = memchr(buffer + at, '\n', (size_t)(size - at));
    if (!end) break;
    const int64_t length = end - (buffer + at), behind = behind_mark(buffer + at, length, mark, mark_size, rarest);
    if (behind < 0 || length - behind < TIME_BYTES || buffer[at + behind + TIME_BYTES - 1] != 'Z')
      return SEG_LINES_UNCOMMON;
    const int64_t time_at = at + behind;
    if (edges[0] < 0) edges[0] = time_at;
    else if (memcmp(buffer + time_at, buffer + edges[1], TIME_BYTES) < 0) is_ascending = false;
    edges[1] = time_at;
    at += length + 1;
  }
  return is_ascending ? SEG_OK : SEG_LINES_FALLING;
}

static int by_text(const void *a, const void *b) {
  const line *const one = a, *const other = b;
  const int64_t shared = one->size < other->size ? one->size : other->size;
  const int order = shared ? memcmp(one->text, other->text, (size_t)shared) : 0;
  if (order) return order;
  if (one->size != other->size) return one->size < other->size ? -1 : 1;
  return one->place < other->place ? -1 : 1;
}

/* Puts the records of an instant in the order of their lines; `lines` and `copies` have room for all of them. */
static void order_instant(seg_event *records, int64_t n, line *lines, seg_event *copies) {
  if (n == 2) {
    if (by_text(&lines[0], &lines[1]) < 0) return;
    const line second = lines[0];
    lines[0] = lines[1];
    lines[1] = second;
  } else {
    qsort(lines, (size_t)n, sizeof *lines, by_text);
  }
  memcpy(copies, records, (size_t)n * sizeof *records);
  for (int64_t i = 0; i < n; i++) {
    const int64_t offset = records[i].offset;
    records[i] = copies[lines[i].place];
    records[i].offset = offset;
  }
}

/* How many records from one on are of its instant. */
static int64_t shared_by(const seg_event *records, int64_t n) {
  int64_t count = 1;
  if (records[0].at_ms == SEG_NO_TIME) return count;
  while (count < n && records[count].at_ms == records[0].at_ms) count++;
  return count;
}

static int64_t most_shared(const seg_event *records, int64_t n) {
  int64_t most = 1;
  for (int64_t at = 0, count; at < n; at += count) {
    count = shared_by(records + at, n - at);
    if (count > most) most = count;
  }
  return most;
}

int32_t seg_order_instants(seg_event *records, int64_t n, const uint8_t *buffer, int64_t size, const int64_t *line_at,
                           const int64_t *line_size) {
  for (int64_t i = 0; i < n; i++)
    if (line_at[i] < 0 || line_size[i] < 0 || line_at[i] > size || line_size[i] > size - line_at[i])
      return SEG_OUT_OF_RANGE;
  const int64_t most = most_shared(records, n);
  if (most == 1) return SEG_OK;
  line *const lines = malloc((size_t)most * sizeof *lines);
  seg_event *const copies = malloc((size_t)most * sizeof *copies);
  if (lines && copies) {
    for (int64_t at = 0, count; at < n; at += count) {
      count = shared_by(records + at, n - at);
      if (count == 1) continue;
      for (int64_t i = 0; i < count; i++) lines[i] = (line){buffer + line_at[at + i], line_size[at + i], i};
      order_instant(records + at, count, lines, copies);
    }
  }
  const bool is_done = lines && copies;
  free(lines);
  free(copies);
  return is_done ? SEG_OK : SEG_NO_MEMORY;
}
