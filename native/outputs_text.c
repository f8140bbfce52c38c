/* Growing texts, and numbers, instants and strings in them exactly as msgspec and Python write them.
 *
 * A float is written with the fewest digits that give it back. All floats that are told have been rounded to at most
 * four decimals, which makes that cheap: with n = x * 10^digits a whole number below 10^15, x is the double nearest to
 * n / 10^digits, a decimal of at most 15 digits. Two different decimals of so few digits never share a nearest double,
 * so no shorter one can stand for x, and n without its trailing zeros are the digits sought. Larger numbers, which no
 * customer of flesh and blood has, take the slow way: the first of 15, 16 and 17 digits that is read back as the same.
 *
 * Contract: what is added is what the Python named in outputs.h makes. Bounds: any number and any bytes; a text checks
 * its room at every addition and refuses to grow beyond what a size can say.
 */
#include "outputs.h"

#include <stdio.h>
#include <stdlib.h>

__extension__ typedef unsigned __int128 wide;

#define EXACT_BELOW 1e15 /* whole numbers of at most 15 digits */
#define INTEGERS_BELOW 9223372036854775808.0 /* 2^63 */
#define FRACTIONS_BELOW 4503599627370496.0   /* 2^52: from here on every double is whole */

static const double powers[SEG_DIGITS_MAX + 1] = {1e0, 1e1, 1e2, 1e3, 1e4};
static const uint64_t whole_powers[SEG_DIGITS_MAX + 1] = {1, 10, 100, 1000, 10000};

static inline double magnitude(double x) { return __builtin_fabs(x); }
static inline bool is_negative(double x) { return __builtin_signbit(x); }
static inline bool is_finite(double x) { return x - x == 0.0; }

void seg_text_free(seg_text *text) {
  free(text->data);
  *text = (seg_text){0};
}

bool seg_text_grow(seg_text *text, size_t more) {
  if (text->failed || more > SIZE_MAX / 4 - text->size) {
    text->failed = true;
    return false;
  }
  const size_t needed = text->size + more;
  const size_t doubled = 2 * text->capacity;
  const size_t capacity = needed > doubled ? needed : doubled;
  uint8_t *data = realloc(text->data, capacity < 4096 ? 4096 : capacity);
  if (!data) {
    text->failed = true;
    return false;
  }
  text->data = data;
  text->capacity = capacity < 4096 ? 4096 : capacity;
  return true;
}

