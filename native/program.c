/* All rules of a partition, asked about one customer at an instant: where it belongs in each, and until when for sure.
 *
 * Theory. A program is literals (literals.c), nodes that join them, and rules. Edges carry a sign, so there is no node
 * for "not", and "any" is "not all not". Membership in another segmentation by rules is the very node that decides it:
 * what a layer below decides and what is built on it turn at the same instant by construction.
 *
 * Due. Each condition has an instant before which silence does not turn it. Of "all", while it is true, that is the
 * earliest of its parts'; while it is false, the latest of those parts that are false, as each of them keeps it false by
 * itself. Of points it is the earliest. A customer's due instant is the earliest of the rules'. For every instant before
 * it, memberships stay as they are *whatever* the literals are that have turned by then (by induction over the nodes).
 * So an event that leaves every literal on its series as it was, and makes none of them turn sooner, changes no
 * membership and leaves the due instant valid: most events need no evaluation. "n or more in the last D" can only be
 * prolonged by an event; other literals bring the due instant forward to where they turn.
 *
 * A bound is not an exact instant: where nobody moves at it, the next one is asked for. seg_program_silence does so
 * until somebody moves, STEPS_MAX times at most.
 *
 * Membership in a segmentation by rules "for D" is a node, not a literal: the customer's place says since when, unless
 * this very evaluation moves it there: then it begins now. Where silence is followed from instant to instant, it is
 * remembered when each such segment was entered on the way, and looked at whenever one may be left or entered.
 *
 * Bounds: nothing is allocated; time is linear in literals and edges. Values of rows may be anything. */
#include "program.h"

#define STEPS_MAX 1000
#define NOT_ASKED INT64_MIN /* instants at which segments were entered */
#define OUTSIDE INT64_MAX

static inline int64_t earlier(int64_t one, int64_t other) { return one < other ? one : other; }
static inline int64_t later_of(int64_t one, int64_t other) { return one > other ? one : other; }
static int64_t added(int64_t at_ms, int64_t ms) {
  int64_t sum;
  return __builtin_add_overflow(at_ms, ms, &sum) || sum > SEG_NEVER ? SEG_NEVER : sum;
}

/* --- nodes --- */

static bool all_holds(const seg_program *p, const seg_node *node, const seg_verdicts *v, int64_t *turns_ms) {
  int64_t first_ms = SEG_NEVER, last_ms = INT64_MIN;
  bool holds = true;
  for (const seg_edge *edge = p->edges + node->first_edge, *end = edge + node->edge_count; edge < end; edge++) {
    const int64_t at_ms = v->turns_ms[edge->to >> 1];
    if (v->holds[edge->to >> 1] ^ (edge->to & 1)) {
      first_ms = earlier(first_ms, at_ms);
    } else {
      holds = false;
      last_ms = later_of(last_ms, at_ms);
    }
  }
  *turns_ms = holds ? first_ms : last_ms;
  return holds;
}

static bool points_hold(const seg_program *p, const seg_node *node, const seg_verdicts *v, int64_t *turns_ms) {
  int64_t points = 0;
  *turns_ms = SEG_NEVER;
  for (const seg_edge *edge = p->edges + node->first_edge, *end = edge + node->edge_count; edge < end; edge++) {
    if (v->holds[edge->to >> 1] ^ (edge->to & 1)) points += edge->points;
    *turns_ms = earlier(*turns_ms, v->turns_ms[edge->to >> 1]);
  }
  return points >= node->least;
}

static int32_t code_of(const seg_program *p, int32_t r, int32_t root) {
  const seg_rule *rule = &p->rules[r];
  return root < rule->root_count ? p->roots[rule->first_root + root].code : rule->otherwise_code;
}

/* Since when a customer that is in a segment by rules is in it: as its place says, or since this very evaluation. */
static int64_t held_since(const seg_asked *asked, const seg_node *node) {
  const seg_subject *who = asked->subject;
  const seg_program *p = asked->program;
  const bool was_in = who->places[node->rule * who->stride].segment == code_of(p, node->rule, node->root);
  return was_in ? who->since_ms[p->rules[node->rule].since * who->stride] : asked->now_ms;
}

