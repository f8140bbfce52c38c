/* Figures of a customer, and when silence carries one across a number.
 *
 * Theory. Silence changes a figure in one of three ways: days count up, what is decayed halves again and again, and the
 * rest stays. So a figure crosses a number at most once, and the instant is known in closed form but for rounding. The
 * comparison itself is asked around it: so the answer is the very millisecond at which it turns. What the closed form of
 * a model's probability misses is found by halving: the figure only falls.
 *
 * Contract. Days are milliseconds divided by those of a day, so that whole days are whole numbers. Comparisons with what
 * there is none of (days since an order of who never ordered) are false. Money is in units of the base currency. The
 * usual gap and the probability are those of a learned segmentation, `other`; without one there are none.
 *
 * Bounds: any record of activity; instants wrap, NaN stays NaN. A crossing takes some ten evaluations, at most a hundred
 * and thirty. */
#include "program.h"

#define ROUNDING_MS 3

enum {
  RECENCY_DAYS,
  TENURE_DAYS,
  ORDERS_DECAYED,
  REVENUE_DECAYED,
  ENGAGED_DAYS_DECAYED,
  PURCHASES,
  REFUNDS,
  ENGAGEMENTS,
  REVENUE,
  AVERAGE_ORDER_VALUE,
  ORDER_RECENCY_DAYS,
  ORDER_TENURE_DAYS,
  ENGAGEMENT_RECENCY_DAYS,
  USUAL_GAP_DAYS,
  PROBABILITY_ACTIVE
};
_Static_assert(PROBABILITY_ACTIVE + 1 == SEG_FIGURES, "figures");

static const double infinity = __builtin_inf();
static const double not_a_number = __builtin_nan("");

/* --- values --- */

static bool has_acted(const seg_activity *a) { return a->first_at_ms != -SEG_NO_TIME; }

static double days_since(int64_t at_ms, int64_t then_ms) {
  if (then_ms == SEG_NO_TIME) return not_a_number;
  const int64_t passed_ms = seg_passed_ms(at_ms, then_ms);
  return (double)(passed_ms > 0 ? passed_ms : 0) / (double)SEG_DAY_MS;
}

static bool find_rhythm(seg_asked *asked, int32_t segmentation) {
  if (asked->knows_rhythm) return asked->has_rhythm;
  const seg_segmentation *const *all = asked->subject->segmentations;
  const seg_rhythm *population = all && segmentation >= 0 ? seg_learned_rhythm(all[segmentation]) : NULL;
  asked->knows_rhythm = true;
  asked->has_rhythm = population != NULL;
  if (!population) return false;
  const seg_activity *a = asked->subject->activity;
  const seg_quantities known = {.gaps = a->gaps, .log_gaps = a->log_gaps, .log_gaps_squared = a->log_gaps_squared};
  seg_ask_rhythm(1, &known, population, &asked->rhythm);
  return true;
}

static double usual_gap(seg_asked *asked, int32_t segmentation) {
  double days = not_a_number;
  if (find_rhythm(asked, segmentation)) seg_ask_usual_gap(1, &asked->rhythm, &days);
  return days;
}

static double probability(seg_asked *asked, int32_t segmentation, int64_t at_ms) {
  const seg_activity *a = asked->subject->activity;
  if (!has_acted(a) || !find_rhythm(asked, segmentation)) return not_a_number;
  const double silence_days = seg_recency_days(a, at_ms);
  double found;
  seg_ask_probability_active(1, &asked->rhythm, &silence_days, &found);
  return found;
}