static void add_escape(seg_text *text, uint8_t byte) {
  static const char digits[] = "0123456789abcdef";
  switch (byte) {
    case '"': SEG_ADD(text, "\\\""); return;
    case '\\': SEG_ADD(text, "\\\\"); return;
    case '\b': SEG_ADD(text, "\\b"); return;
    case '\t': SEG_ADD(text, "\\t"); return;
    case '\n': SEG_ADD(text, "\\n"); return;
    case '\f': SEG_ADD(text, "\\f"); return;
    case '\r': SEG_ADD(text, "\\r"); return;
    default: seg_add(text, (const char[]){'\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 15]}, 6);
  }
}

void seg_add_escaped(seg_text *text, seg_span span) {
  size_t start = 0;
  for (size_t i = 0; i < span.size; i++) {
    const uint8_t byte = span.data[i];
    if (byte >= 0x20 && byte != '"' && byte != '\\') continue;
    seg_add(text, span.data + start, i - start);
    add_escape(text, byte);
    start = i + 1;
  }
  if (start < span.size) seg_add(text, span.data + start, span.size - start);
}

static const char pairs[] =
    "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849"
    "5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";

static inline void put_pair(char *at, uint32_t number) { memcpy(at, pairs + 2 * number, 2); }

/* Puts at least so many digits, at most 20, before `end`; returns where they begin. */
static inline char *put_digits(char *end, uint64_t number, int32_t least) {
  char *at = end;
  while (number >= 100) {
    at -= 2;
    put_pair(at, (uint32_t)(number % 100));
    number /= 100;
  }
  if (number >= 10) {
    at -= 2;
    put_pair(at, (uint32_t)number);
  } else {
    *--at = (char)('0' + number);
  }
  while (end - at < least) *--at = '0';
  return at;
}

/* Adds at least so many digits. */
static void add_digits(seg_text *text, uint64_t number, int32_t least) {
  char digits[20];
  char *const end = digits + sizeof digits;
  const char *at = put_digits(end, number, least);
  seg_add(text, at, (size_t)(end - at));
}

void seg_add_integer(seg_text *text, int64_t number) {
  if (number < 0) SEG_ADD(text, "-");
  add_digits(text, number < 0 ? -(uint64_t)number : (uint64_t)number, 1);
}

/* Adding 2^52 leaves no bits for a fraction, so the processor rounds; taking it away again is exact. */
double seg_nearest(double number) {
  const double size = magnitude(number);
  if (!(size < FRACTIONS_BELOW)) return number;
  return __builtin_copysign(size + FRACTIONS_BELOW - FRACTIONS_BELOW, number);
}

double seg_rounded(double number, int32_t digits) {
  return digits == 0 ? seg_nearest(number) : seg_nearest(number * powers[digits]) / powers[digits];
}


static bool read_back(double number, const char *scientific) { return strtod(scientific, NULL) == number; }

/* Writes the fewest digits that give a positive number back, at most 17, and their count; returns the exponent of the
 * first one. Only a power of two has less room below than above: there the next larger decimal is tried as well. */
static int shortest(double number, char digits[18], int *count) {
  char text[40];
  int precision = 15;
  for (; precision <= 17; precision++) {
    snprintf(text, sizeof text, "%.*e", precision - 1, number);
    if (read_back(number, text)) break;
    char *last = strchr(text, 'e') - 1;
    if (*last < '9') {
      ++*last;
      if (read_back(number, text)) break;
    }
  }
  const char *e = strchr(text, 'e');
  *count = 0;
  for (const char *c = text; c < e && *count < 17; c++) {
    if (*c >= '0' && *c <= '9') digits[(*count)++] = *c; /* all but the locale's decimal point */
  }
  while (*count > 1 && digits[*count - 1] == '0') --*count;
  return atoi(e + 1);
}

/* Adds any finite positive number. */
static void add_shortest(seg_text *text, double number) {
  static const char zeros[] = "0000000000000000";
  char digits[18];
  int count;
  const int exponent = shortest(number, digits, &count);
  const int point = exponent + 1; /* digits before the decimal point */
  if (count <= point && point <= 16) {
    seg_add(text, digits, (size_t)count);
    seg_add(text, zeros, (size_t)(point - count));
    SEG_ADD(text, ".0");
  } else if (0 < point && point <= 16) {
    seg_add(text, digits, (size_t)point);
    SEG_ADD(text, ".");
    seg_add(text, digits + point, (size_t)(count - point));
  } else if (-5 < point && point <= 0) {
    SEG_ADD(text, "0.");
    seg_add(text, zeros, (size_t)-point);
    seg_add(text, digits, (size_t)count);
  } else {
    seg_add(text, digits, 1);
    if (count > 1) SEG_ADD(text, ".");
    seg_add(text, digits + 1, (size_t)(count - 1));
    SEG_ADD(text, "e");
    seg_add_integer(text, exponent);
  }
}

void seg_add_number(seg_text *text, double number, int32_t digits) {
  if (!is_finite(number)) {
    SEG_ADD(text, "null");
    return;
  }
  const double size = magnitude(number);
  const double units = seg_nearest(size * powers[digits]);
  if (!(units < EXACT_BELOW)) {
    if (is_negative(number)) SEG_ADD(text, "-");
    add_shortest(text, size);
    return;
  }
  char all[24];
  char *const end = all + sizeof all;
  uint32_t fraction = (uint32_t)((uint64_t)units % whole_powers[digits]);
  int32_t decimals = digits > 1 ? digits : 1;
  while (decimals > 1 && fraction % 10 == 0) {
    fraction /= 10;
    decimals--;
  }
  char *at = put_digits(end, fraction, decimals);
  *--at = '.';
  at = put_digits(at, (uint64_t)units / whole_powers[digits], 1);
  if (is_negative(number)) *--at = '-';
  seg_add(text, at, (size_t)(end - at));
}

/* Adds what Python's `f` makes of a number that is none; false if it is one. */
static bool add_no_number(seg_text *text, double number) {
  if (is_finite(number)) return false;
  seg_add_string(text, number != number ? "nan" : is_negative(number) ? "-inf" : "inf");
  return true;
}

void seg_add_whole(seg_text *text, double number) {
  char digits[400];
  if (add_no_number(text, number)) return;
  if (is_negative(number)) SEG_ADD(text, "-");
  const double whole = seg_nearest(magnitude(number));
  if (whole < INTEGERS_BELOW) {
    add_digits(text, (uint64_t)whole, 1);
  } else {
    const int size = snprintf(digits, sizeof digits, "%.0f", whole);
    seg_add(text, digits, (size_t)size);
  }
}

/* Adds a positive number with its decimals. Its fraction is exact, and so is that fraction times 10^digits, or it is
 * below the number's last bit and of no account. */
void seg_add_fixed(seg_text *text, double number, int32_t digits) {
  if (add_no_number(text, number)) return;
  if (is_negative(number)) SEG_ADD(text, "-");
  const double size = magnitude(number);
  const double units = seg_nearest(size * powers[digits]);
  if (units < EXACT_BELOW) {
    add_digits(text, (uint64_t)units / whole_powers[digits], 1);
    if (!digits) return;
    SEG_ADD(text, ".");
    add_digits(text, (uint64_t)units % whole_powers[digits], digits);
    return;
  }
  double whole = size;
  double fraction = 0.0;
  if (size < FRACTIONS_BELOW) {
    whole = (double)(uint64_t)size;
    fraction = seg_nearest((size - whole) * powers[digits]);
    if (fraction >= powers[digits]) {
      whole += 1.0;
      fraction = 0.0;
    }
  }
  seg_add_whole(text, whole);
  if (!digits) return;
  SEG_ADD(text, ".");
  add_digits(text, (uint64_t)fraction, digits);
}

/* The double nearest to number / 10^digits, as Python divides integers. Numbers below 2^53 are doubles themselves. Of a
 * larger one the quotient is 2^39 at least, so what lies halfway between two doubles is a multiple of 2^-14; a quotient
 * that is not one of these is at least 2^-28 away from it, which 2^-32 tell apart. */
static double quotient(uint64_t number, int32_t digits) {
  if (number < (UINT64_C(1) << 53) || !digits) return (double)number / powers[digits];
  const wide scaled = (wide)number << 32;
  return (double)(scaled / whole_powers[digits]) * 0x1p-32;
}

void seg_add_amount(seg_text *text, int64_t minor, int32_t digits) {
  if (minor < 0) SEG_ADD(text, "-");
  seg_add_fixed(text, quotient(minor < 0 ? -(uint64_t)minor : (uint64_t)minor, digits), digits);
}

typedef struct date {
  int64_t year;
  uint32_t month, day;
} date;

/* Days since the epoch as a date; see H. Hinnant, chrono-compatible low-level date algorithms (2013). */
static date date_of(int64_t day) {
  day += 719468; /* from 0000-03-01 on, so that a leap day is a year's last */
  const int64_t era = (day >= 0 ? day : day - 146096) / 146097;
  const uint32_t of_era = (uint32_t)(day - era * 146097);
  const uint32_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  const uint32_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const uint32_t from_march = (5 * of_year + 2) / 153;
  const uint32_t month = from_march < 10 ? from_march + 3 : from_march - 9;
  return (date){year_of_era + era * 400 + (month <= 2), month, of_year - (153 * from_march + 2) / 5 + 1};
}

void seg_add_instant(seg_text *text, int64_t at_ms) {
  int64_t day = at_ms / SEG_DAY_MS;
  int64_t of_day_ms = at_ms % SEG_DAY_MS;
  if (of_day_ms < 0) {
    of_day_ms += SEG_DAY_MS;
    day--;
  }
  const date d = date_of(day);
  const uint32_t ms = (uint32_t)of_day_ms;
  char rest[] = "-00-00T00:00:00.000Z";
  if (d.year < 0) SEG_ADD(text, "-");
  add_digits(text, (uint64_t)(d.year < 0 ? -d.year : d.year), 4);
  put_pair(rest + 1, d.month);
  put_pair(rest + 4, d.day);
  put_pair(rest + 7, ms / 3600000);
  put_pair(rest + 10, ms / 60000 % 60);
  put_pair(rest + 13, ms / 1000 % 60);
  put_pair(rest + 17, ms % 100);
  rest[16] = (char)('0' + ms / 100 % 10);
  seg_add(text, rest, sizeof rest - 1);
}
