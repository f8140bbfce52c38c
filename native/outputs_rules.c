/* Why a customer moved by rules, in words and as data: which conditions changed, from which value to which.
 *
 * Theory. A step leaves the facts of each move: the conditions that are otherwise than before, with what was counted or
 * compared before and after. How a condition is put comes with the presentation: what its value counts, and what is true
 * while it holds; so it is told as `4 orders, was 3: 4 or more order_completed in the last 30 days`. What compares no
 * number is told by its phrase alone. A sentence opens with what happened, names the first few facts, and ends with the
 * path; the facts as data are all there.
 *
 * Contract: an explanation is a JSON object, and its sentence the inside of a string. Bounds: conditions are indices
 * that outputs.c has checked; values may be any, and what is no finite number is told as null.
 */
#include "outputs.h"

#define FACTS_TOLD 4 /* in a sentence; more are counted */
#define HOURS_A_DAY 24.0

/* Of all that is told, four decimals, and no zero below zero. */
static double told(double value) { return seg_rounded(value, SEG_DIGITS_MAX) + 0.0; }

static bool is_finite(double value) { return value - value == 0.0; }

/* Adds a number that is rounded, in words: without decimals where it has none. */
static void add_plain(seg_text *text, double value) {
  seg_add_number(text, value, SEG_DIGITS_MAX);
  if (text->size >= 2 && !memcmp(text->data + text->size - 2, ".0", 2)) text->size -= 2;
}

static void add_flag(seg_text *text, int8_t flag) {
  seg_add_string(text, flag < 0 ? "null" : flag ? "true" : "false");
}

static bool is_text(seg_span span, const void *other, size_t size) {
  return span.size == size && (!size || !memcmp(span.data, other, size));
}

/* Rounds a number as a sentence tells it: money to its minor units, days and hours to tenths. */
static double in_words(const seg_presentation *p, const seg_phrase *phrase, double value) {
  const seg_span currency = p->texts[SEG_CURRENCY];
  if (is_text(phrase->counted, currency.data, currency.size)) return seg_rounded(value, p->form.digits) + 0.0;
  const bool is_time = is_text(phrase->counted, "days", 4) || is_text(phrase->counted, "hours", 5);
  return is_time ? seg_rounded(value, 1) + 0.0 : told(value);
}

/* What a value counts: `1 order`, `4 orders`, `45.50 EUR`; the unit, or none. */
static void add_value(seg_text *text, const seg_presentation *p, const seg_phrase *phrase, double value, bool has_unit) {
  const seg_span counted = phrase->counted, currency = p->texts[SEG_CURRENCY];
  if (counted.size && is_text(counted, currency.data, currency.size)) {
    seg_add_fixed(text, value, p->form.digits);
  } else {
    add_plain(text, value);
  }
  if (!has_unit || !counted.size) return;
  SEG_ADD(text, " ");
  const bool is_plural = counted.data[counted.size - 1] == 's';
  seg_add(text, counted.data, counted.size - (is_plural && value == 1.0));
}

/* `4 orders, was 3: 4 or more order_completed in the last 30 days`; what looks the same before and after is told once. */
static void add_fact(seg_text *text, const seg_presentation *p, const seg_fact *fact) {
  const seg_phrase *const phrase = p->conditions + fact->condition;
  const bool in_hours = is_text(phrase->counted, "days", 4) && fact->after > 0.0 && fact->after < 1.0;
  const seg_phrase hours = {{(const uint8_t *)"hours", 5}, phrase->text};
  const seg_phrase *const unit = in_hours ? &hours : phrase;
  const double before = in_words(p, unit, fact->before * (in_hours ? HOURS_A_DAY : 1.0));
  const double after = in_words(p, unit, fact->after * (in_hours ? HOURS_A_DAY : 1.0));
  if (is_finite(after)) {
    add_value(text, p, unit, after, true);
    if (fact->held >= 0 && is_finite(before) && before != after) {
      SEG_ADD(text, ", was ");
      add_value(text, p, unit, before, false);
    }
    SEG_ADD(text, ": ");
  }
  if (!fact->holds) SEG_ADD(text, "no longer ");
  seg_add_span(text, phrase->text);
}

/* Whether a sentence tells of it: of who was not there before, only what is true. */
static bool is_news(const seg_fact *fact) { return fact->held < 0 ? fact->holds : fact->held != fact->holds; }

static void add_facts(seg_text *text, const seg_presentation *p, const seg_rules_case *c) {
  int32_t count = 0;
  for (int32_t i = 0; i < c->move->fact_count; i++) {
    const seg_fact *const fact = c->facts + i;
    if (!is_news(fact) || count++ >= FACTS_TOLD) continue;
    seg_add_string(text, count > 1 ? "; " : ": ");
    add_fact(text, p, fact);
  }
  if (count <= FACTS_TOLD) return;
  SEG_ADD(text, "; ");
  seg_add_integer(text, count - FACTS_TOLD);
  SEG_ADD(text, " more");
}

/* What happened. An audience is entered at any time, all other segmentations with the first event. */
static void add_opening(seg_text *text, const seg_presentation *p, const seg_rules_case *c) {
  const seg_move *const move = c->move;
  const bool is_audience = p->form.target_count == 1;
  const bool is_first = move->change == SEG_ENTERED && !is_audience;
  if (c->event) {
    seg_add_event(text, p, c->event, c->type, is_first ? SEG_ENTERED : SEG_MOVED);
  } else if (move->cause == SEG_LAPSE) {
    SEG_ADD(text, "Time has passed");
  } else if (move->cause == SEG_MODEL) {
    SEG_ADD(text, "A model has changed");
  } else {
    const bool is_new = is_first || (is_audience && p->form.version <= 1);
    seg_add_string(text, is_new ? "The definition is new" : "The definition has changed");
  }
}

static void add_condition(seg_text *text, const seg_phrase *phrase, const seg_fact *fact) {
  SEG_ADD(text, "{\"condition\":\"");
  seg_add_span(text, phrase->text);
  SEG_ADD(text, "\",\"before\":");
  seg_add_number(text, fact->held < 0 ? __builtin_nan("") : told(fact->before), SEG_DIGITS_MAX);
  SEG_ADD(text, ",\"after\":");
  seg_add_number(text, told(fact->after), SEG_DIGITS_MAX);
  SEG_ADD(text, ",\"held\":");
  add_flag(text, fact->held);
  SEG_ADD(text, ",\"holds\":");
  add_flag(text, fact->holds != 0);
  SEG_ADD(text, "}");
}

void seg_add_rules_explanation(seg_text *text, const seg_presentation *p, const seg_rules_case *c) {
  SEG_ADD(text, "{\"kind\":\"rules\",\"sentence\":\"");
  add_opening(text, p, c);
  add_facts(text, p, c);
  SEG_ADD(text, "; ");
  seg_add_path(text, p, c->from_code, c->to_code);
  SEG_ADD(text, ".\",\"conditions\":[");
  for (int32_t i = 0; i < c->move->fact_count; i++) {
    if (i) SEG_ADD(text, ",");
    add_condition(text, p->conditions + c->facts[i].condition, c->facts + i);
  }
  SEG_ADD(text, "]}");
}
