/* What is kept of a series that grows: as much as its conditions can tell apart, and no more.
 *
 * Theory. "At least n in the last D" is decided by the newest n instants. "At least n in (now - b, now - a]", a window
 * of the width w = b - a that ends before now, is not; but an instant is of no use to it if every window that holds it
 * holds n others. With t[i] the instants in order that is so for t[i] if t[i + n - l] - t[i - l - 1] <= w for all l of
 * 0 .. n - 1: a window around t[i] that holds fewer than n others would have to lie between two such neighbours. What
 * comes later makes it no less true, so such instants go for good, and the condition is the same for ever. About
 * 1.33 (n H / w + n + 1) are kept of a horizon H. An instant that comes in can make those within n places of it
 * useless, nothing else can; neither can the newest be spared that conditions count up to now.
 *
 * Whole local days are counted by the newest n instants of each. Of a day's instants one is as good as another then.
 *
 * The greatest value of a window that ends now is never one of which a later one is as great. Of a window of the width w
 * that ends before now it is none that stands between two as great at most w apart.
 *
 * A trait's present value is held since the oldest of its latest observations that say so. A repetition between two
 * others is the first to go, so what is exact is what comes in order, and what comes late among the last ones.
 *
 * What is older than the horizon before the newest instant is in no window any more, now or later: it goes, whatever
 * came first. So what is kept is a function of what came, or the conditions' values are, and not of the order.
 *
 * Bounds: SEG_COUNT_MAX instants, SEG_EXTREMES_MAX extremes, SEG_OBSERVATIONS_MAX observations; beyond them the oldest
 * go. Time of an entry: linear in the entries behind it, and n^2 around it where windows end before now. */
#include "program.h"

static uint8_t *entries_of(const seg_ledger *ledger, const seg_place_of *place) {
  return (uint8_t *)ledger->data + place->body + place->buckets * (int64_t)SEG_BUCKET_BYTES;
}

static int64_t instant_at(const seg_ledger *ledger, const seg_place_of *place, int32_t index) {
  return seg_get_instant(entries_of(ledger, place) + index * seg_entry_bytes(place->shape));
}

/* Behind which entries one of an instant belongs: behind those of the same instant. */
static int32_t behind(const seg_ledger *ledger, const seg_place_of *place, int64_t at_ms) {
  int32_t index = place->count;
  while (index > 0 && instant_at(ledger, place, index - 1) > at_ms) index--;
  return index;
}

static void forget_old(seg_ledger *ledger, seg_place_of *place, int64_t horizon_ms, int32_t newest, int32_t most) {
  const int64_t bound_ms = instant_at(ledger, place, place->count - 1) - horizon_ms;
  int32_t old = place->count > most ? place->count - most : 0;
  while (place->count - old > newest && instant_at(ledger, place, old) <= bound_ms) old++;
  if (old) seg_entry_remove(ledger, place, 0, old);
}

/* --- instants --- */

static bool is_useless(const seg_ledger *ledger, const seg_place_of *place, const seg_kept_series *s, int32_t i) {
  const int32_t n = s->spread;
  if (i < n || i + n >= place->count || i >= place->count - s->newest) return false;
  for (int32_t l = 0; l < n; l++)
    if (instant_at(ledger, place, i + n - l) - instant_at(ledger, place, i - l - 1) > s->width_ms) return false;
  return true;
}

static void thin_around(seg_ledger *ledger, seg_place_of *place, const seg_kept_series *s, int32_t entered) {
  int32_t i = entered > s->spread ? entered - s->spread : 0, last = entered + s->spread;
  while (i <= last && i < place->count) {
    if (is_useless(ledger, place, s, i)) {
      seg_entry_remove(ledger, place, i, 1);
      last--;
    } else {
      i++;
    }
  }
  const int32_t leaves = place->count - s->newest - 1; /* the one that has just ceased to be among the newest */
  if (leaves >= 0 && is_useless(ledger, place, s, leaves)) seg_entry_remove(ledger, place, leaves, 1);
}

static void thin_day(const seg_program *p, seg_ledger *ledger, seg_place_of *place, const seg_kept_series *s,
                     int32_t entered) {
  const int64_t day = seg_local_day(p, s->zone, instant_at(ledger, place, entered));
  const int64_t from_ms = seg_midnight_ms(p, s->zone, day), to_ms = seg_midnight_ms(p, s->zone, day + 1);
  int32_t first = entered, last = entered;
  while (first > 0 && instant_at(ledger, place, first - 1) >= from_ms) first--;
  while (last + 1 < place->count && instant_at(ledger, place, last + 1) < to_ms) last++;
  if (last - first + 1 > s->spread) seg_entry_remove(ledger, place, first, last - first + 1 - s->spread);
}

