/* The learned kind for one customer at a time: who changes segment, and when exactly.
 *
 * Theory. Three rules keep what is said about a person true:
 *
 *   1. An own act makes a customer active, and moves it to a role of the same or a higher level.
 *   2. Silence moves it down, at dates that are known at its last act: out of a role when the role's statement becomes
 *      false, to at risk and lapsed when the silence has become telling.
 *   3. Within what these two allow, customers belong to the role whose centre is nearest, and change over only if
 *      another one is nearer by more than the hysteresis h: (D_i - D_j) / (2 |c_i - c_j|) > h, the signed distance past
 *      the middle between two centres (D: squared distances). A statement that has become false overrules that.
 *
 * A new version moves only those of whom the name of their role is no longer true under it, or whose silence it finds
 * telling.
 *
 * Axes. What a customer is worth, in three log rates: orders and engaged days a day, and the own over the usual order
 * value, shrunk to the usual one. F and V are decayed counts, the first order left out, E the decayed days over which
 * they were counted, N the orders:
 *
 *     r = ln[(1/2 + F) / (11 + E60)]    e = ln[(1/2 + V) / (3 + E30)]    a = (ln value of all orders - N m0) / (2 + N)
 *
 * In silence r and e fall: the count decays and the exposure grows. Both are ratios of terms that are linear in
 * u = 2^(-t / half-life), so the instant at which one falls below a bound is known in closed form.
 *
 * Statements. A role's name bounds rates from below or above (see `is_true`). Silence only lowers them, so of
 * statements only lower bounds can fail in silence.
 *
 * Rhythm. Gaps between a customer's active days are Weibull with a regularity c of its own; their scale varies between
 * customers. So what is left to be expected of a silence of R days is S(R) = [1 + (R / lambda)^c / s]^(-s), the
 * survival function of Burr's distribution XII. Own log gaps are shrunk to the population's: with W their weight, m
 * their mean and SS their sum of squares about it,
 *
 *     sigma^2 = (4 sigma0^2 + SS) / (4 + max(W - 1, 0))     c = pi / (sqrt(6) sigma)
 *     mu = (s0 mu0 + W m) / (s0 + W)     ln lambda = mu + gamma / c     s = min(s0 + W, 4)
 *
 * A customer may have stopped for good after any gap, with probability p = 1 - exp(-q usual gap), or p1 before it has
 * any. So P(active | R) = (1 - p) S / ((1 - p) S + p), which falls with R and can be inverted: the date at which a
 * customer is at risk or has lapsed is known at its last act. Where these come from, axes.py, rhythm.py and
 * statements.py in stream_app/segmentations/learned say.
 *
 * Contract. One customer at a time, only what its state asks for is computed: dates of silence only where silence can
 * tell, the nearest role only where a role is to be chosen, visits only in a population that comes. What depends on the
 * model alone is computed when it is made: e^bound of every statement, and the weights of the numbers of gaps there can
 * be. Operations and their order are part of the result, to the bit; so it is the same for one customer and for many.
 *
 * A *target* is an index of the segments, in the order of the enumeration below; SEG_NOWHERE, of customers in no
 * segment of this version, stands behind the last in tables by target.
 *
 * Bounds: no allocation but the model's, no recursion, loops over seven roles. Any record of activity is taken;
 * instants wrap and NaN stays NaN, as in numpy. Models are checked for their size and their targets only: whatever
 * their numbers are, they lead to some target.
 */
#include "segmenter.h"

#include <stdlib.h>
#include <string.h>

enum { OCCASIONAL, BROWSERS, REGULAR, LOYAL, BIG_SPENDERS, CHAMPIONS, VIP, NEW, AT_RISK, HIBERNATING, ONE_TIME, LOST };
enum { ACTIVE, RISK, LAPSED };
enum { ORDERS, ENGAGEMENT, VALUE };
#define TARGETS (LOST + 1)
#define NOBODY TARGETS /* of SEG_NOWHERE in tables by target */
#define ALL_ROLES ((1u << SEG_ROLES) - 1)

static const int8_t levels[TARGETS + 1] = {0, 1, 1, 2, 1, 3, 4, 1, -1, -2, -2, -3, 0};
static const int8_t stages[TARGETS + 1] = {
    [AT_RISK] = RISK, [HIBERNATING] = LAPSED, [ONE_TIME] = LAPSED, [LOST] = LAPSED};
/* Roles of which one of the two lower bounds on rates suffices. */
static const bool either[SEG_ROLES] = {[REGULAR] = true, [BIG_SPENDERS] = true};

