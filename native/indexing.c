/* What is found once about a program, so that questions need not look for it: selectors by type, literals by what turns
 * them, and what each rule is made of. */
#include "program.h"

#include <stdlib.h>

static int32_t *new_indices(int64_t count, int32_t fill) {
  int32_t *list = malloc((size_t)(count + 1) * sizeof *list);
  for (int64_t i = 0; list && i <= count; i++) list[i] = fill;
  return list;
}

/* Chains are in the order of the selectors. */
static bool index_selectors(seg_program *p) {
  int32_t size = 16;
  while (size < 2 * p->count.selectors) size *= 2;
  p->type_mask = size - 1;
  p->first_prefix = -1;
  p->by_type = new_indices(size, -1);
  p->same_type = new_indices(p->count.selectors, -1);
  if (!p->by_type || !p->same_type) return false;
  for (int32_t i = p->count.selectors - 1; i >= 0; i--) {
    const seg_selector *s = &p->selectors[i];
    const uint64_t hash = seg_text_hash(p->texts + s->type_at, s->type_size);
    int32_t *first = s->is_prefix ? &p->first_prefix : &p->by_type[hash & (uint64_t)p->type_mask];
    p->same_type[i] = *first;
    *first = i;
  }
  return true;
}

/* No number and no trait twice, names of traits ascending. */
static bool index_series(seg_program *p) {
  p->observed = new_indices(p->count.traits, -1);
  if (!p->observed) return false;
  for (int32_t i = 0; i < SEG_SERIES_MAX; i++) p->local[i] = -1;
  for (int32_t i = 0; i < p->count.series; i++) {
    const seg_kept_series *s = &p->series[i];
    if (p->local[s->number] >= 0) return false;
    p->local[s->number] = (int16_t)i;
    if (s->number >= p->shape.series) p->shape.series = s->number + 1;
    if (s->keep != SEG_KEEP_OBSERVED) continue;
    if (p->observed[s->trait] >= 0) return false;
    p->observed[s->trait] = i;
  }
  for (int32_t i = 1; i < p->count.traits; i++) {
    const seg_form_name *one = &p->traits[i - 1], *next = &p->traits[i];
    const int32_t order =
        memcmp(p->texts + one->at, p->texts + next->at, (size_t)(one->size < next->size ? one->size : next->size));
    if (order > 0 || (order == 0 && one->size >= next->size)) return false;
  }
  return true;
}

static bool is_on_trait(const seg_literal *l) {
  return l->kind == SEG_IS_TRAIT || l->kind == SEG_IS_DATE || l->kind == SEG_IS_ROUND || l->kind == SEG_IS_HELD;
}

static bool reads_model(const seg_literal *l) { return l->kind == SEG_IS_FIGURE && l->other >= 0; }

static bool index_literals(seg_program *p) {
  const int32_t count = p->count.literals;
  p->series_first = new_indices(p->count.series, 0);
  p->on_series = new_indices(2 * (int64_t)count, 0);
  p->watched = new_indices(2 * (int64_t)count, 0);
  if (!p->series_first || !p->on_series || !p->watched) return false;
  int32_t used = 0, watched = 0;
  for (int32_t i = 0; i < p->count.series; i++) {
    for (int32_t j = 0; j < count; j++) {
      const seg_literal *l = &p->literals[j];
      if (is_on_trait(l) && l->kind != SEG_IS_HELD) continue;
      const bool is_first = l->kind != SEG_IS_FIGURE && l->kind < SEG_IS_MEMBER && l->series == i;
      const bool is_second = l->kind == SEG_IS_SEQUENCE && l->other == i && l->series != i;
      if (is_first || is_second) p->on_series[used++] = j;
    }
    p->series_first[i + 1] = used;
  }
  for (int32_t j = 0; j < count; j++)
    if (is_on_trait(&p->literals[j])) p->watched[watched++] = j;
  p->traits_end = watched;
  for (int32_t j = 0; j < count; j++)
    if (p->literals[j].kind == SEG_IS_FIGURE) p->watched[watched++] = j;
  p->activity_end = watched;
  for (int32_t j = 0; j < count; j++)
    p->shape.reads_segments |= p->literals[j].kind == SEG_IS_MEMBER || reads_model(&p->literals[j]);
  p->shape.reads_activity = p->activity_end > p->traits_end;
  return true;
}

static void mark(uint64_t *scope, int32_t to) { scope[(to >> 1) / 64] |= UINT64_C(1) << ((to >> 1) % 64); }

static bool index_rules(seg_program *p) {
  const int32_t literals = p->count.literals;
  p->scope_words = (literals + p->count.nodes + 63) / 64;
  p->scopes = calloc((size_t)p->count.rules * (size_t)p->scope_words + 1, sizeof *p->scopes);
  if (!p->scopes) return false;
  for (int32_t r = 0; r < p->count.rules; r++) {
    const seg_rule *rule = &p->rules[r];
    uint64_t *scope = p->scopes + (int64_t)r * p->scope_words;
    for (int32_t i = 0; i < rule->root_count; i++) mark(scope, p->roots[rule->first_root + i].to);
    for (int32_t i = 0; i < rule->condition_count; i++) mark(scope, p->conditions[rule->first_condition + i].to);
    for (int32_t i = p->count.nodes - 1; i >= 0; i--) {
      if (!(scope[(literals + i) / 64] >> ((literals + i) % 64) & 1)) continue;
      const seg_node *node = &p->nodes[i];
      for (int32_t j = 0; j < node->edge_count; j++) mark(scope, p->edges[node->first_edge + j].to);
    }
    if (rule->since >= p->shape.since) p->shape.since = rule->since + 1;
  }
  p->shape.segmentations = p->count.rules;
  p->shape.words = (literals + 63) / 64;
  return true;
}

bool seg_program_index(seg_program *p) {
  return index_selectors(p) && index_series(p) && index_literals(p) && index_rules(p);
}

void seg_program_free(seg_program *p) {
  if (!p) return;
  free(p->memory);
  free(p->by_type);
  free(p->same_type);
  free(p->observed);
  free(p->series_first);
  free(p->on_series);
  free(p->watched);
  free(p->scopes);
  free(p);
}

void seg_program_shape_of(const seg_program *p, seg_program_shape *out) { *out = p->shape; }

int32_t seg_program_kept_since(const seg_program *p, int32_t r) {
  return r >= 0 && r < p->count.rules ? p->rules[r].since : -1;
}
