/* Conditions on series of events: whether they hold at an instant, and when silence turns them next.
 *
 * Theory. Windows are half-open, (now - b, now - a]: an event comes in at t + a and is out at exactly t + b. Windows of
 * local dates let an event in at once, or at the next midnight if today is left out, and out at a midnight. "n or more"
 * turns false when the n-th newest of the window leaves, and true not before as many have come in as are missing. A sum
 * over a window that ends now turns at the first departure after which what is left compares otherwise; those of one
 * instant leave together. It is found from the newest backwards, as what is left is always a number of newest ones. The
 * same goes for averages and extremes. Where a window ends before now the next coming or going is the answer: a bound.
 *
 * Contract. `turns_ms` is later than now, or SEG_NEVER; the condition is as it is for all instants before it, if nothing
 * happens. Averages and extremes over nothing compare with nothing: false. A bucket stands for its events at the newest
 * instant of them.
 *
 * Bounds: entries come from rows, of any number and any instants in ascending order; products are 128 bits wide. */
#include "program.h"

static const double not_a_number = __builtin_nan("");

static inline int64_t instant_of(const seg_held_series *h, int32_t i, int64_t step) {
  return seg_get_instant(h->entries + i * step);
}
static inline int64_t added(int64_t at_ms, int64_t ms) { return ms >= SEG_NEVER ? SEG_NEVER : at_ms + ms; }

/* When what happened at an instant leaves the window of a condition. */
static int64_t leaves_ms(const seg_program *p, const seg_literal *l, int64_t at_ms) {
  if (l->zone < 0) return added(at_ms, l->b);
  return seg_midnight_ms(p, l->zone, seg_local_day(p, l->zone, at_ms) + l->days + (l->a != 0));
}

/* From when on what happens is not in the window yet, and when the window lets the first of it in. */
static int64_t end_ms(const seg_asked *asked, const seg_literal *l) {
  if (l->a == 0) return INT64_MAX;
  if (l->zone < 0) return asked->now_ms - l->a + 1;
  return seg_midnight_ms(asked->program, l->zone, seg_local_day(asked->program, l->zone, asked->now_ms));
}
static int64_t enters_ms(const seg_asked *asked, const seg_literal *l, int64_t at_ms) {
  if (l->zone < 0) return at_ms + l->a;
  return seg_midnight_ms(asked->program, l->zone, seg_local_day(asked->program, l->zone, asked->now_ms) + 1);
}

static inline int64_t earlier(int64_t one, int64_t other) { return one < other ? one : other; }

/* --- how often --- */

static bool count_holds(seg_asked *asked, const seg_literal *l, int64_t *turns_ms) {
  const seg_held_series *h = &asked->series[l->series];
  int32_t end = h->count;
  *turns_ms = SEG_NEVER;
  if (l->a) {
    const int64_t bound_ms = end_ms(asked, l);
    while (end > 0 && instant_of(h, end - 1, SEG_INSTANT_BYTES) >= bound_ms) end--;
  }
  if (end >= l->n) {
    const int64_t out_ms = leaves_ms(asked->program, l, instant_of(h, end - l->n, SEG_INSTANT_BYTES));
    if (out_ms > asked->now_ms) {
      *turns_ms = out_ms;
      return true;
    }
  }
  if (end == h->count) return false;
  int32_t inside = 0;
  while (inside < end && inside < l->n &&
         leaves_ms(asked->program, l, instant_of(h, end - 1 - inside, SEG_INSTANT_BYTES)) > asked->now_ms)
    inside++;
  const int32_t missing = end + l->n - inside - 1; /* the one that makes it n, if none leaves before */
  if (missing < h->count) *turns_ms = enters_ms(asked, l, instant_of(h, missing, SEG_INSTANT_BYTES));
  return false;
}

static double count_measure(seg_asked *asked, const seg_literal *l) {
  const seg_held_series *h = &asked->series[l->series];
  const int64_t bound_ms = end_ms(asked, l);
  int32_t count = 0;
  if (l->what) { /* days since the newest */
    if (!h->count) return not_a_number;
    return (double)(asked->now_ms - instant_of(h, h->count - 1, SEG_INSTANT_BYTES)) / (double)SEG_DAY_MS;
  }
  for (int32_t i = 0; i < h->count; i++) {
    const int64_t at_ms = instant_of(h, i, SEG_INSTANT_BYTES);
    count += at_ms < bound_ms && leaves_ms(asked->program, l, at_ms) > asked->now_ms;
  }
  return count;
}