static const double euler = 0.5772156649015329;
static const double ln_2 = 0.6931471805599453;
static const double pi = 3.141592653589793;
static const double sqrt_6 = 2.449489742783178;
static const double deviation_min = 0.2;
static const double variance_weight = 4.0;
static const double shape_max = 4.0;
static const double odds_min = 1e-12;
static const double order_prior[2] = {0.5, 11.0};
static const double engagement_prior[2] = {0.5, 3.0};
static const double value_prior_orders = 2.0;

/* What a statement's lower bound of a rate comes to, for the instant at which silence takes the rate below it. */
typedef struct bound {
  double rate;      /* e^bound */
  double numerator; /* <= 0: never */
} bound;

typedef struct seg_learned_model {
  seg_learned form;
  double gap_weights[SEG_ACTIVITY_WINDOW_DAYS + 1]; /* by number of gaps */
  bound orders_min[SEG_ROLES], engagement_min[SEG_ROLES];
  seg_silences without_gaps; /* of customers who have no gaps yet */
  double lead_twice;   /* 2 hysteresis */
  double no_return_ms;
  int64_t new_ms;      /* for how long customers are new */
  bool weighs_engagement; /* whether any answer depends on it */
} model;

static const double infinity = __builtin_inf();

static inline bool is_finite(double x) { return x - x == 0.0; }
static inline int64_t ceil_ms(double ms) { /* the next whole number, of numbers that fit */
  const int64_t whole = seg_whole_ms(ms);
  return whole != INT64_MIN && (double)whole < ms ? whole + 1 : whole;
}
static inline int32_t stage_of(int32_t target) { return stages[target < 0 ? NOBODY : target]; }
static inline bool is_role(int32_t target) { return target >= 0 && target < SEG_ROLES; }
static inline bool has(uint32_t roles, int32_t role) { return roles >> role & 1; }

/* --- axes --- */

static const double order_full = SEG_ORDER_HALF_LIFE_DAYS / 0.6931471805599453;
static const double engagement_full = SEG_ENGAGEMENT_HALF_LIFE_DAYS / 0.6931471805599453;

static double order_axis(double repeat_orders, double tenure_days) {
  const double exposure = order_full * (1 - seg_exp2(tenure_days * (-1 / SEG_ORDER_HALF_LIFE_DAYS)));
  return seg_log((order_prior[0] + repeat_orders) / (order_prior[1] + exposure));
}

static double engagement_axis(double engaged_days, double tenure_days) {
  const double exposure = engagement_full * (1 - seg_exp2(tenure_days * (-1 / SEG_ENGAGEMENT_HALF_LIFE_DAYS)));
  return seg_log((engagement_prior[0] + engaged_days) / (engagement_prior[1] + exposure));
}

static double value_axis(double log_order_values, double purchases, double log_order_value) {
  const double own = log_order_values - purchases * log_order_value;
  return own / (value_prior_orders + seg_max(purchases, 0.0));
}

static void axes_of(const model *m, const seg_activity *a, int64_t at_ms, double axes[3]) {
  const seg_learned *form = &m->form;
  const double tenure_days = seg_tenure_days(a, at_ms);
  axes[ORDERS] = order_axis(seg_repeat_orders(a) * seg_order_decay(a, at_ms), tenure_days);
  /* Any finite number does where nothing depends on it; of a count that is none, it would not be a number. */
  axes[ENGAGEMENT] = 0.0;
  if (m->weighs_engagement || !(a->engaged_days >= 0.0 && is_finite(a->engaged_days)))
    axes[ENGAGEMENT] = engagement_axis(a->engaged_days * seg_engagement_decay(a, at_ms), tenure_days);
  axes[VALUE] = 0.0;
  if (form->knows_order_value)
    axes[VALUE] = value_axis(seg_max(a->log_order_values, 0.0), a->purchases, form->log_order_value);
}

static bound bound_of(double least, const double prior[2], double full) {
  const double rate = seg_exp(least);
  return (bound){rate, rate * (prior[1] + full) - prior[0]};
}

/* Solves (n0 + count u) / (d0 + k - k g u) = e^bound for u = 2^(-(t - since) / half-life); milliseconds. */
static double falls_ms(int64_t first_ms, int64_t since_ms, double count, bound least, double full, double half_life) {
  if (!(least.numerator > 0)) return infinity;
  const double share = seg_exp2((double)seg_passed_ms(first_ms, since_ms) * (1 / (half_life * (double)SEG_DAY_MS)));
  const double halvings = seg_log2((count + least.rate * full * share) / least.numerator);
  return (double)since_ms + halvings * (half_life * (double)SEG_DAY_MS);
}

