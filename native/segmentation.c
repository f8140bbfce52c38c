/* A version of a segmentation, whatever its kind: who its segments are, and which kind answers for it.
 *
 * A customer is asked about by its record of activity and by where it is (`seg_held`); the answer names a target, an
 * index of the version's segments. Codes, which rows hold, are looked up in tables of all 32,768 that there can be, so
 * that no code of a damaged row leads anywhere but to "no segment of this version".
 *
 * Rules are a program's (program.c), which evaluates all of a partition together: here is only who their segments are. By
 * itself such a version moves nobody.
 *
 * An ended segmentation is one that was taken out of the configuration: whoever is in a segment leaves, and silence
 * moves nobody (stream_app/segmentations/ended.py).
 *
 * Bounds: everything that comes from outside is checked once, in `seg_segmentation_new`: at most SEG_TARGETS_MAX
 * distinct codes from 1 to SEG_CODE_MAX, and a form that its kind accepts. Questions allocate nothing, change nothing,
 * and take any record of activity and any code.
 */
#include "segmenter.h"

#include <stdlib.h>
#include <string.h>

static bool is_code(int16_t code) { return code > 0; }

static bool set_targets(seg_segmentation *s, const int16_t *codes, int64_t code_count) {
  for (int32_t code = 0; code <= SEG_CODE_MAX; code++) s->target_of_code[code] = SEG_NOWHERE;
  for (int64_t target = 0; target < code_count; target++) {
    const int16_t code = codes[target];
    if (!is_code(code) || s->target_of_code[code] != SEG_NOWHERE) return false;
    s->codes[target] = code;
    s->target_of_code[code] = (int16_t)target;
  }
  s->target_count = (int32_t)code_count;
  return true;
}

static bool set_levels(seg_segmentation *s, const int16_t *known_codes, const int16_t *levels, int64_t known_count) {
  for (int32_t code = 0; code <= SEG_CODE_MAX; code++) s->level_of_code[code] = SEG_NO_LEVEL;
  for (int64_t known = 0; known < known_count; known++) {
    if (!is_code(known_codes[known])) return false;
    s->level_of_code[known_codes[known]] = levels[known];
    s->has_levels |= levels[known] != SEG_NO_LEVEL;
  }
  return true;
}

static bool set_foreign(seg_segmentation *s, const void *own, int64_t own_size) {
  if (own_size != (int64_t)sizeof s->foreign) return false;
  memcpy(&s->foreign, own, sizeof s->foreign);
  return s->foreign.acts && s->foreign.silence && s->foreign.revise;
}

static bool set_own(seg_segmentation *s, const void *own, int64_t own_size) {
  switch (s->kind) {
    case SEG_KIND_LEARNED: s->own = seg_learned_new(own, own_size, s->target_count); return s->own != NULL;
    case SEG_KIND_RULES: return own_size == 0;
    case SEG_KIND_ENDED: return own_size == 0 && s->target_count == 0;
    case SEG_KIND_FOREIGN: return set_foreign(s, own, own_size);
    default: return false;
  }
}

seg_segmentation *seg_segmentation_new(int32_t kind, int32_t version, int32_t revised_by, int32_t weighs_sessions,
                                       const int16_t *codes, int64_t code_count, const int16_t *known_codes,
                                       const int16_t *levels, int64_t known_count, const void *own, int64_t own_size) {
  if (code_count < 0 || code_count > SEG_TARGETS_MAX || known_count < 0 || known_count > SEG_CODE_MAX) return NULL;
  if (own_size < 0 || (revised_by != SEG_MODEL && revised_by != SEG_DEFINITION)) return NULL;
  if ((code_count && !codes) || (known_count && !(known_codes && levels)) || (own_size && !own)) return NULL;
  seg_segmentation *s = calloc(1, sizeof *s);
  if (!s) return NULL;
  s->kind = kind;
  s->version = version;
  s->revised_by = revised_by;
  s->weighs_sessions = weighs_sessions != 0;
  if (set_targets(s, codes, code_count) && set_levels(s, known_codes, levels, known_count) &&
      set_own(s, own, own_size))
    return s;
  seg_segmentation_free(s);
  return NULL;
}