static uint32_t total_count(const seg_held_series *h) {
  uint32_t count = 0;
  if (h->count) memcpy(&count, h->entries, sizeof count);
  return count;
}

/* --- sums, averages, extremes --- */

typedef struct pile {
  int64_t count, sum, extreme;
} pile;

typedef struct item {
  int64_t at_ms, value, count;
} item;

static item item_at(const seg_held_series *h, int32_t i) {
  if (i < h->bucket_count) {
    const uint8_t *at = h->buckets + i * (int64_t)SEG_BUCKET_BYTES;
    uint32_t count;
    memcpy(&count, at + SEG_INSTANT_BYTES, sizeof count);
    return (item){seg_get_instant(at), seg_get_i64(at + SEG_INSTANT_BYTES + 4), count};
  }
  const uint8_t *at = h->entries + (i - h->bucket_count) * (int64_t)SEG_VALUE_BYTES;
  return (item){seg_get_instant(at), seg_get_i64(at + SEG_INSTANT_BYTES), 1};
}

static void add_item(const seg_literal *l, pile *all, item each) {
  const bool is_new = l->what == SEG_WHAT_LEAST ? each.value < all->extreme : each.value > all->extreme;
  if (all->count == 0 || is_new) all->extreme = each.value;
  all->sum = seg_add64(all->sum, each.value);
  all->count += each.count;
}

static bool compares(const seg_literal *l, const pile *all) {
  if (l->compare == SEG_KNOWN) return all->count > 0;
  if (l->what != SEG_WHAT_SUM && all->count <= 0) return false;
  if (l->what == SEG_WHAT_AVERAGE) {
    const __int128 least = (__int128)l->least * all->count;
    return l->compare == SEG_MORE_THAN ? all->sum > least : all->sum >= least;
  }
  const int64_t found = l->what == SEG_WHAT_SUM ? all->sum : all->extreme;
  return l->compare == SEG_MORE_THAN ? found > l->least : found >= l->least;
}

static double pile_measure(const seg_literal *l, const pile *all) {
  if (l->what == SEG_WHAT_SUM) return (double)all->sum / SEG_MILLIONTHS;
  if (all->count <= 0) return not_a_number;
  if (l->what == SEG_WHAT_AVERAGE) return (double)all->sum / (double)all->count / SEG_MILLIONTHS;
  return (double)all->extreme / SEG_MILLIONTHS;
}

/* Of a window that ends now. */
static bool open_pile_holds(seg_asked *asked, const seg_literal *l, int64_t *turns_ms) {
  const seg_held_series *h = &asked->series[l->series];
  pile all = {0, 0, 0};
  int64_t turns[2] = {SEG_NEVER, SEG_NEVER}; /* when what is left is first false, true */
  int64_t next_ms = INT64_MAX;
  for (int32_t i = h->bucket_count + h->count - 1; i >= 0; i--) {
    const item each = item_at(h, i);
    const int64_t out_ms = leaves_ms(asked->program, l, each.at_ms);
    if (out_ms <= asked->now_ms) break;
    if (out_ms != next_ms) turns[compares(l, &all)] = out_ms;
    next_ms = out_ms;
    add_item(l, &all, each);
  }
  const bool holds = compares(l, &all);
  *turns_ms = turns[!holds];
  return holds;
}

/* What is in a window now; when it next changes. */
static pile pile_of(seg_asked *asked, const seg_literal *l, int64_t *turns_ms) {
  const seg_held_series *h = &asked->series[l->series];
  const int64_t bound_ms = end_ms(asked, l);
  pile all = {0, 0, 0};
  *turns_ms = SEG_NEVER;
  for (int32_t i = h->bucket_count + h->count - 1; i >= 0; i--) {
    const item each = item_at(h, i);
    if (each.at_ms >= bound_ms) {
      *turns_ms = enters_ms(asked, l, each.at_ms);
      continue;
    }
    const int64_t out_ms = leaves_ms(asked->program, l, each.at_ms);
    if (out_ms <= asked->now_ms) break;
    if (i == 0 || leaves_ms(asked->program, l, item_at(h, i - 1).at_ms) <= asked->now_ms)
      *turns_ms = earlier(*turns_ms, out_ms);
    add_item(l, &all, each);
  }
  return all;
}

