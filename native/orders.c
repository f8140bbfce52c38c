/* The ledger of a customer's recent orders: what each is now, whatever was said of it and in whatever order.
 *
 * Theory. An order has a state, and an entry keeps just so much of what was said of it that any order of arrival ends in
 * the same entry: joining is commutative and associative, and of statements and cancellations idempotent, too.
 *
 *     at          the first instant at which the order was stated: edits do not move it. Of an order that nobody has
 *                 stated yet the last instant at which it was returned or cancelled
 *     stated      the amount of the latest statement; of several of one instant the greatest
 *     refunded    the sum of its refunds, which are told apart by their events' ids (see ids.c), and how many they are
 *     flags       whether it was stated; cancelled; returned as a whole, whatever its amount is
 *
 * What an order is *worth* is a function of its entry alone: nothing when it is cancelled, or when refunds leave nothing;
 * else one order of what they leave. Before it is stated it takes away what was refunded: the money has gone back,
 * whatever it was for. When an entry changes, its former worth goes out of a row's totals and the new one in.
 *
 * A ledger is in the order of instants; beyond 16 orders the oldest is forgotten. What it was worth stays in the totals,
 * and of its id a short digest remains (ids.c), so that it is never taken for a new one.
 *
 * Bounds: an entry may hold any numbers, as rows come from outside. Sums of amounts stay at the ends of an int64, where
 * they would leave it, and the number of refunds at 8,191, which is what a row can say. */
#include "table.h"

static const double order_rate = 1.0 / (SEG_ORDER_HALF_LIFE_DAYS * (double)SEG_DAY_MS);

double seg_order_weight(int64_t at_ms, int64_t as_of_ms) {
  return seg_exp2((double)seg_subtract64(at_ms, as_of_ms) * order_rate);
}

double seg_log_order_value(double minor) { return minor > 1.0 ? seg_log(minor) : 0.0; }

double seg_divided(int64_t dividend, int64_t divisor) {
  const int64_t exact = INT64_C(1) << 53;
  if ((dividend >= -exact && dividend <= exact) || divisor == 1 || divisor <= 0 || divisor > INT32_MAX)
    return (double)dividend / (double)divisor;
  /* More digits than a double has: 62 binary digits of the quotient and whether any follow decide how to round. */
  const uint64_t by = (uint64_t)divisor, of = dividend < 0 ? 0 - (uint64_t)dividend : (uint64_t)dividend;
  uint64_t quotient = of / by, rest = of % by;
  double unit = dividend < 0 ? -1.0 : 1.0;
  while (quotient < UINT64_C(1) << 61) {
    quotient <<= 1;
    rest <<= 1;
    unit *= 0.5;
    if (rest >= by) {
      rest -= by;
      quotient |= 1;
    }
  }
  return (double)(quotient | (rest != 0)) * unit;
}

/* --- what is said of an order --- */

seg_order seg_order_of(const seg_event *event) {
  seg_order order = {.digest = __builtin_bswap64(event->order_digest), .at_ms = event->at_ms};
  if (event->kind == SEG_PURCHASE) {
    order.flags = SEG_IS_STATED;
    order.stated_at_ms = event->stated_at_ms;
    order.stated_minor = event->amount_minor;
  } else if (event->amount_minor == SEG_CANCELS) {
    order.flags = SEG_IS_CANCELLED;
  } else {
    order.refunds = 1;
    if (event->amount_minor < 0)
      order.flags = SEG_IS_RETURNED;
    else
      order.refunded_minor = event->amount_minor;
  }
  return order;
}

/* Whether one entry states its order later than another, or at the same instant a greater amount. */
static bool states_later(const seg_order *a, const seg_order *b) {
  if (!seg_is_stated(a) || !seg_is_stated(b)) return seg_is_stated(a);
  if (a->stated_at_ms != b->stated_at_ms) return a->stated_at_ms > b->stated_at_ms;
  return a->stated_minor > b->stated_minor;
}