void seg_segmentation_free(seg_segmentation *s) {
  if (!s) return;
  if (s->kind == SEG_KIND_LEARNED) seg_learned_free(s->own);
  free(s);
}

/* An answer that names no target of the version is none: the customer stays where it is. */
static seg_decision checked(const seg_segmentation *s, seg_decision decision) {
  const bool is_known = decision.target >= SEG_NOWHERE && decision.target < s->target_count;
  return is_known ? decision : (seg_decision){SEG_NOWHERE, 0};
}

static seg_decision leave(const seg_held *held) { return (seg_decision){SEG_NOWHERE, held->segment != 0}; }

seg_decision seg_acts(const seg_segmentation *s, const seg_activity *activity, int64_t at_ms, const seg_held *held) {
  switch (s->kind) {
    case SEG_KIND_LEARNED: return seg_learned_acts(s, activity, at_ms, held);
    case SEG_KIND_RULES: return (seg_decision){seg_target_of(s, held->segment), 0};
    case SEG_KIND_FOREIGN: {
      seg_decision out = {SEG_NOWHERE, 0};
      s->foreign.acts(activity, at_ms, held, &out);
      return checked(s, out);
    }
    default: return leave(held);
  }
}

seg_due seg_silence(const seg_segmentation *s, const seg_activity *activity, const seg_held *held, int64_t after_ms,
                    int64_t by_ms) {
  switch (s->kind) {
    case SEG_KIND_LEARNED: return seg_learned_silence(s, activity, held, after_ms, by_ms);
    case SEG_KIND_FOREIGN: {
      seg_due out = {SEG_NEVER, SEG_NOWHERE, 0};
      s->foreign.silence(activity, held, after_ms, by_ms, &out);
      const bool is_known = out.at_ms > after_ms && out.target >= SEG_NOWHERE && out.target < s->target_count;
      return is_known ? out : (seg_due){SEG_NEVER, SEG_NOWHERE, 0};
    }
    default: return (seg_due){SEG_NEVER, SEG_NOWHERE, 0};
  }
}

seg_decision seg_revise(const seg_segmentation *s, const seg_activity *activity, int64_t at_ms, const seg_held *held) {
  switch (s->kind) {
    case SEG_KIND_LEARNED: return seg_learned_revise(s, activity, at_ms, held);
    case SEG_KIND_RULES: return (seg_decision){seg_target_of(s, held->segment), 0};
    case SEG_KIND_FOREIGN: {
      seg_decision out = {SEG_NOWHERE, 0};
      s->foreign.revise(activity, at_ms, held, &out);
      return checked(s, out);
    }
    default: return leave(held);
  }
}

void seg_ask_acts(const seg_segmentation *s, int64_t n, const seg_activity *activity, const int64_t *at_ms,
                  const seg_held *held, seg_decision *out) {
  for (int64_t i = 0; i < n; i++) out[i] = seg_acts(s, &activity[i], at_ms[i], &held[i]);
}

void seg_ask_silence(const seg_segmentation *s, int64_t n, const seg_activity *activity, const seg_held *held,
                     const int64_t *after_ms, const int64_t *by_ms, seg_due *out) {
  for (int64_t i = 0; i < n; i++) out[i] = seg_silence(s, &activity[i], &held[i], after_ms[i], by_ms[i]);
}

void seg_ask_revise(const seg_segmentation *s, int64_t n, const seg_activity *activity, const int64_t *at_ms,
                    const seg_held *held, seg_decision *out) {
  for (int64_t i = 0; i < n; i++) out[i] = seg_revise(s, &activity[i], at_ms[i], &held[i]);
}