static double order_rate_falls_ms(const model *m, const seg_activity *a, int32_t role) {
  const bound least = m->orders_min[role];
  if (!(least.numerator > 0)) return infinity;
  const int64_t since_ms = a->ordered_at_ms > SEG_NO_TIME ? a->ordered_at_ms : a->first_at_ms;
  return falls_ms(a->first_at_ms, since_ms, seg_repeat_orders(a), least, order_full, SEG_ORDER_HALF_LIFE_DAYS);
}

static double engagement_rate_falls_ms(const model *m, const seg_activity *a, int32_t role) {
  const int64_t since_ms = a->engaged_at_ms > SEG_NO_TIME ? a->engaged_at_ms : a->first_at_ms;
  return falls_ms(a->first_at_ms, since_ms, a->engaged_days, m->engagement_min[role], engagement_full,
                  SEG_ENGAGEMENT_HALF_LIFE_DAYS);
}

/* --- statements --- */

static bool is_true(const seg_statements *says, int32_t role, const double axes[3]) {
  const bool often = axes[ORDERS] >= says->orders_min[role], comes = axes[ENGAGEMENT] >= says->engagement_min[role];
  return (either[role] ? often || comes : often && comes) && axes[ORDERS] <= says->orders_max[role] &&
         axes[VALUE] >= says->value_min[role];
}

/* When silence makes the statement of a role false, milliseconds; inf for never. */
static double fails_ms(const model *m, const seg_activity *a, int32_t role) {
  const double orders_ms = order_rate_falls_ms(m, a, role);
  if (!is_finite(m->form.statements.engagement_min[role])) return orders_ms;
  const double engagement_ms = engagement_rate_falls_ms(m, a, role);
  return either[role] ? seg_max(orders_ms, engagement_ms) : seg_min(orders_ms, engagement_ms);
}

/* --- rhythm --- */

/* A customer's own rhythm, with what its silences need besides. */
typedef struct rhythm {
  seg_own_rhythm own;
  double scale;   /* e^log_scale */
  double inverse; /* 1 / regularity */
} rhythm;

static double gap_weight(double gaps) { return (1 - seg_pow(SEG_GAP_MEMORY, gaps)) / (1 - SEG_GAP_MEMORY); }

static double usual_gap_days(double scale, double inverse) { return scale * seg_pow(ln_2, inverse); }

static rhythm rhythm_from(const seg_rhythm *population, bool has_gaps, double weight, double log_gaps,
                          double log_gaps_squared) {
  rhythm found;
  seg_own_rhythm *own = &found.own;
  const double mean = log_gaps / seg_max(weight, 1.0);
  const double squares = seg_max(log_gaps_squared - weight * (mean * mean), 0.0);
  const double variance = (variance_weight * population->log_gap_variance + squares) /
                          (variance_weight + seg_max(weight - 1, 0.0));
  own->regularity = pi / (sqrt_6 * seg_max(__builtin_sqrt(variance), deviation_min));
  const double centre =
      (population->prior_weight * population->log_gap + weight * mean) / (population->prior_weight + weight);
  own->log_scale = centre + euler / own->regularity;
  own->shape = seg_min(population->prior_weight + weight, shape_max);
  found.scale = seg_exp(own->log_scale);
  found.inverse = 1 / own->regularity;
  double stopped = population->stop_after_first;
  if (has_gaps) {
    const double usual_days = usual_gap_days(found.scale, found.inverse);
    stopped = -seg_expm1(-population->stop_rate_per_day * usual_days);
  }
  own->stopped = seg_min(seg_max(stopped, odds_min), 1 - odds_min);
  return found;
}

static rhythm rhythm_of(const model *m, const seg_activity *a) {
  const double weight =
      a->gaps >= 0 && a->gaps <= SEG_ACTIVITY_WINDOW_DAYS ? m->gap_weights[a->gaps] : gap_weight(a->gaps);
  return rhythm_from(&m->form.rhythm, a->gaps > 0, weight, a->log_gaps, a->log_gaps_squared);
}

static double survival(const seg_own_rhythm *own, double silence_days) {
  const double exponent = own->regularity * (seg_log(seg_max(silence_days, 1e-3)) - own->log_scale);
  return seg_exp(-own->shape * seg_log1p(seg_exp(seg_min(exponent, 60.0)) / own->shape));
}