seg_order seg_join_orders(const seg_order *a, const seg_order *b) {
  seg_order both = states_later(a, b) ? *a : *b;
  if (seg_is_stated(a) != seg_is_stated(b))
    both.at_ms = seg_is_stated(a) ? a->at_ms : b->at_ms;
  else if (seg_is_stated(a))
    both.at_ms = a->at_ms < b->at_ms ? a->at_ms : b->at_ms;
  else
    both.at_ms = a->at_ms > b->at_ms ? a->at_ms : b->at_ms;
  both.refunded_minor = seg_add64(a->refunded_minor, b->refunded_minor);
  both.refunds = a->refunds + b->refunds;
  if (both.refunds > SEG_REFUNDS_MAX) both.refunds = SEG_REFUNDS_MAX;
  both.flags = a->flags | b->flags;
  return both;
}

bool seg_orders_are_equal(const seg_order *a, const seg_order *b) {
  return a->at_ms == b->at_ms && a->stated_at_ms == b->stated_at_ms && a->stated_minor == b->stated_minor &&
         a->refunded_minor == b->refunded_minor && a->refunds == b->refunds && a->flags == b->flags;
}

seg_worth seg_worth_of(const seg_order *order) {
  const int64_t stated = order->stated_minor, refunded = order->refunded_minor;
  if (order->flags & (SEG_IS_CANCELLED | SEG_IS_RETURNED)) return (seg_worth){0, 0, 0.0};
  if (!seg_is_stated(order)) return (seg_worth){0, seg_subtract64(0, refunded), 0.0};
  const int64_t left = seg_subtract64(stated, stated < refunded ? stated : refunded);
  if (left == 0 && refunded != 0) return (seg_worth){0, 0, 0.0};
  return (seg_worth){1, left, seg_log_order_value((double)left)};
}

/* --- orders in a row's totals --- */

void seg_advance_totals(seg_activity *a, int64_t at_ms) {
  if (at_ms < a->ordered_at_ms) return;
  const double decay = seg_order_weight(a->ordered_at_ms, at_ms);
  a->orders_decayed *= decay;
  a->revenue_decayed *= decay;
  a->ordered_at_ms = at_ms;
}

void seg_change_worth(seg_activity *a, const seg_worth *was, double taken_out, const seg_worth *is, double put_in) {
  a->purchases = seg_add32(a->purchases, is->orders - was->orders);
  a->revenue_minor = seg_add64(a->revenue_minor, seg_subtract64(is->minor, was->minor));
  a->orders_decayed += (double)is->orders * put_in - (double)was->orders * taken_out;
  a->revenue_decayed += (double)is->minor * put_in - (double)was->minor * taken_out;
  a->log_order_values += is->logs - was->logs;
}

/* --- the ledger --- */

/* Whether one entry stands after another: by instant, then by the digest's bytes. */
static bool is_after(const seg_order *a, const seg_order *b) {
  if (a->at_ms != b->at_ms) return a->at_ms > b->at_ms;
  return __builtin_bswap64(a->digest) > __builtin_bswap64(b->digest);
}

int32_t seg_find_order(const seg_order *ledger, int32_t count, uint64_t digest) {
  int32_t known = 0;
  while (known < count && ledger[known].digest != digest) known++;
  return known < count ? known : -1;
}

bool seg_enter_order(seg_order *ledger, int32_t *count, int32_t known, const seg_order *order, seg_order *forgotten) {
  if (known >= 0) {
    (*count)--;
    memmove(ledger + known, ledger + known + 1, (size_t)(*count - known) * sizeof *ledger);
  }
  int32_t place = *count;
  for (; place > 0 && is_after(&ledger[place - 1], order); place--) ledger[place] = ledger[place - 1];
  ledger[place] = *order;
  if (++*count <= SEG_ORDER_LIMIT) return false;
  *forgotten = ledger[0];
  memmove(ledger, ledger + 1, SEG_ORDER_LIMIT * sizeof *ledger);
  *count = SEG_ORDER_LIMIT;
  return true;
}

bool seg_has_ordered_on(const seg_table *table, const seg_history *history, int64_t day) {
  for (int32_t i = 0; i < history->order_count; i++)
    if (seg_is_stated(&history->orders[i]) && seg_day(table, history->orders[i].at_ms) == day) return true;
  return false;
}

