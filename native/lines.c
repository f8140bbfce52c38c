/* Lines of text: where they lie, and the same lines with their numbers in front.
 *
 * DuckDB reads text in parallel, and so cannot say in which line a row stands. Each line is therefore copied once with
 * its number before it. Lines of white space are left out, and count.
 *
 * Contract: a line ends with a line feed, and what follows the last one is none.
 *
 * Bounds: numbers up to 2^63 - 1, of at most 19 digits. */
#include <string.h>

#include "segmenter.h"

enum { DIGITS_MAX = 19 };

int64_t seg_split_lines(const uint8_t *buffer, int64_t size, int64_t *line_at, int64_t *line_size, int64_t capacity) {
  int64_t count = 0;
  for (int64_t at = 0; at < size;) {
    const uint8_t *const end = memchr(buffer + at, '\n', (size_t)(size - at));
    if (!end) break;
    if (count == capacity) return SEG_NO_ROOM;
    line_at[count] = at;
    line_size[count] = end - (buffer + at);
    at += line_size[count++] + 1;
  }
  return count;
}

static bool is_blank(const uint8_t *line, int64_t size) {
  for (int64_t i = 0; i < size; i++)
    if (line[i] != ' ' && !(line[i] >= '\t' && line[i] <= '\r') && !(line[i] >= 0x1c && line[i] <= 0x1f)) return false;
  return true;
}

static bool has_pairs(const uint8_t *line, int64_t size, uint8_t quote) {
  int64_t count = 0;
  for (int64_t i = 0; i < size; i++) count += line[i] == quote;
  return count % 2 == 0;
}

static int64_t put_number(int64_t number, uint8_t *out) {
  uint8_t digits[DIGITS_MAX];
  int64_t count = 0;
  do digits[count++] = (uint8_t)('0' + number % 10);
  while (number /= 10);
  for (int64_t i = 0; i < count; i++) out[i] = digits[count - 1 - i];
  return count;
}

int64_t seg_number_lines(const uint8_t *buffer, int64_t size, int64_t first, uint8_t mark, uint8_t quote,
                         int64_t longest, uint8_t *out, int64_t capacity) {
  int64_t written = 0, number = first;
  if (first < 0 || first > INT64_MAX - size) return SEG_OUT_OF_RANGE;
  for (int64_t at = 0; at < size; number++) {
    const uint8_t *const line = buffer + at, *const end = memchr(line, '\n', (size_t)(size - at));
    if (!end) break;
    const int64_t line_size = end - line;
    if (line_size > longest || (quote && !has_pairs(line, line_size, quote))) return SEG_OUT_OF_RANGE;
    at += line_size + 1;
    if (is_blank(line, line_size)) continue;
    if (capacity - written < DIGITS_MAX + 1 + line_size + 1) return SEG_NO_ROOM;
    written += put_number(number, out + written);
    out[written++] = mark;
    memcpy(out + written, line, (size_t)line_size + 1);
    written += line_size + 1;
  }
  return written;
}