static bool pile_holds(seg_asked *asked, const seg_literal *l, int64_t *turns_ms) {
  if (l->a == 0) return open_pile_holds(asked, l, turns_ms);
  const pile all = pile_of(asked, l, turns_ms);
  return compares(l, &all);
}

static pile totals_of(const seg_held_series *h, int32_t what) {
  pile all = {0, 0, 0};
  if (!h->count) return all;
  all.count = total_count(h);
  all.sum = seg_get_i64(h->entries + 4);
  all.extreme = seg_get_i64(h->entries + (what == SEG_WHAT_LEAST ? 12 : 20));
  return all;
}

/* --- others --- */

static bool first_holds(seg_asked *asked, const seg_literal *l, int64_t *turns_ms) {
  const seg_held_series *h = &asked->series[l->series];
  *turns_ms = SEG_NEVER;
  if (!h->count) return false;
  const int64_t out_ms = added(seg_get_instant(h->entries), l->b);
  if (out_ms <= asked->now_ms) return false;
  *turns_ms = out_ms;
  return true;
}

/* The newest of the first series that has one of the second behind it soon enough; false if there is none. */
static bool sequence_of(seg_asked *asked, const seg_literal *l, int64_t *at_ms) {
  const seg_held_series *first = &asked->series[l->series], *second = &asked->series[l->other];
  int32_t after = second->count;
  for (int32_t i = first->count - 1; i >= 0; i--) {
    *at_ms = instant_of(first, i, SEG_INSTANT_BYTES);
    if (added(*at_ms, l->b) <= asked->now_ms) return false;
    while (after > 0 && instant_of(second, after - 1, SEG_INSTANT_BYTES) > *at_ms) after--;
    if (after < second->count && instant_of(second, after, SEG_INSTANT_BYTES) <= *at_ms + l->a) return true;
  }
  return false;
}

static bool sequence_holds(seg_asked *asked, const seg_literal *l, int64_t *turns_ms) {
  int64_t at_ms;
  *turns_ms = SEG_NEVER;
  if (!sequence_of(asked, l, &at_ms)) return false;
  *turns_ms = added(at_ms, l->b);
  return true;
}

bool seg_window_holds(seg_asked *asked, const seg_literal *l, int64_t *turns_ms) {
  const seg_held_series *h = &asked->series[l->series];
  *turns_ms = SEG_NEVER;
  switch (l->kind) {
    case SEG_IS_COUNT: return count_holds(asked, l, turns_ms);
    case SEG_IS_TOTAL: return total_count(h) >= (uint32_t)l->n;
    case SEG_IS_PILE: return pile_holds(asked, l, turns_ms);
    case SEG_IS_TOTALS: {
      const pile all = totals_of(h, l->what);
      return compares(l, &all);
    }
    case SEG_IS_FIRST: return first_holds(asked, l, turns_ms);
    case SEG_IS_SEQUENCE: return sequence_holds(asked, l, turns_ms);
    default: return h->count && h->entries[SEG_INSTANT_BYTES]; /* SEG_IS_LAST */
  }
}

double seg_window_measure(seg_asked *asked, const seg_literal *l) {
  const seg_held_series *h = &asked->series[l->series];
  int64_t turns_ms;
  switch (l->kind) {
    case SEG_IS_COUNT: return count_measure(asked, l);
    case SEG_IS_TOTAL: return total_count(h);
    case SEG_IS_PILE: {
      const pile all = pile_of(asked, l, &turns_ms);
      return pile_measure(l, &all);
    }
    case SEG_IS_TOTALS: {
      const pile all = totals_of(h, l->what);
      return pile_measure(l, &all);
    }
    default: return not_a_number;
  }
}