static double figure_at(seg_asked *asked, int32_t figure, int32_t segmentation, int64_t at_ms) {
  const seg_activity *a = asked->subject->activity;
  const double money = asked->program->count.minor_per_major;
  switch (figure) {
    case RECENCY_DAYS: return has_acted(a) ? days_since(at_ms, seg_last_act_ms(a)) : not_a_number;
    case TENURE_DAYS: return has_acted(a) ? days_since(at_ms, a->first_at_ms) : not_a_number;
    case ORDERS_DECAYED: return seg_max(a->orders_decayed, 0.0) * seg_order_decay(a, at_ms);
    case REVENUE_DECAYED: return seg_max(a->revenue_decayed, 0.0) * seg_order_decay(a, at_ms) / money;
    case ENGAGED_DAYS_DECAYED: return a->engaged_days * seg_engagement_decay(a, at_ms);
    case PURCHASES: return a->purchases;
    case REFUNDS: return a->refunds;
    case ENGAGEMENTS: return a->engagements;
    case REVENUE: return (double)a->revenue_minor / money;
    case AVERAGE_ORDER_VALUE:
      return a->purchases > 0 ? (double)a->revenue_minor / money / a->purchases : not_a_number;
    case ORDER_RECENCY_DAYS: return days_since(at_ms, a->purchased_at_ms);
    case ORDER_TENURE_DAYS:
      return a->purchased_at_ms == SEG_NO_TIME ? not_a_number : days_since(at_ms, a->first_purchased_at_ms);
    case ENGAGEMENT_RECENCY_DAYS: return days_since(at_ms, a->engaged_at_ms);
    case USUAL_GAP_DAYS: return usual_gap(asked, segmentation);
    default: return probability(asked, segmentation, at_ms);
  }
}

double seg_figure(seg_asked *asked, int32_t figure, int32_t segmentation) {
  const uint32_t bit = UINT32_C(1) << figure;
  if (!(asked->known_figures & bit)) asked->figures[figure] = figure_at(asked, figure, segmentation, asked->now_ms);
  asked->known_figures |= bit;
  return asked->figures[figure];
}

/* --- crossings --- */

/* When a total that halves has fallen to a value; inf if it never does. */
static double halved_ms(double total, double value, int64_t since_ms, double half_life_ms) {
  const double ratio = total / value;
  return ratio >= 1 && value != 0 ? (double)since_ms + seg_log2(ratio) * half_life_ms : infinity;
}

static double probability_ms(seg_asked *asked, double least, int32_t segmentation) {
  const seg_activity *a = asked->subject->activity;
  double days;
  if (!(least > 0) || !(least < 1) || !find_rhythm(asked, segmentation)) return infinity;
  seg_ask_silence_days(1, &asked->rhythm, least, &days);
  return (double)seg_last_act_ms(a) + days * (double)SEG_DAY_MS;
}

/* When silence carries the figure across the value, but for rounding; inf for never, in the past where it has. */
static double crossing_ms(seg_asked *asked, const seg_literal *l) {
  const seg_activity *a = asked->subject->activity;
  const double value = l->number, ms = value * (double)SEG_DAY_MS, money = asked->program->count.minor_per_major;
  const double order_ms = SEG_ORDER_HALF_LIFE_DAYS * (double)SEG_DAY_MS;
  switch (l->what) {
    case RECENCY_DAYS: return (double)seg_last_act_ms(a) + ms;
    case TENURE_DAYS: return (double)a->first_at_ms + ms;
    case ORDERS_DECAYED: return halved_ms(a->orders_decayed, value, a->ordered_at_ms, order_ms);
    case REVENUE_DECAYED: return halved_ms(a->revenue_decayed, value * money, a->ordered_at_ms, order_ms);
    case ENGAGED_DAYS_DECAYED:
      return halved_ms(a->engaged_days, value, a->engaged_at_ms, SEG_ENGAGEMENT_HALF_LIFE_DAYS * (double)SEG_DAY_MS);
    case ORDER_RECENCY_DAYS: return (double)a->purchased_at_ms + ms;
    case ORDER_TENURE_DAYS: return (double)a->first_purchased_at_ms + ms;
    case ENGAGEMENT_RECENCY_DAYS: return (double)a->engaged_at_ms + ms;
    case PROBABILITY_ACTIVE: return probability_ms(asked, value, l->other);
    default: return infinity;
  }
}