/* The silence at which the probability to be active has fallen to this one. */
static double silence_days(const rhythm *known, double probability) {
  const seg_own_rhythm *own = &known->own;
  const double odds = own->stopped / (1 - own->stopped) * (probability / (1 - probability));
  const double alive = seg_min(seg_max(odds, odds_min), 1.0);
  const double excess = own->shape * seg_expm1(-seg_log(alive) / own->shape);
  return known->scale * seg_pow(excess, known->inverse);
}

static double risk_days(const rhythm *known, const seg_patience *patience) {
  return seg_max(silence_days(known, patience->risk_probability), patience->risk_days_min);
}

static double one_time_days(const rhythm *known, const seg_patience *patience) {
  return seg_max(silence_days(known, patience->one_time_probability), patience->risk_days_min);
}

/* Lapsed by its own rhythm, be it at risk or not. */
static double given_up_days(const rhythm *known, const seg_patience *patience) {
  return seg_max(silence_days(known, patience->lapsed_probability), patience->lapsed_days_min);
}

static double lapsed_days(double given_up, double risk) { return seg_max(given_up, risk); }

static double lost_days(double given_up, const seg_patience *patience) { return seg_max(patience->lost_days, given_up); }

static seg_silences silences_of(const rhythm *known, const seg_patience *patience) {
  const double risk = risk_days(known, patience), given_up = given_up_days(known, patience);
  return (seg_silences){risk, one_time_days(known, patience), lapsed_days(given_up, risk),
                        lost_days(given_up, patience)};
}

/* A customer's silences, each computed when it is asked for; of who has no gaps yet, they are all the same. */
typedef struct silences {
  const model *m;
  bool has_no_gaps;
  rhythm known;
} silences;

static silences silences_for(const model *m, const seg_activity *a) {
  silences of = {.m = m, .has_no_gaps = a->gaps == 0 && a->log_gaps == 0.0 && a->log_gaps_squared == 0.0};
  if (!of.has_no_gaps) of.known = rhythm_of(m, a);
  return of;
}

static double risk_of(const silences *of) {
  return of->has_no_gaps ? of->m->without_gaps.risk : risk_days(&of->known, &of->m->form.patience);
}

static double one_time_of(const silences *of) {
  return of->has_no_gaps ? of->m->without_gaps.one_time : one_time_days(&of->known, &of->m->form.patience);
}

static double lapsed_of(const silences *of, double risk) {
  if (of->has_no_gaps) return of->m->without_gaps.lapsed;
  return lapsed_days(given_up_days(&of->known, &of->m->form.patience), risk);
}

static double lost_of(const silences *of) {
  if (of->has_no_gaps) return of->m->without_gaps.lost;
  return lost_days(given_up_days(&of->known, &of->m->form.patience), &of->m->form.patience);
}

static int64_t length_ms(double days) { return ceil_ms(seg_min(days, 1e9) * (double)SEG_DAY_MS); }

/* The first millisecond so much later, SEG_NEVER at most. */
static int64_t after(int64_t since_ms, int64_t passed_ms) {
  const int64_t due_ms = seg_later_ms(since_ms, passed_ms);
  return since_ms > SEG_NO_TIME && due_ms < SEG_NEVER ? due_ms : SEG_NEVER;
}

static int64_t silent_for(const seg_activity *a, double days) { return after(seg_last_act_ms(a), length_ms(days)); }

static int64_t new_until_ms(const model *m, const seg_activity *a) { return after(a->first_at_ms, m->new_ms); }

/* --- roles --- */

/* How a customer stands to the roles: sets of them, a bit each, see `Standing`. */
typedef struct standing {
  double distances[SEG_ROLES];
  uint32_t holds, admits;
} standing;

static void distances_of(const double axes[3], const double weights[3], const double *centres, double out[SEG_ROLES]) {
  for (int32_t role = 0; role < SEG_ROLES; role++) {
    double total = 0.0;
    for (int32_t axis = 0; axis < 3; axis++) {
      const double apart = (axes[axis] - centres[3 * role + axis]) * weights[axis];
      total += apart * apart;
    }
    out[role] = total;
  }
}

static uint32_t true_roles(const seg_statements *says, const double axes[3]) {
  uint32_t holds = 0;
  for (int32_t role = 0; role < SEG_ROLES; role++) holds |= (uint32_t)is_true(says, role, axes) << role;
  return holds;
}

