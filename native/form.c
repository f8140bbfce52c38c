/* The form of a program, checked completely: see program.h for what it is made of.
 *
 * Contract. Whatever bytes are handed over, either they are refused or no question about any customer reads beyond a
 * list, overflows, or goes in circles. So every place, size and index is checked here, and evaluation checks none.
 *
 * Bounds: the counts at the top; a node refers to what stands before it only, so one pass in order evaluates all. */
#include "program.h"

#include <stdlib.h>

#define LIST_MAX (1 << 24)
#define DAYS_LIMIT 36600
#define MS_LIMIT (INT64_C(1) << 60)
#define BUCKETS_MAX 1024
#define TYPE_MAX 512
#define BEHIND_MAX (2 * 86400)

static bool is_range(int64_t first, int64_t count, int64_t total) {
  return first >= 0 && count >= 0 && count <= total && first <= total - count;
}
static bool is_index(int64_t index, int64_t total) { return index >= 0 && index < total; }
static bool is_index_or_none(int64_t index, int64_t total) { return index >= -1 && index < total; }
static bool is_finite(double x) { return x - x == 0.0; }
static bool is_text(const seg_program *p, int64_t at, int64_t size) { return is_range(at, size, p->count.text_size); }
static bool is_reference(const seg_program *p, int32_t to, int64_t nodes) {
  return to >= 0 && to >> 1 < p->count.literals + nodes;
}

/* --- series and selectors --- */

static bool are_tests_of_events(const seg_program *p, int32_t first, int32_t count) {
  if (!is_range(first, count, p->count.tests)) return false;
  for (int32_t i = first; i < first + count; i++) {
    const int32_t field = p->tests[i].field;
    if (!is_index(field, p->count.fields) && field != SEG_OF_AMOUNT && field != SEG_OF_TYPE) return false;
  }
  return true;
}

static bool is_series(const seg_program *p, const seg_kept_series *s) {
  if (!is_index(s->number, SEG_SERIES_MAX) || !is_index(s->keep, SEG_KEEPS)) return false;
  if (s->newest < 1 || s->newest > SEG_COUNT_MAX || s->spread < 0 || s->spread > SEG_COUNT_MAX) return false;
  if (s->width_ms < 0 || s->width_ms > MS_LIMIT || s->horizon_ms < 1 || s->horizon_ms > SEG_NEVER) return false;
  if (!are_tests_of_events(p, s->first_test, s->test_count)) return false;
  if (!is_index_or_none(s->zone, p->count.zones) || !is_index_or_none(s->trait, p->count.traits)) return false;
  switch (s->keep) {
    case SEG_KEEP_DAYS: return s->zone >= 0 && s->spread >= 1;
    case SEG_KEEP_VALUES: return s->width_ms >= 1 && s->horizon_ms / s->width_ms <= BUCKETS_MAX;
    case SEG_KEEP_DECAYED: return is_finite(s->half_life_ms) && s->half_life_ms > 0;
    case SEG_KEEP_OBSERVED: return s->trait >= 0;
    default: return true;
  }
}

static bool is_selector(const seg_program *p, const seg_selector *s) {
  if (!is_text(p, s->type_at, s->type_size) || s->type_size > TYPE_MAX) return false;
  if (!are_tests_of_events(p, s->first_test, s->test_count)) return false;
  if (!is_range(s->first_feed, s->feed_count, p->count.feeds)) return false;
  return is_index(s->value, p->count.fields) || s->value == SEG_OF_NOTHING || s->value == SEG_OF_AMOUNT ||
         s->value == SEG_OF_ONE;
}

static bool is_test(const seg_program *p, const seg_test *t) {
  if (!is_index(t->test, SEG_TESTS) || t->number != t->number) return false;
  return t->test == SEG_TEST_AMONG ? is_range(t->at, t->size, p->count.hashes) : is_text(p, t->at, t->size);
}

static bool are_sources(const seg_program *p) {
  for (int32_t i = 0; i < p->count.tests; i++)
    if (!is_test(p, &p->tests[i])) return false;
  for (int32_t i = 0; i < p->count.series; i++)
    if (!is_series(p, &p->series[i])) return false;
  for (int32_t i = 0; i < p->count.selectors; i++)
    if (!is_selector(p, &p->selectors[i])) return false;
  for (int32_t i = 0; i < p->count.feeds; i++)
    if (!is_index(p->feeds[i], p->count.series)) return false;
  return true;
}

static bool are_names(const seg_program *p, const seg_form_name *names, int32_t count) {
  for (int32_t i = 0; i < count; i++)
    if (!is_text(p, names[i].at, names[i].size) || names[i].size > UINT8_MAX) return false;
  return true;
}

static bool are_zones(const seg_program *p) {
  for (int32_t i = 0; i < p->count.zones; i++) {
    const seg_zone *zone = &p->zones[i];
    if (!is_range(zone->first_run, zone->run_count, p->count.runs) || zone->run_count < 1) return false;
    for (int32_t j = zone->first_run; j < zone->first_run + zone->run_count; j++) {
      const seg_zone_run *run = &p->runs[j];
      if (run->behind < -BEHIND_MAX || run->behind > BEHIND_MAX) return false;
      if (j > zone->first_run && run->day <= run[-1].day) return false;
    }
  }
  return true;
}