int64_t seg_latest_order_ms(const seg_history *history, int64_t at_ms) {
  for (int32_t i = history->order_count - 1; i >= 0; i--)
    if (seg_is_stated(&history->orders[i]) && history->orders[i].at_ms > at_ms) at_ms = history->orders[i].at_ms;
  return at_ms;
}

/* --- packing --- */

bool seg_orders_are_narrow(const seg_order *orders, int32_t count) {
  const int64_t instants = INT64_C(1) << 47;
  for (int32_t i = 0; i < count; i++) {
    const seg_order *o = orders + i;
    const int64_t later_ms = seg_subtract64(o->stated_at_ms, o->at_ms);
    if (o->at_ms < -instants || o->at_ms >= instants || o->stated_minor < 0 || o->stated_minor > UINT32_MAX ||
        o->refunded_minor < 0 || o->refunded_minor > UINT32_MAX)
      return false;
    if (seg_is_stated(o) ? later_ms < 0 || later_ms > UINT32_MAX : o->stated_at_ms != 0) return false;
  }
  return true;
}

static uint16_t counts_of(const seg_order *o) { return (uint16_t)(o->flags | o->refunds << SEG_ORDER_FLAG_BITS); }

static void set_counts(seg_order *o, uint16_t counts) {
  o->flags = counts & ((1 << SEG_ORDER_FLAG_BITS) - 1);
  o->refunds = counts >> SEG_ORDER_FLAG_BITS;
}

void seg_pack_orders(uint8_t *out, const seg_order *orders, int32_t count, bool narrow) {
  for (int32_t i = 0; i < count; i++) {
    const seg_order *o = orders + i;
    const uint16_t counts = counts_of(o);
    memcpy(out, &o->digest, 8);
    if (narrow) {
      const uint64_t instant = (uint64_t)o->at_ms << 16 | counts;
      const uint32_t later_ms = seg_is_stated(o) ? (uint32_t)(o->stated_at_ms - o->at_ms) : 0;
      const uint32_t stated = (uint32_t)o->stated_minor, refunded = (uint32_t)o->refunded_minor;
      memcpy(out + 8, &instant, 8);
      memcpy(out + 16, &later_ms, 4);
      memcpy(out + 20, &stated, 4);
      memcpy(out + 24, &refunded, 4);
      out += SEG_NARROW_ORDER_BYTES;
    } else {
      memcpy(out + 8, &o->at_ms, 8);
      memcpy(out + 16, &o->stated_at_ms, 8);
      memcpy(out + 24, &o->stated_minor, 8);
      memcpy(out + 32, &o->refunded_minor, 8);
      memcpy(out + 40, &counts, 2);
      out += SEG_ORDER_BYTES;
    }
  }
}

static void unpack_narrow(seg_order *order, const uint8_t *packed) {
  uint64_t instant;
  uint32_t later_ms, stated, refunded;
  memcpy(&instant, packed + 8, 8);
  memcpy(&later_ms, packed + 16, 4);
  memcpy(&stated, packed + 20, 4);
  memcpy(&refunded, packed + 24, 4);
  const uint64_t at_ms = instant >> 16;
  order->at_ms = (int64_t)at_ms - (at_ms >> 47 ? INT64_C(1) << 48 : 0);
  set_counts(order, (uint16_t)(instant & UINT16_MAX));
  order->stated_at_ms = seg_is_stated(order) ? order->at_ms + later_ms : 0;
  order->stated_minor = stated;
  order->refunded_minor = refunded;
}

static void unpack_wide(seg_order *order, const uint8_t *packed) {
  uint16_t counts;
  memcpy(&order->at_ms, packed + 8, 8);
  memcpy(&order->stated_at_ms, packed + 16, 8);
  memcpy(&order->stated_minor, packed + 24, 8);
  memcpy(&order->refunded_minor, packed + 32, 8);
  memcpy(&counts, packed + 40, 2);
  set_counts(order, counts);
}

void seg_unpack_orders(seg_order *out, const uint8_t *packed, int32_t count, bool narrow) {
  for (int32_t i = 0; i < count; i++, packed += narrow ? SEG_NARROW_ORDER_BYTES : SEG_ORDER_BYTES) {
    memcpy(&out[i].digest, packed, 8);
    if (narrow)
      unpack_narrow(out + i, packed);
    else
      unpack_wide(out + i, packed);
  }
}