/* Occasional's statement is true where no other's is, too. */
static uint32_t holds_at(const model *m, const double axes[3]) {
  const uint32_t holds = true_roles(&m->form.statements, axes);
  return holds ? holds : 1u << OCCASIONAL;
}

static standing stand(const model *m, const seg_activity *a, int64_t at_ms) {
  double axes[3];
  standing s;
  axes_of(m, a, at_ms, axes);
  distances_of(axes, m->form.weights, &m->form.centres[0][0], s.distances);
  s.holds = holds_at(m, axes);
  s.admits = s.holds & (uint32_t)m->form.admits;
  if (!s.admits) s.admits = s.holds;
  return s;
}

/* The first of the nearest roles of a set, as numpy's argmin over all roles finds it, the others infinitely far. */
static int32_t argmin(const standing *s, uint32_t offered) {
  int32_t nearest = 0;
  double least = infinity;
  for (int32_t role = 0; role < SEG_ROLES; role++) {
    const double distance = has(offered, role) ? s->distances[role] : infinity;
    if (distance != distance) return role;
    if (distance < least) {
      nearest = role;
      least = distance;
    }
  }
  return nearest;
}

/* The nearest role of those allowed, an open one if possible; whether none of them is true. */
static int32_t nearest_of(const standing *s, uint32_t allowed, bool *none) {
  const uint32_t is_open = s->admits & allowed;
  const uint32_t offered = is_open ? is_open : s->holds & allowed;
  const int32_t nearest = argmin(s, offered);
  *none = !has(offered, nearest);
  return nearest;
}

static int32_t choose(const model *m, const standing *s, int32_t role, uint32_t allowed, int32_t left,
                      bool must_admit) {
  bool none;
  int32_t nearest = nearest_of(s, allowed, &none);
  if (none) nearest = argmin(s, s->admits);
  if (role < 0 || !has(must_admit ? s->admits : s->holds, role)) return nearest;
  const double lead = s->distances[role] - s->distances[nearest];
  const bool leads = lead > m->lead_twice * m->form.separation[role][nearest] + 1e-12;
  return leads && nearest != left && !none ? nearest : role;
}

/* Roles of at least a level, or at most one. */
static uint32_t roles_from(int32_t level) {
  uint32_t roles = 0;
  for (int32_t role = 0; role < SEG_ROLES; role++) roles |= (uint32_t)(levels[role] >= level) << role;
  return roles;
}

static uint32_t roles_up_to(int32_t level) {
  uint32_t roles = 0;
  for (int32_t role = 0; role < SEG_ROLES; role++) roles |= (uint32_t)(levels[role] <= level) << role;
  return roles;
}

static int32_t kept_role(const seg_segmentation *s, const seg_held *held) {
  const int32_t kept = seg_target_of(s, held->kept);
  return kept < SEG_ROLES ? kept : SEG_NOWHERE;
}

/* Who has come, and whom nothing has led out of being new. */
static bool is_new(const model *m, const seg_activity *a, int64_t at_ms, int32_t target) {
  return (target == NEW || target == SEG_NOWHERE) && a->purchases <= 1 && seg_tenure_days(a, at_ms) < m->form.new_days;
}

static bool is_silent_enough(const seg_patience *patience, double recency_days, int32_t target) {
  switch (target) {
    case AT_RISK:
    case ONE_TIME: return recency_days >= patience->risk_days_min;
    case HIBERNATING: return recency_days >= patience->lapsed_days_min;
    case LOST: return recency_days >= patience->lost_days;
    default: return recency_days >= 0.0;
  }
}

/* A customer whom no act of its own has just made active. */
typedef struct placed {
  int32_t target; /* the segment it is in */
  int32_t role;   /* its role, or the one that it had when it became at risk */
  int32_t chosen; /* the role that it would have if it were active */
  bool is_rare;   /* whether what Occasional says is true of it */
} placed;

static int32_t lapsed_target(const model *m, const seg_activity *a, double recency_days) {
  if (a->purchases <= 1) return ONE_TIME;
  return recency_days >= m->form.patience.lost_days ? LOST : HIBERNATING;
}

