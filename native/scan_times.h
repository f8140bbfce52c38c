/* Times of records, RFC 3339 with a zone, and what a call remembers from one record to the next. Inline, as every
 * record has a time; the last date is remembered, as events come nearly in order.
 */
#ifndef SCAN_TIMES_H
#define SCAN_TIMES_H

#include "scan.h"

#define FRACTION_OF_SECOND_MAX 9
#define START SEG_FIELDS_MAX /* stands for "no field yet" among followers */

/* What a call remembers from one record to the next: only what makes the next one quicker. */
typedef struct memory {
  uint8_t date[10];
  bool has_date;
  int64_t date_ms;
  uint8_t follower[SEG_FIELDS_MAX + 1]; /* which field came behind each the last time */
} memory;

static inline int32_t two_digits(const uint8_t *at) {
  return is_digit(at[0]) && is_digit(at[1]) ? (at[0] - '0') * 10 + (at[1] - '0') : -1;
}

/* Days from 1970-01-01 of the proleptic Gregorian calendar (Hinnant, "chrono-compatible low-level date algorithms"). */
static inline int64_t days_since_epoch(int32_t year, int32_t month, int32_t day) {
  const int32_t shifted = month <= 2 ? year - 1 : year; /* years from March; >= 0, as year >= 1 */
  const int32_t era = shifted / 400, of_era = shifted % 400;
  const int32_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  return (int64_t)era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static inline bool read_date(const uint8_t *at, memory *m, int64_t *date_ms) {
  if (m->has_date && memcmp(at, m->date, sizeof m->date) == 0) {
    *date_ms = m->date_ms;
    return true;
  }
  static const int8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const int32_t century = two_digits(at), of_century = two_digits(at + 2);
  const int32_t month = two_digits(at + 5), day = two_digits(at + 8);
  if (century < 0 || of_century < 0 || at[4] != '-' || at[7] != '-' || month < 1 || month > 12) return false;
  const int32_t year = century * 100 + of_century;
  const bool is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  if (year < 1 || day < 1 || day > lengths[month - 1] + (month == 2 && is_leap)) return false;
  m->date_ms = *date_ms = days_since_epoch(year, month, day) * SEG_DAY_MS;
  memcpy(m->date, at, sizeof m->date);
  m->has_date = true;
  return true;
}

/* Whole milliseconds of a fraction of a second; what is finer is cut off. The cursor stands behind the point. */
static inline bool read_fraction(cursor *c, int64_t *ms) {
  int64_t value = 0;
  int digits = 0;
  for (; c->at < c->end && is_digit(*c->at); c->at++, digits++)
    if (digits < 3) value = value * 10 + (*c->at - '0');
  if (digits < 1 || digits > FRACTION_OF_SECOND_MAX) return false;
  for (int i = digits; i < 3; i++) value *= 10;
  *ms = value;
  return true;
}

static inline bool read_zone(cursor *c, int64_t *offset_ms) {
  *offset_ms = 0;
  if (take(c, 'Z')) return true;
  if (!has(c, 6) || (c->at[0] != '+' && c->at[0] != '-') || c->at[3] != ':') return false;
  const int32_t hours = two_digits(c->at + 1), minutes = two_digits(c->at + 4);
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return false;
  *offset_ms = (hours * INT64_C(60) + minutes) * 60 * SEG_SECOND_MS * (c->at[0] == '-' ? -1 : 1);
  c->at += 6;
  return true;
}

/* "2024-05-01T12:34:56.789Z", with any fraction or none, and any offset; no leap second, as Unix time has none. */
static inline bool read_time(cursor *c, memory *m, int64_t *at_ms) {
  int64_t date_ms, fraction_ms = 0, offset_ms;
  if (!take(c, '"') || !has(c, 19) || !read_date(c->at, m, &date_ms)) return false;
  const uint8_t *const at = c->at;
  const int32_t hour = two_digits(at + 11), minute = two_digits(at + 14), second = two_digits(at + 17);
  if (at[10] != 'T' || at[13] != ':' || at[16] != ':') return false;
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) return false;
  c->at += 19;
  if (take(c, '.') && !read_fraction(c, &fraction_ms)) return false;
  if (!read_zone(c, &offset_ms) || !take(c, '"')) return false;
  *at_ms = date_ms + ((hour * INT64_C(60) + minute) * 60 + second) * SEG_SECOND_MS + fraction_ms - offset_ms;
  return true;
}

#endif
