/* The kind by rules for one customer at a time: the first condition that holds decides, and every instant of change is
 * known beforehand.
 *
 * Theory. A figure of the customer is compared with a number; comparisons are joined by all, any and not; a customer is
 * in the first segment whose condition holds, or else in the default.
 *
 * The form. Conditions and the order of segments come as one decision diagram: each step tests one comparison and names
 * where to go on if it is true and if it is false, either at a later step or at a target, which ends it. All, any, not
 * and "the first that holds" are nothing but such ways: of "a and b" the true way of a is b, its false way that of the
 * whole. In memory, little-endian, without gaps:
 *
 *     header       int32 format (1), int32 comparisons, int32 steps, int32 reserved (0)
 *     comparison   int32 figure, int32 operator, double value                         (one after the other; struct leaf)
 *     step         int32 comparison, int32 if_true, int32 if_false                    (likewise; struct step)
 *
 * A way >= 0 is the index of a step, which must be later than the step that names it; a way < 0 is -1 - target. Step 0 is
 * the first. Another figure is another number in `FIGURES`, a line in `figure_of`, and where silence changes it, one in
 * `crossing_ms`; a leaf that needs more than a value gets a larger record under the next format.
 *
 * Silence changes a figure in one of three ways: days count up, decayed totals halve again and again, the rest stays. So
 * the one instant at which a figure crosses a number is known in closed form, but for rounding, which is why the
 * comparisons themselves are asked for ROUNDING_MS around it. Crossings that are equal are tried once.
 *
 * Bounds. The form is checked once, completely: its size, every index, figure and operator, finite values, ways that
 * lead onwards only. So a question takes as many comparisons as there are steps, at most STEPS_MAX, and a silence 5
 * questions a crossing, of which there are at most CROSSINGS_MAX. Nothing is allocated by questions. Figures are
 * evaluated once an instant, when first asked for. Any record of activity is taken: instants wrap, NaN stays NaN.
 */
#include "segmenter.h"

#include <stdlib.h>
#include <string.h>

#define FORMAT 1
#define COMPARISONS_MAX 65536
#define STEPS_MAX 65536
#define CROSSINGS_MAX 2048
#define ROUNDING_MS 2

enum {
  RECENCY_DAYS,
  TENURE_DAYS,
  ORDERS_DECAYED,
  REVENUE_DECAYED_MINOR,
  ENGAGED_DAYS_DECAYED,
  PURCHASES,
  REFUNDS,
  ENGAGEMENTS,
  REVENUE_MINOR,
  FIGURES
};

enum { LESS, LESS_OR_EQUAL, GREATER, GREATER_OR_EQUAL, OPERATORS };

typedef struct header {
  int32_t format, comparisons, steps, reserved;
} header;

typedef struct leaf {
  int32_t figure, operator;
  double value;
} leaf;

typedef struct step {
  int32_t comparison, if_true, if_false;
} step;

struct seg_rules {
  leaf *leaves;
  step *steps;
  leaf *crossers; /* comparisons whose figure silence may carry across their value, one of those that are alike */
  int32_t leaf_count, step_count, crosser_count;
};

_Static_assert(sizeof(header) == 16 && sizeof(leaf) == 16 && sizeof(step) == 12, "form of rules");

/* --- figures --- */

/* A customer at an instant; what was asked for already is kept. */
typedef struct asked {
  const seg_activity *activity;
  int64_t at_ms;
  uint32_t known;
  double figures[FIGURES];
  bool knows_order_decay;
  double order_decay;
} asked;

static asked ask_at(const seg_activity *activity, int64_t at_ms) {
  asked who;
  who.activity = activity;
  who.at_ms = at_ms;
  who.known = 0;
  who.knows_order_decay = false;
  return who;
}

static double order_decay(asked *who) {
  if (!who->knows_order_decay) who->order_decay = seg_order_decay(who->activity, who->at_ms);
  who->knows_order_decay = true;
  return who->order_decay;
}

static double figure_of(asked *who, int32_t figure) {
  const seg_activity *a = who->activity;
  switch (figure) {
    case RECENCY_DAYS: return seg_recency_days(a, who->at_ms);
    case TENURE_DAYS: return seg_tenure_days(a, who->at_ms);
    case ORDERS_DECAYED: return seg_max(a->orders_decayed, 0.0) * order_decay(who);
    case REVENUE_DECAYED_MINOR: return seg_max(a->revenue_decayed, 0.0) * order_decay(who);
    case ENGAGED_DAYS_DECAYED: return a->engaged_days * seg_engagement_decay(a, who->at_ms);
    case PURCHASES: return a->purchases;
    case REFUNDS: return a->refunds;
    case ENGAGEMENTS: return a->engagements;
    default: return (double)a->revenue_minor;
  }
}