/* The usual case: as many as there have to be, and the oldest makes room. */
static bool replace_oldest(seg_ledger *ledger, seg_place_of *place, int32_t index, const uint8_t *entry) {
  if (index == 0) return false;
  uint8_t *at = entries_of(ledger, place);
  memmove(at, at + SEG_INSTANT_BYTES, (size_t)(index - 1) * SEG_INSTANT_BYTES);
  memcpy(at + (index - 1) * (int64_t)SEG_INSTANT_BYTES, entry, SEG_INSTANT_BYTES);
  return true;
}

bool seg_enter_instant(const seg_program *p, seg_ledger *ledger, seg_place_of *place, const seg_kept_series *s,
                       int64_t at_ms) {
  uint8_t entry[SEG_INSTANT_BYTES];
  const int32_t index = behind(ledger, place, at_ms);
  seg_put_instant(entry, at_ms);
  if (s->spread == 0 && place->count == s->newest) return replace_oldest(ledger, place, index, entry);
  seg_entry_insert(ledger, s->number, place, index, entry);
  if (s->keep == SEG_KEEP_DAYS)
    thin_day(p, ledger, place, s, index);
  else if (s->spread)
    thin_around(ledger, place, s, index);
  forget_old(ledger, place, s->horizon_ms, s->spread ? s->newest : 1, s->spread ? SEG_COUNT_MAX : s->newest);
  return true;
}

/* --- extremes --- */

static int64_t value_at(const seg_ledger *ledger, const seg_place_of *place, int32_t index) {
  return seg_get_i64(entries_of(ledger, place) + index * (int64_t)SEG_VALUE_BYTES + SEG_INSTANT_BYTES);
}

/* Whether one value makes another one needless. */
static bool covers(const seg_kept_series *s, int64_t one, int64_t other) {
  return s->keep == SEG_KEEP_GREATEST ? one >= other : one <= other;
}

static bool is_covered(const seg_ledger *ledger, const seg_place_of *place, const seg_kept_series *s, int32_t i) {
  const int64_t value = value_at(ledger, place, i), at_ms = instant_at(ledger, place, i);
  int32_t later = i + 1, earlier = i - 1;
  while (later < place->count && !covers(s, value_at(ledger, place, later), value)) later++;
  if (later == place->count) return false;
  if (s->width_ms == 0) return true;
  const int64_t later_ms = instant_at(ledger, place, later);
  if (later_ms == at_ms) return true;
  while (earlier >= 0 && !covers(s, value_at(ledger, place, earlier), value)) earlier--;
  return earlier >= 0 && later_ms - instant_at(ledger, place, earlier) <= s->width_ms;
}

bool seg_enter_extreme(seg_ledger *ledger, seg_place_of *place, const seg_kept_series *s, int64_t at_ms,
                       int64_t value) {
  uint8_t entry[SEG_VALUE_BYTES];
  int32_t index = behind(ledger, place, at_ms);
  seg_put_instant(entry, at_ms);
  memcpy(entry + SEG_INSTANT_BYTES, &value, sizeof value);
  seg_entry_insert(ledger, s->number, place, index, entry);
  for (int32_t i = place->count - 1; i >= 0; i--)
    if (covers(s, value, value_at(ledger, place, i)) && is_covered(ledger, place, s, i))
      seg_entry_remove(ledger, place, i, 1);
  forget_old(ledger, place, s->horizon_ms, 1, SEG_EXTREMES_MAX);
  return true;
}

/* --- observations of a trait --- */

bool seg_enter_observation(seg_ledger *ledger, seg_place_of *place, int64_t at_ms, uint64_t digest) {
  int32_t index = behind(ledger, place, at_ms);
  for (; index > 0 && instant_at(ledger, place, index - 1) == at_ms; index--) {
    const uint64_t there = (uint64_t)value_at(ledger, place, index - 1);
    if (there == digest) return false;
    if (there < digest) break;
  }
  uint8_t entry[SEG_VALUE_BYTES];
  seg_put_instant(entry, at_ms);
  memcpy(entry + SEG_INSTANT_BYTES, &digest, sizeof digest);
  const int32_t number = ledger->data[place->head] | (ledger->data[place->head + 1] << 8 & (SEG_SERIES_MAX - 1));
  seg_entry_insert(ledger, number, place, index, entry);
  while (place->count > SEG_OBSERVATIONS_MAX) {
    int32_t i = 1;
    while (i < place->count && value_at(ledger, place, i) != value_at(ledger, place, i - 1)) i++;
    seg_entry_remove(ledger, place, i < place->count ? i : 0, 1);
  }
  return true;
}
