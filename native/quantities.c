/* What is known of a customer at an instant, evaluated from its activity in closed form.
 *
 * Theory. Silence changes every quantity continuously, so passing time needs no event. Decayed totals are kept in rows
 * as of their last event: from an instant at or after a customer's last event, silence of d days multiplies decayed
 * orders and revenue by 2^(-d / 60) and engaged days by 2^(-d / 30), adds d to recency and tenure, and leaves the rest
 * as it is. Instants before a row's last event are taken as that event's. Units stand in stream_app/core/quantities.py.
 *
 * Bounds: any record of activity is taken, also one of nonsense; nothing here divides, indexes or allocates.
 * Differences of instants wrap (restored rows are not trusted), and what is not a number stays so.
 */
#include "segmenter.h"

static const double order_rate = -1.0 / (SEG_ORDER_HALF_LIFE_DAYS * (double)SEG_DAY_MS);
static const double engagement_rate = -1.0 / (SEG_ENGAGEMENT_HALF_LIFE_DAYS * (double)SEG_DAY_MS);
static const double days_per_ms = 1.0 / (double)SEG_DAY_MS;

static inline int64_t later(int64_t one, int64_t other) { return one > other ? one : other; }

/* Milliseconds from one instant to another, 0 if it lies ahead. */
static inline double since(int64_t now_ms, int64_t then_ms) {
  const int64_t passed_ms = seg_passed_ms(now_ms, then_ms);
  return passed_ms > 0 ? (double)passed_ms : 0.0;
}

int64_t seg_last_act_ms(const seg_activity *a) {
  return later(later(a->purchased_at_ms, a->engaged_at_ms), a->first_at_ms);
}

int64_t seg_last_event_ms(const seg_activity *a) { return later(a->ordered_at_ms, a->engaged_at_ms); }

double seg_recency_days(const seg_activity *a, int64_t at_ms) { return since(at_ms, seg_last_act_ms(a)) * days_per_ms; }

double seg_tenure_days(const seg_activity *a, int64_t at_ms) { return since(at_ms, a->first_at_ms) * days_per_ms; }

double seg_order_decay(const seg_activity *a, int64_t at_ms) {
  return seg_exp2(since(at_ms, a->ordered_at_ms) * order_rate);
}

double seg_engagement_decay(const seg_activity *a, int64_t at_ms) {
  return seg_exp2(since(at_ms, a->engaged_at_ms) * engagement_rate);
}

double seg_repeat_orders(const seg_activity *a) {
  /* Who never purchased has no instant of a first purchase: a weight of 1, out of no orders, leaves none. */
  const double first = seg_exp2(since(a->ordered_at_ms, a->first_purchased_at_ms) * order_rate);
  return seg_max(a->orders_decayed - first, 0.0);
}

seg_quantities seg_quantities_at(const seg_activity *a, int64_t at_ms) {
  const double order_decay = seg_order_decay(a, at_ms);
  return (seg_quantities){
      .recency_days = seg_recency_days(a, at_ms),
      .tenure_days = seg_tenure_days(a, at_ms),
      /* Refunds undo an order completed several times as of its last completion: more than it brought. */
      .orders = seg_max(a->orders_decayed, 0.0) * order_decay,
      .repeat_orders = seg_repeat_orders(a) * order_decay,
      .revenue_minor = seg_max(a->revenue_decayed, 0.0) * order_decay,
      .engaged_days = a->engaged_days * seg_engagement_decay(a, at_ms),
      .gaps = a->gaps,
      .log_gaps = a->log_gaps,
      .log_gaps_squared = a->log_gaps_squared,
      .purchases = a->purchases,
      .log_order_values = seg_max(a->log_order_values, 0.0),
  };
}

void seg_ask_quantities(int64_t n, const seg_activity *activity, const int64_t *at_ms, seg_quantities *out) {
  for (int64_t i = 0; i < n; i++) out[i] = seg_quantities_at(&activity[i], at_ms[i]);
}
