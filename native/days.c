/* Sets of distinct days, and what is kept of them: how many there are, and how far they lie apart.
 *
 * Theory. Bit j of a set is the day j days before the last one, in words of 64 days, the newest first. A set holds the
 * days of a window and no others, whatever the order in which they came; so what is a function of the bits alone does
 * not depend on that order either. Two such functions are kept beside the bits:
 *
 *     engaged days   the sum of the days' weights, which halve every 30 days
 *     gaps           with g_0 the whole days between the last two days of the set, g_1 those between the two before,
 *                    and so on: how many there are, L = sum of m^k ln g_k, and Q = sum of m^k (ln g_k)^2, m = .95
 *
 * A day ahead shifts all bits, so sets are worked on at twice their size, and what is then older than the window is
 * forgotten from the oldest on. It makes the sums m L + ln g and m Q + (ln g)^2; the oldest day takes its gap along,
 * whose weight is known from the number of gaps. A day that comes late splits a gap and makes older ones count less:
 * then all is summed anew; so it is where an order turns out to be older than was known, and leaves its day.
 *
 * Contract. Floating-point addition is not associative: the operations, and their order, are part of the result.
 *
 * Bounds: any bits within a window are taken, also without a last day, and any number of gaps, as rows come from
 * outside. A number of gaps or days that the tables do not have, which only rows can lead to that nobody wrote, weighs
 * nothing. Differences of days cannot overflow: a day is an int64 of milliseconds by 86,400,000. */
#include "table.h"

enum { ACTIVE_WIDE = 2 * SEG_ACTIVE_WORDS, ENGAGED_WIDE = 2 * SEG_ENGAGED_WORDS };

void seg_day_weights_init(seg_day_weights *weights) {
  for (int32_t age = 0; age < 2 * SEG_ENGAGED_WINDOW_DAYS; age++)
    weights->engaged[age] = seg_exp2(-(double)age / SEG_ENGAGEMENT_HALF_LIFE_DAYS);
  for (int32_t newer = 0; newer <= SEG_ACTIVITY_WINDOW_DAYS; newer++)
    weights->gaps[newer] = seg_pow(SEG_GAP_MEMORY, (double)newer);
  weights->logs[0] = 0.0;
  for (int32_t days = 1; days < SEG_ACTIVITY_WINDOW_DAYS; days++) weights->logs[days] = seg_log((double)days);
}

static double gap_weight(const seg_day_weights *weights, int64_t newer) {
  return newer >= 0 && newer <= SEG_ACTIVITY_WINDOW_DAYS ? weights->gaps[newer] : 0.0;
}
static double gap_log(const seg_day_weights *weights, int64_t days) {
  return days > 0 && days < SEG_ACTIVITY_WINDOW_DAYS ? weights->logs[days] : 0.0;
}

static bool has(const uint64_t *bits, int64_t day) { return bits[day / 64] >> (day % 64) & 1; }
static void set(uint64_t *bits, int64_t day) { bits[day / 64] |= UINT64_C(1) << (day % 64); }
static void unset(uint64_t *bits, int64_t day) { bits[day / 64] &= ~(UINT64_C(1) << (day % 64)); }

int32_t seg_bit_length(const uint64_t *bits, int32_t words) {
  words = seg_words(bits, words);
  return words ? words * 64 - __builtin_clzll(bits[words - 1]) : 0;
}

/* Writes bits << by, 0 < by < 64 * words, to twice as many words. */
static void shift(uint64_t *wide, const uint64_t *bits, int32_t words, int64_t by) {
  const int64_t whole = by / 64, part = by % 64;
  memset(wide, 0, 2 * (size_t)words * sizeof *wide);
  for (int64_t i = 0; i < words; i++) {
    wide[i + whole] |= bits[i] << part;
    if (part) wide[i + whole + 1] |= bits[i] >> (64 - part);
  }
}

/* Starts a set anew with its last day. */
static void start_anew(uint64_t *bits, int32_t words) {
  memset(bits, 0, (size_t)words * sizeof *bits);
  bits[0] = 1;
}

double seg_total_engaged_days(const seg_day_weights *weights, const uint64_t *bits) {
  double total = 0.0;
  for (int32_t age = 0; age < SEG_ENGAGED_WINDOW_DAYS; age++)
    if (has(bits, age)) total += weights->engaged[age];
  return total;
}

bool seg_add_engaged_day(const seg_day_weights *weights, uint64_t *bits, double *total, int64_t last, int64_t day) {
  const int64_t ahead = day - last;
  if (ahead <= 0) {
    if (-ahead >= SEG_ENGAGED_WINDOW_DAYS || has(bits, -ahead)) return false;
    set(bits, -ahead);
    *total += weights->engaged[-ahead];
    return true;
  }
  if (ahead >= SEG_ENGAGED_WINDOW_DAYS) {
    start_anew(bits, SEG_ENGAGED_WORDS);
    *total = 1.0;
    return true;
  }
  uint64_t wide[ENGAGED_WIDE];
  shift(wide, bits, SEG_ENGAGED_WORDS, ahead);
  *total = *total * weights->engaged[ahead] + 1.0;
  for (int32_t length; (length = seg_bit_length(wide, ENGAGED_WIDE)) > SEG_ENGAGED_WINDOW_DAYS;) {
    *total -= weights->engaged[length - 1];
    unset(wide, length - 1);
  }
  wide[0] |= 1;
  memcpy(bits, wide, SEG_ENGAGED_WORDS * sizeof *bits);
  return true;
}

