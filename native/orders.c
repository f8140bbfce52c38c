/* The ledger of a customer's recent orders: what was completed, what was refunded, and what that takes back.
 *
 * Theory. An entry adds up what came under one order id, so completions and refunds may come in any order. Its
 * *correction* is a function of the entry alone. Before there is a completion, it is the money refunded; then the money
 * refunded, at most what was completed, and what that lowers the log order values by, what is left being spread evenly
 * over the completions. A refund that leaves nothing takes the orders back, too. A ledger is in the order of instants;
 * beyond 16 orders the oldest is forgotten, and what it took back stays.
 *
 * Bounds: an entry may hold any numbers, as rows come from outside. Sums of amounts stay at the ends of an int64, where
 * they would leave it, and completions at 65,535, which is what a row can say. */
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

static seg_order add(const seg_order *a, const seg_order *b) {
  seg_order both = *a;
  if ((a->completions != 0) == (b->completions != 0))
    both.at_ms = b->at_ms > a->at_ms ? b->at_ms : a->at_ms;
  else
    both.at_ms = a->completions ? a->at_ms : b->at_ms;
  both.completed_minor = seg_add64(a->completed_minor, b->completed_minor);
  both.refunded_minor = seg_add64(a->refunded_minor, b->refunded_minor);
  both.completions = a->completions + b->completions;
  if (both.completions > UINT16_MAX) both.completions = UINT16_MAX;
  return both;
}

void seg_order_correction(const seg_order *order, int32_t *undone, int64_t *minor, double *logs) {
  *undone = 0;
  *minor = order->refunded_minor;
  *logs = 0.0;
  if (!order->completions || !order->refunded_minor) return;
  const int64_t completed = order->completed_minor, refunded = order->refunded_minor;
  const int64_t left = seg_subtract64(completed, completed < refunded ? completed : refunded);
  const double before = seg_log_order_value(seg_divided(completed, order->completions));
  const double after = seg_log_order_value(seg_divided(left, order->completions));
  *undone = left ? 0 : order->completions;
  *minor = seg_subtract64(completed, left);
  *logs = (double)order->completions * (before - after);
}

seg_correction seg_total_correction(const seg_change *changes, int32_t count, int64_t as_of_ms) {
  seg_correction total = {0, 0.0, 0.0, 0.0};
  for (int32_t i = 0; i < count; i++) {
    int32_t undone;
    int64_t minor;
    double logs;
    const double sign = (double)changes[i].sign;
    seg_order_correction(&changes[i].order, &undone, &minor, &logs);
    const double weight = sign * seg_order_weight(changes[i].order.at_ms, as_of_ms);
    total.purchases += changes[i].sign * undone;
    total.orders_decayed += (double)undone * weight;
    total.revenue_decayed += (double)minor * weight;
    total.log_order_values += sign * logs;
  }
  return total;
}

/* Whether one entry stands after another: by instant, then by the digest's bytes. */
static bool is_after(const seg_order *a, const seg_order *b) {
  if (a->at_ms != b->at_ms) return a->at_ms > b->at_ms;
  return __builtin_bswap64(a->digest) > __builtin_bswap64(b->digest);
}

static void forget_oldest(seg_order *ledger, int32_t *count) {
  if (*count <= SEG_ORDER_LIMIT) return;
  memmove(ledger, ledger + 1, SEG_ORDER_LIMIT * sizeof *ledger);
  *count = SEG_ORDER_LIMIT;
}

/* Sorts stably, and keeps the latest. Ledgers are sorted but for the entry that came last. */
static void sort_latest(seg_order *ledger, int32_t *count) {
  for (int32_t i = 1; i < *count; i++) {
    const seg_order order = ledger[i];
    int32_t place = i;
    for (; place > 0 && is_after(&ledger[place - 1], &order); place--) ledger[place] = ledger[place - 1];
    ledger[place] = order;
  }
  forget_oldest(ledger, count);
}