/* --- literals --- */

static bool keeps(const seg_program *p, int32_t series, int32_t keep) {
  return is_index(series, p->count.series) && p->series[series].keep == keep;
}

static bool is_window(const seg_program *p, const seg_literal *l) {
  if (l->zone >= 0 && (l->a > 1 || l->days < 1)) return false;
  if (l->kind == SEG_IS_COUNT)
    return l->n >= 1 && l->n <= SEG_COUNT_MAX &&
           (keeps(p, l->series, SEG_KEEP_INSTANTS) || keeps(p, l->series, SEG_KEEP_DAYS));
  if (l->what == SEG_WHAT_LEAST) return keeps(p, l->series, SEG_KEEP_LEAST);
  if (l->what == SEG_WHAT_GREATEST) return keeps(p, l->series, SEG_KEEP_GREATEST);
  return (l->what == SEG_WHAT_SUM || l->what == SEG_WHAT_AVERAGE) && keeps(p, l->series, SEG_KEEP_VALUES);
}

static bool is_on_trait(const seg_program *p, const seg_literal *l) {
  if (!is_index(l->trait, p->count.traits)) return false;
  switch (l->kind) {
    case SEG_IS_DATE: return is_index(l->what, SEG_DATES);
    case SEG_IS_ROUND: return l->zone >= 0 && l->days <= 366;
    case SEG_IS_HELD:
      return is_index(l->test, p->count.tests) && keeps(p, l->series, SEG_KEEP_OBSERVED) &&
             p->series[l->series].trait == l->trait;
    default: return is_index(l->test, p->count.tests);
  }
}

static bool is_literal(const seg_program *p, const seg_literal *l) {
  if (l->a < 0 || l->a > MS_LIMIT || !is_index_or_none(l->zone, p->count.zones)) return false;
  if (l->kind == SEG_IS_DATE ? (l->b < -MS_LIMIT || l->b > MS_LIMIT) : (l->b < 0 || l->b > SEG_NEVER)) return false;
  if (l->days < 0 || l->days > DAYS_LIMIT || !is_finite(l->number) || !is_index(l->compare, SEG_KNOWN + 1))
    return false;
  switch (l->kind) {
    case SEG_IS_COUNT:
    case SEG_IS_PILE: return is_window(p, l);
    case SEG_IS_TOTAL: return l->n >= 1 && keeps(p, l->series, SEG_KEEP_COUNT);
    case SEG_IS_TOTALS: return is_index(l->what, SEG_WHATS) && keeps(p, l->series, SEG_KEEP_TOTALS);
    case SEG_IS_FIRST: return keeps(p, l->series, SEG_KEEP_OLDEST);
    case SEG_IS_SEQUENCE: return keeps(p, l->series, SEG_KEEP_INSTANTS) && keeps(p, l->other, SEG_KEEP_INSTANTS);
    case SEG_IS_DECAYED: return keeps(p, l->series, SEG_KEEP_DECAYED);
    case SEG_IS_LAST: return keeps(p, l->series, SEG_KEEP_LAST);
    case SEG_IS_FIGURE: return is_index(l->what, SEG_FIGURES) && l->other >= -1 && l->other < SEG_RULES_MAX;
    case SEG_IS_HELD:
    case SEG_IS_TRAIT:
    case SEG_IS_DATE:
    case SEG_IS_ROUND: return is_on_trait(p, l);
    case SEG_IS_MEMBER: return is_index(l->other, SEG_RULES_MAX) && l->n >= 1 && l->n <= SEG_CODE_MAX;
    case SEG_IS_LISTED: return is_range(l->other, l->n, p->count.hashes);
    case SEG_IS_DRAWN: return is_text(p, l->other, l->n);
    default: return false;
  }
}

/* --- nodes and rules --- */

static bool is_node(const seg_program *p, int32_t index) {
  const seg_node *node = &p->nodes[index];
  if (!is_index(node->kind, SEG_NODE_HELD + 1) || !is_range(node->first_edge, node->edge_count, p->count.edges))
    return false;
  for (int32_t i = node->first_edge; i < node->first_edge + node->edge_count; i++)
    if (!is_reference(p, p->edges[i].to, index)) return false;
  if (node->kind != SEG_NODE_HELD) return true;
  if (node->edge_count != 1 || node->least < 0 || node->least > MS_LIMIT) return false;
  if (!is_index(node->rule, p->count.rules) || p->rules[node->rule].since < 0) return false;
  return is_index(node->root, p->rules[node->rule].root_count + 1);
}

