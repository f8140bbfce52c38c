/* Instants and dates that stand in texts.
 *
 * Contract. An instant is RFC 3339 with a zone, "2024-05-01T12:34:56.789+02:00", with a small t or z or a space for the
 * T if need be, with or without a fraction; what is finer than milliseconds is cut off. A date alone, "2024-05-01", means
 * its midnight in UTC. Everything else is none: there is no guessing.
 *
 * Bounds: years 1 to 9999; no byte beyond the text is looked at. */
#include "program.h"

#define DATE_SIZE 10
#define TIME_SIZE 19
#define FRACTION_MAX 9

static int32_t two_digits(const uint8_t *at) {
  return at[0] >= '0' && at[0] <= '9' && at[1] >= '0' && at[1] <= '9' ? (at[0] - '0') * 10 + (at[1] - '0') : -1;
}

/* Hinnant, "chrono-compatible low-level date algorithms". */
int64_t seg_days_of_date(int32_t year, int32_t month, int32_t day) {
  const int64_t shifted = month <= 2 ? (int64_t)year - 1 : year;
  const int64_t era = (shifted >= 0 ? shifted : shifted - 399) / 400, of_era = shifted - era * 400;
  const int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

void seg_date_of_days(int64_t days, int32_t *year, int32_t *month, int32_t *day) {
  const int64_t shifted = days + 719468;
  const int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097, of_era = shifted - era * 146097;
  const int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  const int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t from_march = (5 * of_year + 2) / 153;
  *day = (int32_t)(of_year - (153 * from_march + 2) / 5 + 1);
  *month = (int32_t)(from_march < 10 ? from_march + 3 : from_march - 9);
  *year = (int32_t)(year_of_era + era * 400 + (*month <= 2));
}

static bool is_leap(int32_t year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

static bool read_date(const uint8_t *at, int64_t size, int32_t *year, int32_t *month, int32_t *day) {
  static const int8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (size < DATE_SIZE || at[4] != '-' || at[7] != '-') return false;
  const int32_t century = two_digits(at), of_century = two_digits(at + 2);
  *month = two_digits(at + 5);
  *day = two_digits(at + 8);
  if (century < 0 || of_century < 0 || *month < 1 || *month > 12) return false;
  *year = century * 100 + of_century;
  return *year >= 1 && *day >= 1 && *day <= lengths[*month - 1] + (*month == 2 && is_leap(*year));
}

/* Behind the seconds: a fraction or none, and the zone. */
static bool read_rest(const uint8_t *at, const uint8_t *end, int64_t *fraction_ms, int64_t *offset_ms) {
  *fraction_ms = *offset_ms = 0;
  if (at < end && *at == '.') {
    int32_t digits = 0;
    int64_t scale = 100;
    for (at++; at < end && *at >= '0' && *at <= '9'; at++, digits++, scale /= 10) *fraction_ms += (*at - '0') * scale;
    if (digits < 1 || digits > FRACTION_MAX) return false;
  }
  if (end - at == 1) return *at == 'Z' || *at == 'z';
  if (end - at != 6 || (at[0] != '+' && at[0] != '-') || at[3] != ':') return false;
  const int32_t hours = two_digits(at + 1), minutes = two_digits(at + 4);
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return false;
  *offset_ms = (hours * INT64_C(60) + minutes) * 60 * SEG_SECOND_MS * (at[0] == '-' ? -1 : 1);
  return true;
}

/* Whether a text is a date or an instant; which date is written, and the instant. */
static bool read_text(const uint8_t *at, int64_t size, int32_t *year, int32_t *month, int32_t *day, int64_t *at_ms) {
  if (!read_date(at, size, year, month, day)) return false;
  *at_ms = seg_days_of_date(*year, *month, *day) * SEG_DAY_MS;
  if (size == DATE_SIZE) return true;
  if (size < TIME_SIZE || (at[10] != 'T' && at[10] != 't' && at[10] != ' ') || at[13] != ':' || at[16] != ':')
    return false;
  const int32_t hour = two_digits(at + 11), minute = two_digits(at + 14), second = two_digits(at + 17);
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) return false;
  int64_t fraction_ms, offset_ms;
  if (!read_rest(at + TIME_SIZE, at + size, &fraction_ms, &offset_ms)) return false;
  *at_ms += ((hour * INT64_C(60) + minute) * 60 + second) * SEG_SECOND_MS + fraction_ms - offset_ms;
  return true;
}

bool seg_read_instant(const uint8_t *at, int64_t size, int64_t *at_ms) {
  int32_t year, month, day;
  return read_text(at, size, &year, &month, &day, at_ms);
}

bool seg_read_written_date(const uint8_t *at, int64_t size, int32_t *year, int32_t *month, int32_t *day) {
  int64_t at_ms;
  return read_text(at, size, year, month, day, &at_ms);
}