int32_t seg_enter_order(seg_order *ledger, int32_t *count, const seg_order *order, seg_change changes[2]) {
  int32_t known = 0;
  while (known < *count && ledger[known].digest != order->digest) known++;
  if (known == *count) {
    const bool is_latest = *count == 0 || order->at_ms > ledger[*count - 1].at_ms;
    ledger[(*count)++] = *order;
    changes[0] = (seg_change){-1, *order};
    if (is_latest && order->completions) {
      /* By far the usual case, a new order after all known ones: nothing to sort, nothing to take back. */
      forget_oldest(ledger, count);
      return 0;
    }
    sort_latest(ledger, count);
    return 1;
  }
  const seg_order before = ledger[known], both = add(&before, order);
  memmove(ledger + known, ledger + known + 1, (size_t)(*count - known - 1) * sizeof *ledger);
  ledger[*count - 1] = both;
  sort_latest(ledger, count);
  changes[0] = (seg_change){1, before};
  changes[1] = (seg_change){-1, both};
  return 2;
}

/* --- packing --- */

enum { NARROW_BYTES = 24 };

bool seg_orders_are_narrow(const seg_order *orders, int32_t count) {
  const int64_t instants = INT64_C(1) << 47;
  for (int32_t i = 0; i < count; i++) {
    const seg_order *o = orders + i;
    if (o->at_ms < -instants || o->at_ms >= instants || o->completed_minor < 0 || o->completed_minor > UINT32_MAX ||
        o->refunded_minor < 0 || o->refunded_minor > UINT32_MAX)
      return false;
  }
  return true;
}

void seg_pack_orders(uint8_t *out, const seg_order *orders, int32_t count, bool narrow) {
  for (int32_t i = 0; i < count; i++) {
    const seg_order *o = orders + i;
    const uint16_t completions = (uint16_t)o->completions;
    memcpy(out, &o->digest, 8);
    if (narrow) {
      const uint64_t instant = (uint64_t)o->at_ms << 16 | completions;
      const uint32_t completed = (uint32_t)o->completed_minor, refunded = (uint32_t)o->refunded_minor;
      memcpy(out + 8, &instant, 8);
      memcpy(out + 16, &completed, 4);
      memcpy(out + 20, &refunded, 4);
      out += NARROW_BYTES;
    } else {
      memcpy(out + 8, &o->at_ms, 8);
      memcpy(out + 16, &o->completed_minor, 8);
      memcpy(out + 24, &o->refunded_minor, 8);
      memcpy(out + 32, &completions, 2);
      out += SEG_ORDER_BYTES;
    }
  }
}

static void unpack_narrow(seg_order *order, const uint8_t *packed) {
  uint64_t instant;
  uint32_t completed, refunded;
  memcpy(&instant, packed + 8, 8);
  memcpy(&completed, packed + 16, 4);
  memcpy(&refunded, packed + 20, 4);
  const uint64_t at_ms = instant >> 16;
  order->at_ms = (int64_t)at_ms - (at_ms >> 47 ? INT64_C(1) << 48 : 0);
  order->completions = (int32_t)(instant & UINT16_MAX);
  order->completed_minor = completed;
  order->refunded_minor = refunded;
}

static void unpack_wide(seg_order *order, const uint8_t *packed) {
  uint16_t completions;
  memcpy(&order->at_ms, packed + 8, 8);
  memcpy(&order->completed_minor, packed + 16, 8);
  memcpy(&order->refunded_minor, packed + 24, 8);
  memcpy(&completions, packed + 32, 2);
  order->completions = completions;
}

void seg_unpack_orders(seg_order *out, const uint8_t *packed, int32_t count, bool narrow) {
  for (int32_t i = 0; i < count; i++, packed += narrow ? NARROW_BYTES : SEG_ORDER_BYTES) {
    memcpy(&out[i].digest, packed, 8);
    if (narrow)
      unpack_narrow(out + i, packed);
    else
      unpack_wide(out + i, packed);
  }
}