static bool is_rule(const seg_program *p, const seg_rule *rule) {
  if (!is_range(rule->first_root, rule->root_count, p->count.roots) || rule->root_count > SEG_TARGETS_MAX) return false;
  if (rule->otherwise < SEG_NOWHERE || rule->otherwise >= SEG_TARGETS_MAX) return false;
  if (rule->otherwise_code < 0 || rule->otherwise_code > SEG_CODE_MAX) return false;
  return is_index_or_none(rule->since, p->count.rules) &&
         is_range(rule->first_condition, rule->condition_count, p->count.conditions);
}

static bool are_rules(const seg_program *p) {
  for (int32_t i = 0; i < p->count.rules; i++)
    if (!is_rule(p, &p->rules[i])) return false;
  for (int32_t i = 0; i < p->count.roots; i++) {
    if (!is_reference(p, p->roots[i].to, p->count.nodes)) return false;
    if (p->roots[i].code < 1 || p->roots[i].code > SEG_CODE_MAX) return false;
  }
  for (int32_t i = 0; i < p->count.conditions; i++) {
    const seg_condition *condition = &p->conditions[i];
    if (!is_reference(p, condition->to, p->count.nodes)) return false;
    if (!is_index_or_none(condition->measured, p->count.literals)) return false;
  }
  return true;
}

bool seg_form_is_valid(const seg_program *p) {
  if (!is_finite(p->count.minor_per_major) || !(p->count.minor_per_major >= 1)) return false;
  if (!are_names(p, p->fields, p->count.fields) || !are_names(p, p->traits, p->count.traits)) return false;
  if (!are_sources(p) || !are_zones(p) || !are_rules(p)) return false;
  for (int32_t i = 0; i < p->count.literals; i++)
    if (!is_literal(p, &p->literals[i])) return false;
  for (int32_t i = 0; i < p->count.nodes; i++)
    if (!is_node(p, i)) return false;
  return true;
}

/* --- reading --- */

static bool are_counts(const seg_form_header *count) {
  const int32_t most[] = {SEG_OWN_SERIES_MAX,  LIST_MAX,        LIST_MAX, LIST_MAX,      SEG_FIELD_NAMES_MAX,
                          SEG_TRAIT_NAMES_MAX, SEG_LITERALS_MAX, SEG_NODES_MAX, LIST_MAX, SEG_RULES_MAX,
                          LIST_MAX,            LIST_MAX,        LIST_MAX, LIST_MAX,      LIST_MAX};
  const int32_t counts[] = {count->series, count->selectors, count->feeds, count->tests,      count->fields,
                            count->traits, count->literals,  count->nodes, count->edges,      count->rules,
                            count->roots,  count->conditions, count->zones, count->runs,      count->hashes};
  for (size_t i = 0; i < sizeof most / sizeof *most; i++)
    if (counts[i] < 0 || counts[i] > most[i]) return false;
  return count->format == SEG_FORM && count->text_size >= 0 && count->text_size <= INT32_MAX;
}

/* Lists stand one after the other, each from a multiple of 8 bytes on. */
static void *next_list(uint8_t *memory, int64_t *at, int64_t count, size_t each) {
  void *list = memory ? memory + *at : NULL;
  *at += (count * (int64_t)each + 7) / 8 * 8;
  return list;
}

/* Where the lists are, behind the header; how many bytes they are. */
static int64_t set_lists(seg_program *p, uint8_t *memory) {
  const seg_form_header *n = &p->count;
  int64_t at = 0;
#define LIST(name, each) p->name = next_list(memory, &at, n->name, each)
  LIST(series, sizeof *p->series);
  LIST(selectors, sizeof *p->selectors);
  LIST(feeds, sizeof *p->feeds);
  LIST(tests, sizeof *p->tests);
  LIST(fields, sizeof *p->fields);
  LIST(traits, sizeof *p->traits);
  LIST(literals, sizeof *p->literals);
  LIST(nodes, sizeof *p->nodes);
  LIST(edges, sizeof *p->edges);
  LIST(rules, sizeof *p->rules);
  LIST(roots, sizeof *p->roots);
  LIST(conditions, sizeof *p->conditions);
  LIST(zones, sizeof *p->zones);
  LIST(runs, sizeof *p->runs);
  LIST(hashes, sizeof *p->hashes);
#undef LIST
  p->texts = next_list(memory, &at, n->text_size, 1);
  return at;
}

seg_program *seg_program_new(const void *form, int64_t size) {
  seg_form_header header;
  if (!form || size < (int64_t)sizeof header) return NULL;
  memcpy(&header, form, sizeof header);
  if (!are_counts(&header)) return NULL;
  seg_program *p = calloc(1, sizeof *p);
  if (!p) return NULL;
  p->count = header;
  const int64_t lists = set_lists(p, NULL);
  if (size == (int64_t)sizeof header + lists && (p->memory = malloc((size_t)lists + 8)) != NULL) {
    memcpy(p->memory, (const uint8_t *)form + sizeof header, (size_t)lists);
    set_lists(p, p->memory);
    if (seg_form_is_valid(p) && seg_program_index(p)) return p;
  }
  seg_program_free(p);
  return NULL;
}