/* Where it belongs; not asked of who is new. */
static int32_t place(const model *m, const seg_activity *a, int64_t at_ms, const seg_held *held, placed who) {
  const seg_patience *patience = &m->form.patience;
  const silences of = silences_for(m, a);
  const double risk = risk_of(&of), lapses = lapsed_of(&of, risk);
  const int32_t by_dates = at_ms >= silent_for(a, lapses) ? LAPSED : at_ms >= silent_for(a, risk) ? RISK : ACTIVE;
  const double recency_days = seg_recency_days(a, at_ms);
  const bool ordered_once = a->purchases <= 1;
  /* A silence goes on under every version, unless it is shorter than what the segment says of its members. */
  const bool goes_on = seg_last_act_ms(a) <= held->since_ms &&
                       is_silent_enough(patience, recency_days, who.target) &&
                       (ordered_once || who.target != ONE_TIME);
  const int32_t stage = goes_on && stage_of(who.target) > by_dates ? stage_of(who.target) : by_dates;
  if (stage == LAPSED)
    return goes_on && stage_of(who.target) == LAPSED ? who.target : lapsed_target(m, a, recency_days);
  if (stage == ACTIVE) return who.chosen;
  /* Who is in no role yet has nothing to be at risk of. */
  if (ordered_once && who.role == SEG_NOWHERE && stage_of(who.target) == ACTIVE) {
    if (at_ms >= silent_for(a, one_time_of(&of))) return ONE_TIME;
    return who.is_rare ? OCCASIONAL : who.chosen;
  }
  return who.role == OCCASIONAL && who.is_rare ? OCCASIONAL : AT_RISK;
}

/* --- the three questions --- */

static seg_decision decide(int32_t target, int32_t held_target) {
  return (seg_decision){target, target != held_target};
}

seg_decision seg_learned_acts(const seg_segmentation *s, const seg_activity *a, int64_t at_ms, const seg_held *held) {
  const model *m = s->own;
  const int32_t from = seg_target_of(s, held->segment);
  if (is_new(m, a, at_ms, from)) return decide(NEW, from);
  const bool was_lapsed = stage_of(from) > ACTIVE;
  const int32_t role = is_role(from) ? from : was_lapsed ? kept_role(s, held) : SEG_NOWHERE;
  const int32_t least = is_role(from) || from == NEW ? levels[from] : levels[OCCASIONAL];
  const bool barred = is_role(from) && (double)seg_passed_ms(at_ms, held->since_ms) < m->no_return_ms;
  const int32_t left = barred ? seg_target_of(s, held->previous) : SEG_NOWHERE;
  const standing stands = stand(m, a, at_ms);
  const int32_t chosen = choose(m, &stands, role, roles_from(least), left, was_lapsed);
  if (seg_last_act_ms(a) >= at_ms) return decide(chosen, from);
  /* A refund, or what is heard of late, is no sign of life: it does not end a silence. Nor is it one: whom it shows to
   * be overdue is moved by silence, a millisecond later. */
  const placed who = {from, role, chosen, has(stands.holds, OCCASIONAL)};
  const int32_t belongs = place(m, a, at_ms, held, who);
  const bool falls = from != SEG_NOWHERE && !was_lapsed && stage_of(belongs) > ACTIVE;
  return decide(falls ? chosen : belongs, from);
}

/* Where a customer goes whose role, or being new, has ended by silence. */
static int32_t next_role(const model *m, const seg_activity *a, int64_t at_ms, int32_t from, bool is_overdue) {
  const standing stands = stand(m, a, at_ms);
  uint32_t allowed = roles_up_to(levels[from]);
  if (is_role(from)) allowed &= ~(1u << from);
  bool none;
  const int32_t nearest = nearest_of(&stands, allowed, &none);
  return none || (is_overdue && has(stands.holds, OCCASIONAL)) ? OCCASIONAL : nearest;
}

static int64_t role_ends_ms(const model *m, const seg_activity *a, int32_t role) {
  const double fails = fails_ms(m, a, role);
  return fails > (double)SEG_NEVER ? SEG_NEVER : ceil_ms(fails);
}

static int64_t at_least_ms(int64_t at_ms, int64_t least_ms) { return at_ms > least_ms ? at_ms : least_ms; }

/* Of who has lapsed, or may next: the one date that there is. */
static seg_due silence_of_stages(const model *m, const seg_activity *a, int32_t from, int64_t least_ms) {
  if (from != OCCASIONAL && from != AT_RISK && from != HIBERNATING)
    return (seg_due){at_least_ms(SEG_NEVER, least_ms), SEG_NOWHERE, 0};
  const silences of = silences_for(m, a);
  if (from == HIBERNATING) return (seg_due){at_least_ms(silent_for(a, lost_of(&of)), least_ms), LOST, 0};
  const int64_t lapses_ms = silent_for(a, lapsed_of(&of, risk_of(&of)));
  return (seg_due){at_least_ms(lapses_ms, least_ms), a->purchases > 1 ? HIBERNATING : ONE_TIME, 0};
}

