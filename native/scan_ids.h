/* Ids of records: accepted only in their normal form, and a customer's only if it stands for somebody. Inline, as every
 * record has two or three; what is looked at twice is in scan_ids.c. Each test is at least as strict as the one of
 * stream_app/contracts/ids.py, and takes a few bytes of an id that is made of ASCII.
 */
#ifndef SCAN_IDS_H
#define SCAN_IDS_H

#include "scan.h"

#define EXPONENT_MAX 3 /* digits behind the plus of an id that a spreadsheet has cut */
#define LARGE_ID 63    /* bytes; the filter of placeholders takes longer ones for as long */

/* Whether something is kept of a field. */
static inline bool is_kept(const seg_scanner *s, const seg_field *field) {
  return s->kept & (UINT32_C(1) << (uint32_t)(field - s->fields));
}

/* Whether an id that begins like a number ends like one that a table or a spreadsheet has ruined: 17850.0, 1.2E+17. */
static inline bool may_be_ruined(span id) {
  const uint8_t *const end = id.at + id.size;
  if (!(is_digit(id.at[0]) || id.at[0] == '-') || id.size < 3 || !is_digit(end[-1])) return false;
  if (end[-2] == '.' || end[-2] == ',' || end[-2] == '+' || end[-3] == '+') return true;
  return id.size > EXPONENT_MAX && end[-1 - EXPONENT_MAX] == '+';
}

/* A number that is written as a whole one is the text of its digits; as which it cannot be kept for conditions. */
static __attribute__((noinline)) bool read_number_as_id(const seg_scanner *s, const seg_field *field, cursor *c,
                                                        span *out) {
  *out = (span){c->at, 0};
  out->size = skip_whole(c);
  return out->size >= 1 && out->size <= (size_t)field->most && !is_kept(s, field);
}

static inline bool read_id(const seg_scanner *s, const seg_field *field, cursor *c, span *out) {
  size_t characters;
  if (c->at < c->end && *c->at != '"') return read_number_as_id(s, field, c, out);
  if (!read_string(c, out, &characters) || characters < 1 || characters > (size_t)field->most) return false;
  if (out->at[0] == ' ' || out->at[out->size - 1] == ' ' || may_be_ruined(*out)) return false;
  return characters == out->size || seg_is_certainly_normal(*out);
}

static inline bool may_be_nobody(const seg_scanner *s, span id) {
  const size_t size = id.size < LARGE_ID ? id.size : LARGE_ID;
  return (s->placeholder_sizes[id.at[0]] >> size & 1) && seg_is_placeholder(s, id);
}

#endif