static double known_figure(asked *who, int32_t figure) {
  const uint32_t bit = 1u << figure;
  if (!(who->known & bit)) who->figures[figure] = figure_of(who, figure);
  who->known |= bit;
  return who->figures[figure];
}

static bool holds(const leaf *comparison, asked *who) {
  const double found = known_figure(who, comparison->figure);
  switch (comparison->operator) {
    case LESS: return found < comparison->value;
    case LESS_OR_EQUAL: return found <= comparison->value;
    case GREATER: return found > comparison->value;
    default: return found >= comparison->value;
  }
}

static double halved_ms(double total, double value, int64_t since_ms, double half_life_days) {
  const double ratio = total / value;
  const double halvings = ratio > 1 ? seg_log2(ratio) : __builtin_inf();
  return (double)since_ms + halvings * (half_life_days * (double)SEG_DAY_MS);
}

/* When silence carries the figure across the value; inf for never, in the past where it has happened. */
static double crossing_ms(const leaf *comparison, const seg_activity *a) {
  const double value = comparison->value;
  switch (comparison->figure) {
    case RECENCY_DAYS: return (double)seg_last_act_ms(a) + value * (double)SEG_DAY_MS;
    case TENURE_DAYS: return (double)a->first_at_ms + value * (double)SEG_DAY_MS;
    case ORDERS_DECAYED: return halved_ms(a->orders_decayed, value, a->ordered_at_ms, SEG_ORDER_HALF_LIFE_DAYS);
    case REVENUE_DECAYED_MINOR:
      return halved_ms(a->revenue_decayed, value, a->ordered_at_ms, SEG_ORDER_HALF_LIFE_DAYS);
    default: return halved_ms(a->engaged_days, value, a->engaged_at_ms, SEG_ENGAGEMENT_HALF_LIFE_DAYS);
  }
}

static bool may_cross(const leaf *comparison) {
  if (comparison->figure == RECENCY_DAYS || comparison->figure == TENURE_DAYS) return true;
  return comparison->figure <= ENGAGED_DAYS_DECAYED && comparison->value != 0.0;
}

/* --- questions --- */

static int32_t target_at(const struct seg_rules *rules, const seg_activity *activity, int64_t at_ms) {
  asked who = ask_at(activity, at_ms);
  int32_t way = 0;
  while (way >= 0) {
    const step *now = &rules->steps[way];
    way = holds(&rules->leaves[now->comparison], &who) ? now->if_true : now->if_false;
  }
  return -1 - way;
}

seg_decision seg_rules_acts(const seg_segmentation *s, const seg_activity *activity, int64_t at_ms,
                            const seg_held *held) {
  const int32_t target = target_at(s->own, activity, at_ms);
  return (seg_decision){target, seg_code_of(s, target) != held->segment};
}

/* Looks around a crossing for the first instant in (after, by] at which the customer is elsewhere. */
static bool moves_around(const seg_segmentation *s, const seg_activity *activity, const seg_held *held, double crossing,
                         int64_t after_ms, int64_t by_ms, seg_due *due) {
  int64_t whole_ms = SEG_NEVER;
  if (!(crossing >= (double)SEG_NEVER)) {
    whole_ms = seg_whole_ms(crossing);
    if ((double)whole_ms > crossing && whole_ms > INT64_MIN) whole_ms--; /* below 0: downwards */
  }
  for (int64_t offset = -ROUNDING_MS; offset <= ROUNDING_MS; offset++) {
    const int64_t at_ms = seg_later_ms(whole_ms, offset);
    if (at_ms <= after_ms || at_ms > by_ms) continue;
    const int32_t target = target_at(s->own, activity, at_ms);
    if (seg_code_of(s, target) == held->segment) continue;
    *due = (seg_due){at_ms, target, 0};
    return true;
  }
  return false;
}

static double next_of(const double *crossings, int32_t count, double passed) {
  double first = __builtin_inf();
  for (int32_t i = 0; i < count; i++)
    if (crossings[i] > passed && crossings[i] < first) first = crossings[i];
  return first;
}

/* The first of the crossings at which silence moves the customer. Where none comes by `by_ms` the next crossing is the
 * answer, less what rounding may take: whether it moves anybody is found out then. */