/* The same where silence is followed through several evaluations, of which places know nothing. */
static int64_t followed_since(const seg_asked *asked, const seg_node *node, int64_t *entered_ms) {
  if (*entered_ms == NOT_ASKED) *entered_ms = held_since(asked, node);
  if (*entered_ms == OUTSIDE) *entered_ms = asked->now_ms;
  return *entered_ms;
}

static bool held_long(const seg_asked *asked, int32_t index, const seg_verdicts *v, int64_t *turns_ms) {
  const seg_node *node = &asked->program->nodes[index];
  const int32_t to = asked->program->edges[node->first_edge].to;
  int64_t *entered_ms = asked->entered_ms ? &asked->entered_ms[index] : NULL;
  *turns_ms = v->turns_ms[to >> 1];
  if (!(v->holds[to >> 1] ^ (to & 1))) {
    if (entered_ms)
      *entered_ms = OUTSIDE;
    else
      *turns_ms = added(*turns_ms, node->least);
    return false;
  }
  const int64_t since_ms = entered_ms ? followed_since(asked, node, entered_ms) : held_since(asked, node);
  const int64_t from_ms = added(since_ms, node->least);
  if (from_ms <= asked->now_ms) return true;
  *turns_ms = entered_ms ? earlier(*turns_ms, from_ms) : from_ms;
  return false;
}

static void judge_node(const seg_asked *asked, int32_t index, seg_verdicts *v) {
  const seg_program *p = asked->program;
  const seg_node *node = &p->nodes[index];
  int64_t *turns_ms = &v->turns_ms[p->count.literals + index];
  uint8_t *holds = &v->holds[p->count.literals + index];
  switch (node->kind) {
    case SEG_NODE_ALL: *holds = all_holds(p, node, v, turns_ms); break;
    case SEG_NODE_POINTS: *holds = points_hold(p, node, v, turns_ms); break;
    default: *holds = held_long(asked, index, v, turns_ms); break;
  }
}

static void judge_all(seg_asked *asked, seg_verdicts *v) {
  const seg_program *p = asked->program;
  for (int32_t i = 0; i < p->count.literals; i++) v->holds[i] = seg_holds(asked, &p->literals[i], &v->turns_ms[i]);
  for (int32_t i = 0; i < p->count.nodes; i++) judge_node(asked, i, v);
}

void seg_judge(seg_asked *asked, int32_t r, seg_verdicts *v) {
  const seg_program *p = asked->program;
  const uint64_t *scope = p->scopes + (int64_t)r * p->scope_words;
  if (r < 0) {
    judge_all(asked, v);
    return;
  }
  for (int32_t word = 0; word < p->scope_words; word++)
    for (uint64_t left = scope[word]; left; left &= left - 1) {
      const int32_t i = word * 64 + __builtin_ctzll(left);
      if (i < p->count.literals)
        v->holds[i] = seg_holds(asked, &p->literals[i], &v->turns_ms[i]);
      else
        judge_node(asked, i - p->count.literals, v);
    }
}

/* --- rules --- */

int32_t seg_target_of_rule(const seg_program *p, int32_t r, const seg_verdicts *v, int64_t *due_ms) {
  const seg_rule *rule = &p->rules[r];
  const seg_root *roots = p->roots + rule->first_root;
  *due_ms = SEG_NEVER;
  for (int32_t i = 0; i < rule->root_count; i++) {
    *due_ms = earlier(*due_ms, v->turns_ms[roots[i].to >> 1]);
    if (v->holds[roots[i].to >> 1] ^ (roots[i].to & 1)) return i;
  }
  return rule->otherwise;
}

static int16_t code_of_target(const seg_program *p, int32_t r, int32_t target) {
  const seg_rule *rule = &p->rules[r];
  const bool is_root = target >= 0 && target < rule->root_count;
  return (int16_t)(is_root ? p->roots[rule->first_root + target].code : rule->otherwise_code);
}