/* Of who is new: until then, and no longer, whatever its silence tells by then. */
static seg_due silence_of_new(const model *m, const seg_activity *a, int64_t least_ms, int64_t by_ms) {
  const int64_t until_ms = new_until_ms(m, a), at_ms = at_least_ms(until_ms, least_ms);
  if (at_ms > by_ms) return (seg_due){at_ms, ONE_TIME, 0};
  const silences of = silences_for(m, a);
  if (until_ms >= silent_for(a, one_time_of(&of))) return (seg_due){at_ms, ONE_TIME, 0};
  return (seg_due){at_ms, next_role(m, a, at_ms, NEW, at_ms >= silent_for(a, risk_of(&of))), 0};
}

static seg_due silence_of_role(const model *m, const seg_activity *a, int32_t from, int64_t least_ms, int64_t by_ms) {
  const silences of = silences_for(m, a);
  const int64_t risk_ms = silent_for(a, risk_of(&of)), ends_ms = role_ends_ms(m, a, from);
  if (ends_ms >= risk_ms) return (seg_due){at_least_ms(risk_ms, least_ms), AT_RISK, 0};
  const int64_t at_ms = at_least_ms(ends_ms, least_ms);
  if (at_ms > by_ms) return (seg_due){at_ms, AT_RISK, 0};
  return (seg_due){at_ms, next_role(m, a, at_ms, from, at_ms >= risk_ms), 0};
}

seg_due seg_learned_silence(const seg_segmentation *s, const seg_activity *a, const seg_held *held, int64_t after_ms,
                            int64_t by_ms) {
  const int32_t from = seg_target_of(s, held->segment);
  const int64_t least_ms = seg_later_ms(after_ms, 1);
  if (from == NEW) return silence_of_new(s->own, a, least_ms, by_ms);
  if (from > OCCASIONAL && from < NEW) return silence_of_role(s->own, a, from, least_ms, by_ms);
  return silence_of_stages(s->own, a, from, least_ms);
}

seg_decision seg_learned_revise(const seg_segmentation *s, const seg_activity *a, int64_t at_ms, const seg_held *held) {
  const model *m = s->own;
  const int32_t from = seg_target_of(s, held->segment);
  if (is_new(m, a, at_ms, from)) return decide(NEW, from);
  const standing stands = stand(m, a, at_ms);
  const int32_t role = is_role(from) ? from : from == AT_RISK ? kept_role(s, held) : SEG_NOWHERE;
  const bool stays = is_role(from) && has(stands.holds, from);
  const int32_t chosen = stays ? role : choose(m, &stands, role, ALL_ROLES, SEG_NOWHERE, false);
  const placed who = {from, role, chosen, has(stands.holds, OCCASIONAL)};
  return decide(place(m, a, at_ms, held, who), from);
}

static bool is_untrue(const model *m, const seg_activity *a, int64_t at_ms, int32_t target) {
  if (target < 0) return false;
  if (is_role(target)) {
    double axes[3];
    axes_of(m, a, at_ms, axes);
    return !has(holds_at(m, axes), target);
  }
  return !is_silent_enough(&m->form.patience, seg_recency_days(a, at_ms), target) ||
         ((target == NEW || target == ONE_TIME) && a->purchases > 1) ||
         (target == NEW && seg_tenure_days(a, at_ms) >= m->form.new_days);
}

/* --- the model --- */

static void prepare(model *m) {
  const seg_learned *form = &m->form;
  for (int32_t gaps = 0; gaps <= SEG_ACTIVITY_WINDOW_DAYS; gaps++) m->gap_weights[gaps] = gap_weight(gaps);
  m->weighs_engagement = form->weights[ENGAGEMENT] != 0.0;
  for (int32_t role = 0; role < SEG_ROLES; role++) {
    const double comes = form->statements.engagement_min[role];
    m->orders_min[role] = bound_of(form->statements.orders_min[role], order_prior, order_full);
    m->engagement_min[role] = bound_of(comes, engagement_prior, engagement_full);
    m->weighs_engagement |= comes != infinity && comes != -infinity;
  }
  const rhythm without_gaps = rhythm_from(&form->rhythm, false, gap_weight(0.0), 0.0, 0.0);
  m->without_gaps = silences_of(&without_gaps, &form->patience);
  m->lead_twice = 2 * form->hysteresis;
  m->no_return_ms = form->no_return_days * (double)SEG_DAY_MS;
  m->new_ms = length_ms(form->new_days);
}

