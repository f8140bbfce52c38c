/* Which conditions of a segmentation differ between two states of a customer, and what they compared.
 *
 * Contract. Conditions are the leaves of the definition, in its order; what one counts or compares is told as of both
 * states, as far as the series hold it: of "at least 3" no more than the newest 3 are there to be counted. Without a
 * state before, those that hold now are told.
 *
 * Bounds: SEG_FACTS_MAX facts, the first ones. Nothing is allocated. */
#include "program.h"

static bool holds(const seg_verdicts *v, int32_t to) { return v->holds[to >> 1] ^ (to & 1); }

static double measured(seg_asked *asked, const seg_condition *condition) {
  const seg_program *p = asked->program;
  return condition->measured < 0 ? __builtin_nan("") : seg_measure(asked, &p->literals[condition->measured]);
}

int32_t seg_program_explain(const seg_program *p, int32_t r, const seg_subject *before, int64_t before_ms,
                            const seg_subject *after, int64_t after_ms, seg_fact facts[SEG_FACTS_MAX]) {
  const seg_rule *rule = &p->rules[r];
  seg_asked then, now;
  seg_verdicts v;
  uint64_t held[(SEG_LITERALS_MAX + SEG_NODES_MAX) / 64];
  int32_t count = 0;
  if (before) {
    seg_ask(&then, p, before, before_ms);
    seg_judge(&then, r, &v);
    for (int32_t word = 0; word < p->scope_words; word++) held[word] = 0;
    for (int32_t i = 0; i < p->scope_words * 64 && i < p->count.literals + p->count.nodes; i++)
      held[i / 64] |= (uint64_t)(v.holds[i] & 1) << (i % 64) & p->scopes[(int64_t)r * p->scope_words + i / 64];
  }
  seg_ask(&now, p, after, after_ms);
  seg_judge(&now, r, &v);
  for (int32_t i = 0; i < rule->condition_count && count < SEG_FACTS_MAX; i++) {
    const seg_condition *condition = &p->conditions[rule->first_condition + i];
    const int32_t of = condition->to >> 1;
    const bool does = holds(&v, condition->to);
    const bool did = before && ((held[of / 64] >> (of % 64) & 1) ^ (uint64_t)(condition->to & 1));
    if (does == did) continue;
    facts[count++] = (seg_fact){.condition = i,
                                .held = before ? (int8_t)did : -1,
                                .holds = (int8_t)does,
                                .before = before ? measured(&then, condition) : __builtin_nan(""),
                                .after = measured(&now, condition)};
  }
  return count;
}