static bool compares(const seg_literal *l, double found) {
  if (l->compare == SEG_KNOWN) return found == found;
  return l->compare == SEG_MORE_THAN ? found > l->number : found >= l->number;
}

static double value_at(seg_asked *asked, const seg_literal *l, int64_t at_ms) {
  if (l->kind == SEG_IS_FIGURE) return figure_at(asked, l->what, l->other, at_ms);
  return seg_decayed_at(asked, l, at_ms);
}

static bool holds_at(seg_asked *asked, const seg_literal *l, int64_t at_ms) {
  return compares(l, value_at(asked, l, at_ms));
}

/* The first instant in (same, other] that is as `other`. */
static int64_t halve(seg_asked *asked, const seg_literal *l, int64_t same_ms, int64_t other_ms, bool holds) {
  while (other_ms - same_ms > 1) {
    const int64_t middle_ms = same_ms + (other_ms - same_ms) / 2;
    if (holds_at(asked, l, middle_ms) == holds)
      same_ms = middle_ms;
    else
      other_ms = middle_ms;
  }
  return other_ms;
}

/* The first instant after now at which a comparison that turns about `crossing` does so. */
static int64_t turns_about(seg_asked *asked, const seg_literal *l, double crossing, bool holds) {
  const int64_t now_ms = asked->now_ms;
  if (!(crossing < 0x1p61) || !(crossing > (double)now_ms - ROUNDING_MS)) return SEG_NEVER;
  const int64_t about_ms = (int64_t)crossing;
  int64_t same_ms = now_ms;
  if (about_ms - ROUNDING_MS > now_ms) {
    if (holds_at(asked, l, about_ms - ROUNDING_MS) != holds)
      return halve(asked, l, now_ms, about_ms - ROUNDING_MS, holds);
    same_ms = about_ms - ROUNDING_MS;
  }
  for (; same_ms < about_ms + ROUNDING_MS; same_ms++)
    if (holds_at(asked, l, same_ms + 1) != holds) return same_ms + 1;
  for (int64_t ahead_ms = 64; ahead_ms <= INT64_C(1) << 32; ahead_ms *= 4)
    if (holds_at(asked, l, same_ms + ahead_ms) != holds) return halve(asked, l, same_ms, same_ms + ahead_ms, holds);
  return SEG_NEVER;
}

bool seg_figure_holds(seg_asked *asked, const seg_literal *l, int64_t *turns_ms) {
  const double found = seg_figure(asked, l->what, l->other);
  const bool holds = compares(l, found);
  *turns_ms = SEG_NEVER;
  if (l->compare == SEG_KNOWN || !(found == found)) return holds;
  const double crossing = crossing_ms(asked, l);
  if (crossing < infinity) *turns_ms = turns_about(asked, l, crossing, holds);
  return holds;
}

/* --- sums of events that halve --- */

double seg_decayed_at(const seg_asked *asked, const seg_literal *l, int64_t at_ms) {
  const seg_held_series *h = &asked->series[l->series];
  if (!h->count) return 0.0;
  double sum;
  memcpy(&sum, h->entries + SEG_INSTANT_BYTES, sizeof sum);
  const double passed_ms = (double)(at_ms - seg_get_instant(h->entries));
  return sum * seg_exp2(-passed_ms / asked->program->series[l->series].half_life_ms);
}

bool seg_decayed_holds(seg_asked *asked, const seg_literal *l, int64_t *turns_ms) {
  const seg_held_series *h = &asked->series[l->series];
  const bool holds = compares(l, seg_decayed_at(asked, l, asked->now_ms));
  *turns_ms = SEG_NEVER;
  if (!h->count || l->compare == SEG_KNOWN) return holds;
  double sum;
  memcpy(&sum, h->entries + SEG_INSTANT_BYTES, sizeof sum);
  const double half_life_ms = asked->program->series[l->series].half_life_ms;
  const double crossing = halved_ms(sum, l->number, seg_get_instant(h->entries), half_life_ms);
  if (crossing < infinity) *turns_ms = turns_about(asked, l, crossing, holds);
  return holds;
}