/* The lowest day from `from` on that is in a set, -1 if there is none. */
static int32_t next_older(const uint64_t *bits, int32_t words, int32_t from) {
  int32_t word = from / 64;
  if (word >= words) return -1;
  uint64_t rest = bits[word] & (~UINT64_C(0) << (from % 64));
  while (!rest) {
    if (++word == words) return -1;
    rest = bits[word];
  }
  return word * 64 + __builtin_ctzll(rest);
}

seg_gaps seg_total_gaps(const seg_day_weights *weights, const uint64_t *bits) {
  seg_gaps gaps = {0, 0.0, 0.0};
  for (int32_t day = 0, older; (older = next_older(bits, SEG_ACTIVE_WORDS, day + 1)) >= 0; day = older) {
    const double log_gap = gap_log(weights, older - day), weight = gap_weight(weights, gaps.count);
    gaps.logs += weight * log_gap;
    gaps.logs_squared += weight * log_gap * log_gap;
    gaps.count++;
  }
  return gaps;
}

/* Takes the oldest days out of a set until it fits the window, and their gaps out of the sums. */
static void forget_oldest(const seg_day_weights *weights, uint64_t *wide, int32_t length, seg_gaps *gaps) {
  while (length > SEG_ACTIVITY_WINDOW_DAYS) {
    const int32_t oldest = length - 1;
    unset(wide, oldest);
    length = seg_bit_length(wide, ACTIVE_WIDE);
    gaps->count = seg_add32(gaps->count, -1);
    const double log_gap = gap_log(weights, oldest + 1 - length), weight = gap_weight(weights, gaps->count);
    gaps->logs -= weight * log_gap;
    gaps->logs_squared -= weight * log_gap * log_gap;
  }
  gaps->logs = 0.0 > gaps->logs ? 0.0 : gaps->logs;
  gaps->logs_squared = 0.0 > gaps->logs_squared ? 0.0 : gaps->logs_squared;
}

bool seg_add_active_day(const seg_day_weights *weights, uint64_t *bits, seg_gaps *gaps, int64_t last, int64_t day) {
  const int64_t ahead = day - last;
  if (ahead <= 0) {
    if (-ahead >= SEG_ACTIVITY_WINDOW_DAYS || has(bits, -ahead)) return false;
    set(bits, -ahead);
    *gaps = seg_total_gaps(weights, bits);
    return true;
  }
  if (ahead >= SEG_ACTIVITY_WINDOW_DAYS) {
    start_anew(bits, SEG_ACTIVE_WORDS);
    *gaps = (seg_gaps){0, 0.0, 0.0};
    return true;
  }
  uint64_t wide[ACTIVE_WIDE];
  shift(wide, bits, SEG_ACTIVE_WORDS, ahead);
  wide[0] |= 1;
  const double log_gap = gap_log(weights, ahead);
  gaps->logs = gaps->logs * SEG_GAP_MEMORY + log_gap;
  gaps->logs_squared = gaps->logs_squared * SEG_GAP_MEMORY + log_gap * log_gap;
  gaps->count = seg_add32(gaps->count, 1);
  const int32_t length = seg_bit_length(wide, ACTIVE_WIDE);
  if (length > SEG_ACTIVITY_WINDOW_DAYS) forget_oldest(weights, wide, length, gaps);
  memcpy(bits, wide, SEG_ACTIVE_WORDS * sizeof *bits);
  return true;
}

/* Makes bits of as many days earlier the last ones. */
static void shift_down(uint64_t *bits, int64_t by) {
  const int64_t whole = by / 64, part = by % 64;
  for (int64_t i = 0; i < SEG_ACTIVE_WORDS; i++) {
    const uint64_t low = i + whole < SEG_ACTIVE_WORDS ? bits[i + whole] : 0;
    const uint64_t high = i + whole + 1 < SEG_ACTIVE_WORDS ? bits[i + whole + 1] : 0;
    bits[i] = part ? low >> part | high << (64 - part) : low;
  }
}

void seg_remove_active_day(const seg_day_weights *weights, uint64_t *bits, seg_gaps *gaps, int64_t last, int64_t day,
                           int64_t last_left) {
  if (seg_is_day(bits, SEG_ACTIVE_WORDS, last, day)) unset(bits, last - day);
  if (last_left < last) shift_down(bits, last - last_left);
  bits[0] |= 1; /* it may have been older than the window */
  *gaps = seg_total_gaps(weights, bits);
}

bool seg_is_day(const uint64_t *bits, int32_t words, int64_t last, int64_t day) {
  return day <= last && last - day < 64 * words && has(bits, last - day);
}
