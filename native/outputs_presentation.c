/* How a version of a segmentation is told: made once a version by Python, looked up at every move.
 *
 * Contract: a form is copied, texts included, and found consistent or refused as a whole. Bounds: codes, counts and ends
 * of texts are checked here, so that whoever looks up a code from 0 to SEG_CODE_MAX, a checked target or a condition
 * below `condition_count` is safe.
 */
#include "outputs.h"

#include <stdlib.h>

static bool are_codes(const int16_t *codes, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    if (codes[i] < 1) return false; /* an int16 does not exceed SEG_CODE_MAX */
  }
  return true;
}

static bool is_consistent(const seg_presentation_form *f) {
  const bool is_learned = f->kind == SEG_KIND_LEARNED;
  if (f->kind < SEG_KIND_LEARNED || f->kind > SEG_KIND_ENDED) return false;
  if (f->digits < 0 || f->digits > SEG_DIGITS_MAX) return false;
  if (f->target_count < 0 || f->target_count > SEG_TARGETS_MAX) return false;
  if (f->known_count < 0 || f->known_count > SEG_CODE_MAX) return false;
  if (is_learned && (f->target_count != SEG_LEARNED_TARGETS || !f->model)) return false;
  if (f->condition_count < 0 || f->condition_count > SEG_CONDITIONS_MAX) return false;
  if (f->kind != SEG_KIND_RULES && f->condition_count) return false;
  const int64_t own = is_learned ? SEG_LEARNED_TARGETS : 2 * (int64_t)f->condition_count;
  if (f->text_count != SEG_TEXTS + 2 * (int64_t)f->known_count + own) return false;
  for (int64_t i = 0; i < f->text_count; i++) {
    if (f->text_ends[i] < (i ? f->text_ends[i - 1] : 0)) return false;
  }
  return are_codes(f->codes, f->target_count) && are_codes(f->known_codes, f->known_count);
}

static seg_span text_of(const seg_presentation *p, int64_t number) {
  const int64_t *ends = p->form.text_ends;
  const int64_t start = number ? ends[number - 1] : 0;
  return (seg_span){p->bytes + start, (size_t)(ends[number] - start)};
}

static void set_texts(seg_presentation *p) {
  const seg_presentation_form *f = &p->form;
  for (int64_t i = 0; i < SEG_TEXTS; i++) p->texts[i] = text_of(p, i);
  const int64_t names = SEG_TEXTS + (int64_t)f->known_count;
  for (int64_t i = 0; i < f->known_count; i++) {
    const int16_t code = f->known_codes[i];
    p->references[code] = text_of(p, SEG_TEXTS + i);
    p->names[code] = text_of(p, names + i);
    p->levels[code] = f->levels[i];
  }
  const int64_t own = names + f->known_count;
  for (int64_t i = 0; i < f->condition_count; i++) {
    p->conditions[i] = (seg_phrase){text_of(p, own + 2 * i), text_of(p, own + 2 * i + 1)};
  }
  if (f->kind != SEG_KIND_LEARNED) return;
  for (int64_t i = 0; i < SEG_LEARNED_TARGETS; i++) p->statements[i] = text_of(p, own + i);
}

static void set_numbers(seg_presentation *p) {
  const seg_presentation_form *f = &p->form;
  for (int32_t code = 0; code <= SEG_CODE_MAX; code++) {
    p->target_of_code[code] = SEG_NOWHERE;
    p->levels[code] = SEG_NO_LEVEL;
  }
  for (int32_t target = 0; target < f->target_count; target++) {
    p->codes[target] = f->codes[target];
    p->target_of_code[f->codes[target]] = (int16_t)target;
  }
  if (f->kind != SEG_KIND_LEARNED) return;
  p->model = *f->model;
  for (int32_t axis = 0; axis < SEG_AXES; axis++) {
    p->squared_weights[axis] = p->model.weights[axis] * p->model.weights[axis];
  }
  if (!f->frame.knows_order_value) p->squared_weights[SEG_VALUE] = 0.0;
}

seg_presentation *seg_presentation_new(const seg_presentation_form *form) {
  if (!is_consistent(form)) return NULL;
  const size_t size = (size_t)form->text_ends[form->text_count - 1];
  seg_presentation *p = calloc(1, sizeof *p);
  uint8_t *bytes = malloc(size + 1);
  seg_phrase *conditions = calloc((size_t)form->condition_count + 1, sizeof *conditions);
  if (!p || !bytes || !conditions) {
    free(p);
    free(bytes);
    free(conditions);
    return NULL;
  }
  if (size) memcpy(bytes, form->texts, size);
  p->form = *form;
  p->bytes = bytes;
  p->conditions = conditions;
  set_numbers(p);
  set_texts(p);
  return p;
}

void seg_presentation_free(seg_presentation *p) {
  if (!p) return;
  free(p->bytes);
  free(p->conditions);
  free(p);
}