struct seg_learned_model *seg_learned_new(const void *form, int64_t size, int32_t target_count) {
  if (size != (int64_t)sizeof(seg_learned) || target_count != TARGETS) return NULL;
  model *m = malloc(sizeof *m);
  if (!m) return NULL;
  memcpy(&m->form, form, sizeof m->form);
  if (m->form.admits < 0 || (uint32_t)m->form.admits > ALL_ROLES) {
    free(m);
    return NULL;
  }
  prepare(m);
  return m;
}

void seg_learned_free(struct seg_learned_model *m) { free(m); }

const seg_rhythm *seg_learned_rhythm(const seg_segmentation *s) {
  return s && s->kind == SEG_KIND_LEARNED ? &((const model *)s->own)->form.rhythm : NULL;
}

/* --- the same formulas, of many customers --- */

void seg_ask_axes(int64_t n, const seg_quantities *quantities, int32_t knows_order_value, double log_order_value,
                  double *out) {
  for (int64_t i = 0; i < n; i++) {
    const seg_quantities *q = &quantities[i];
    double *axes = &out[3 * i];
    axes[ORDERS] = order_axis(q->repeat_orders, q->tenure_days);
    axes[ENGAGEMENT] = engagement_axis(q->engaged_days, q->tenure_days);
    axes[VALUE] = knows_order_value ? value_axis(q->log_order_values, q->purchases, log_order_value) : 0.0;
  }
}

void seg_ask_distances(int64_t n, const double *axes, const double *weights, const double *centres, double *out) {
  for (int64_t i = 0; i < n; i++) distances_of(&axes[3 * i], weights, centres, &out[SEG_ROLES * i]);
}

void seg_ask_hold(int64_t n, const double *axes, const seg_statements *statements, uint8_t *out) {
  for (int64_t i = 0; i < n; i++) {
    const uint32_t holds = true_roles(statements, &axes[3 * i]);
    for (int32_t role = 0; role < SEG_ROLES; role++) out[SEG_ROLES * i + role] = has(holds, role);
  }
}

void seg_ask_rhythm(int64_t n, const seg_quantities *quantities, const seg_rhythm *population, seg_own_rhythm *out) {
  for (int64_t i = 0; i < n; i++) {
    const seg_quantities *q = &quantities[i];
    out[i] = rhythm_from(population, q->gaps > 0, gap_weight(q->gaps), q->log_gaps, q->log_gaps_squared).own;
  }
}

static rhythm known_of(const seg_own_rhythm *own) {
  return (rhythm){*own, seg_exp(own->log_scale), 1 / own->regularity};
}

void seg_ask_usual_gap(int64_t n, const seg_own_rhythm *own, double *out_days) {
  for (int64_t i = 0; i < n; i++) out_days[i] = usual_gap_days(seg_exp(own[i].log_scale), 1 / own[i].regularity);
}

void seg_ask_survival(int64_t n, const seg_own_rhythm *own, const double *silence, double *out) {
  for (int64_t i = 0; i < n; i++) out[i] = survival(&own[i], silence[i]);
}

void seg_ask_probability_active(int64_t n, const seg_own_rhythm *own, const double *silence, double *out) {
  for (int64_t i = 0; i < n; i++) {
    const double alive = (1 - own[i].stopped) * survival(&own[i], silence[i]);
    out[i] = alive / (alive + own[i].stopped);
  }
}

void seg_ask_silence_days(int64_t n, const seg_own_rhythm *own, double probability, double *out_days) {
  for (int64_t i = 0; i < n; i++) {
    const rhythm known = known_of(&own[i]);
    out_days[i] = silence_days(&known, probability);
  }
}

void seg_ask_silences(int64_t n, const seg_own_rhythm *own, const seg_patience *patience, seg_silences *out) {
  for (int64_t i = 0; i < n; i++) {
    const rhythm known = known_of(&own[i]);
    out[i] = silences_of(&known, patience);
  }
}

int32_t seg_ask_untrue(const seg_segmentation *s, int64_t n, const seg_activity *activity, const int64_t *at_ms,
                       const seg_held *held, uint8_t *out) {
  if (s->kind != SEG_KIND_LEARNED) return SEG_OUT_OF_RANGE;
  for (int64_t i = 0; i < n; i++)
    out[i] = is_untrue(s->own, &activity[i], at_ms[i], seg_target_of(s, held[i].segment));
  return SEG_OK;
}