void seg_program_evaluate(const seg_program *p, const seg_subject *subject, int64_t now_ms, int32_t *targets,
                          int16_t *codes, uint64_t *bits, int64_t bits_stride, int64_t *due_ms) {
  seg_asked asked;
  seg_verdicts v;
  seg_ask(&asked, p, subject, now_ms);
  judge_all(&asked, &v);
  for (int32_t word = 0; word < p->shape.words; word++) {
    const int32_t first = word * 64, count = p->count.literals - first < 64 ? p->count.literals - first : 64;
    uint64_t all = 0;
    for (int32_t i = 0; i < count; i++) all |= (uint64_t)v.holds[first + i] << i;
    bits[word * bits_stride] = all;
  }
  *due_ms = SEG_NEVER;
  for (int32_t r = 0; r < p->count.rules; r++) {
    int64_t rule_due_ms;
    targets[r] = seg_target_of_rule(p, r, &v, &rule_due_ms);
    codes[r] = code_of_target(p, r, targets[r]);
    *due_ms = earlier(*due_ms, rule_due_ms);
  }
}

/* --- events that move nobody --- */

/* Whether an event can only make the literal turn later, as long as it is as it was. */
static bool is_only_prolonged(const seg_literal *l) {
  return (l->kind == SEG_IS_COUNT && l->a == 0) || l->kind == SEG_IS_SEQUENCE;
}

static bool has_turned(seg_asked *asked, int32_t literal, const uint64_t *bits, int64_t stride, int64_t *due_ms) {
  const seg_literal *l = &asked->program->literals[literal];
  int64_t turns_ms;
  const bool holds = seg_holds(asked, l, &turns_ms);
  if (holds != (bits[literal / 64 * stride] >> (literal % 64) & 1)) return true;
  if (!is_only_prolonged(l)) *due_ms = earlier(*due_ms, turns_ms);
  return false;
}

static bool any_has_turned(seg_asked *asked, const int32_t *literals, int32_t first, int32_t end, const uint64_t *bits,
                           int64_t stride, int64_t *due_ms) {
  for (int32_t i = first; i < end; i++)
    if (has_turned(asked, literals[i], bits, stride, due_ms)) return true;
  return false;
}

bool seg_program_may_move(const seg_program *p, const seg_subject *subject, int64_t now_ms, const seg_touched *touched,
                          const uint64_t *bits, int64_t bits_stride, int64_t *due_ms) {
  if (touched->must_evaluate || *due_ms <= now_ms) return true;
  if (!touched->any && !touched->activity && !touched->traits) return false;
  seg_asked asked;
  int64_t due = *due_ms;
  seg_ask(&asked, p, subject, now_ms);
  for (int32_t word = 0; word < (p->count.series + 63) / 64; word++)
    for (uint64_t left = touched->series[word]; left; left &= left - 1) {
      const int32_t series = word * 64 + __builtin_ctzll(left);
      if (series >= p->count.series) return true;
      const int32_t first = p->series_first[series], end = p->series_first[series + 1];
      if (any_has_turned(&asked, p->on_series, first, end, bits, bits_stride, &due)) return true;
    }
  if (touched->traits && any_has_turned(&asked, p->watched, 0, p->traits_end, bits, bits_stride, &due)) return true;
  if (touched->activity &&
      any_has_turned(&asked, p->watched, p->traits_end, p->activity_end, bits, bits_stride, &due))
    return true;
  *due_ms = due;
  return due <= now_ms;
}

/* --- silence --- */

seg_due seg_program_silence(const seg_program *p, const seg_subject *subject, int32_t r, int64_t after_ms,
                            int64_t by_ms) {
  seg_asked asked;
  seg_verdicts v;
  int64_t due_ms, entered_ms[SEG_NODES_MAX];
  for (int32_t i = 0; i < p->count.nodes; i++) entered_ms[i] = NOT_ASKED;
  seg_ask(&asked, p, subject, after_ms);
  asked.entered_ms = entered_ms;
  seg_judge(&asked, r, &v);
  const int32_t present = seg_target_of_rule(p, r, &v, &due_ms);
  for (int32_t step = 0; step < STEPS_MAX && due_ms <= by_ms && due_ms < SEG_NEVER; step++) {
    const int64_t at_ms = due_ms;
    seg_ask_later(&asked, at_ms);
    seg_judge(&asked, r, &v);
    const int32_t target = seg_target_of_rule(p, r, &v, &due_ms);
    if (target != present) return (seg_due){at_ms, target, 0};
  }
  return (seg_due){due_ms, present, 0};
}