seg_due seg_rules_silence(const seg_segmentation *s, const seg_activity *activity, const seg_held *held,
                          int64_t after_ms, int64_t by_ms) {
  const struct seg_rules *rules = s->own;
  double crossings[CROSSINGS_MAX];
  for (int32_t i = 0; i < rules->crosser_count; i++) crossings[i] = crossing_ms(&rules->crossers[i], activity);
  double passed = (double)seg_later_ms(after_ms, -ROUNDING_MS);
  for (;;) {
    const double first = next_of(crossings, rules->crosser_count, passed);
    if (first - ROUNDING_MS > (double)by_ms) {
      const double early = first - ROUNDING_MS;
      return (seg_due){early >= (double)SEG_NEVER ? SEG_NEVER : seg_whole_ms(early), SEG_NOWHERE, 0};
    }
    seg_due due;
    if (moves_around(s, activity, held, first, after_ms, by_ms, &due)) return due;
    /* A crossing just behind `by_ms` may turn the comparison there or right after. */
    if (first + ROUNDING_MS > (double)by_ms) return (seg_due){seg_later_ms(by_ms, 1), SEG_NOWHERE, 0};
    passed = first;
  }
}

/* --- the form --- */

static bool is_way(int32_t way, int32_t from, int32_t step_count, int32_t target_count) {
  return way >= 0 ? way > from && way < step_count : -(way + 1) < target_count;
}

static bool is_valid(const struct seg_rules *rules, int32_t target_count) {
  for (int32_t i = 0; i < rules->leaf_count; i++) {
    const leaf *each = &rules->leaves[i];
    if (each->figure < 0 || each->figure >= FIGURES || each->operator< 0 || each->operator>= OPERATORS) return false;
    if (!(each->value - each->value == 0.0)) return false;
  }
  for (int32_t i = 0; i < rules->step_count; i++) {
    const step *each = &rules->steps[i];
    if (each->comparison < 0 || each->comparison >= rules->leaf_count) return false;
    if (!is_way(each->if_true, i, rules->step_count, target_count)) return false;
    if (!is_way(each->if_false, i, rules->step_count, target_count)) return false;
  }
  return true;
}

static bool is_among(const leaf *leaves, int32_t count, const leaf *one) {
  for (int32_t i = 0; i < count; i++)
    if (leaves[i].figure == one->figure && leaves[i].value == one->value) return true;
  return false;
}

static bool find_crossers(struct seg_rules *rules) {
  for (int32_t i = 0; i < rules->leaf_count; i++) {
    const leaf *each = &rules->leaves[i];
    if (!may_cross(each) || is_among(rules->crossers, rules->crosser_count, each)) continue;
    if (rules->crosser_count == CROSSINGS_MAX) return false;
    rules->crossers[rules->crosser_count++] = *each;
  }
  return true;
}

static bool is_form(const header *head, int64_t size) {
  if (head->format != FORMAT || head->reserved != 0) return false;
  if (head->comparisons < 1 || head->comparisons > COMPARISONS_MAX || head->steps < 1 || head->steps > STEPS_MAX)
    return false;
  const int64_t expected = (int64_t)sizeof(header) + head->comparisons * (int64_t)sizeof(leaf) +
                           head->steps * (int64_t)sizeof(step);
  return size == expected;
}

struct seg_rules *seg_rules_new(const void *form, int64_t size, int32_t target_count) {
  header head;
  if (size < (int64_t)sizeof head) return NULL;
  memcpy(&head, form, sizeof head);
  if (!is_form(&head, size)) return NULL;
  struct seg_rules *rules = calloc(1, sizeof *rules);
  if (!rules) return NULL;
  const size_t leaves_size = (size_t)head.comparisons * sizeof(leaf), steps_size = (size_t)head.steps * sizeof(step);
  rules->leaf_count = head.comparisons;
  rules->step_count = head.steps;
  rules->leaves = malloc(leaves_size);
  rules->steps = malloc(steps_size);
  rules->crossers = malloc(leaves_size);
  if (rules->leaves && rules->steps && rules->crossers) {
    memcpy(rules->leaves, (const char *)form + sizeof head, leaves_size);
    memcpy(rules->steps, (const char *)form + sizeof head + leaves_size, steps_size);
    if (is_valid(rules, target_count) && find_crossers(rules)) return rules;
  }
  seg_rules_free(rules);
  return NULL;
}

void seg_rules_free(struct seg_rules *rules) {
  if (!rules) return;
  free(rules->leaves);
  free(rules->steps);
  free(rules->crossers);
  free(rules);
}
