/* Which series an event belongs to, and with what value.
 *
 * Theory. A selector is a type of events, or the beginning of some, and tests of their fields; it feeds one or more
 * series. Selectors of exact types are found by a hash of the type, those of beginnings are all tried: there are few.
 * Fields are looked for once an event, and only if some selector asks for one.
 *
 * An order counts once: the first statement of it, as it was told then, as `order_completed`; what is stated of it later
 * and changes it is an `order_updated`, whatever it is called.
 *
 * Contract. An event that has no number where a series wants one does not count there. Amounts are in units such as EUR
 * of the base currency, and only orders and refunds have one. What is summed up is taken to the millionth. A profile's
 * traits are observations of the series that watch them.
 *
 * Bounds: time of an event is linear in its kept fields and in the selectors of its type. Nothing is allocated. */
#include "program.h"

#define VALUE_LIMIT 9.2e18

/* An event whose fields are looked for once. */
typedef struct looked_at {
  const seg_program *program;
  const seg_event *event;
  const uint8_t *type, *kept;
  int32_t type_size;
  int32_t first_series; /* series of lower numbers are left as they are */
  bool knows_fields;
  double amount;
  seg_value fields[SEG_FIELD_NAMES_MAX];
} looked_at;

static int32_t named(const seg_program *p, const seg_form_name *names, int32_t count, const uint8_t *name,
                     int32_t size) {
  for (int32_t i = 0; i < count; i++)
    if (names[i].size == size && memcmp(p->texts + names[i].at, name, (size_t)size) == 0) return i;
  return -1;
}

static void find_fields(looked_at *e) {
  const seg_program *p = e->program;
  const uint8_t *at = e->kept, *const end = at + e->event->kept_size, *name;
  int32_t name_size;
  seg_value value;
  for (int32_t i = 0; i < p->count.fields; i++) e->fields[i] = (seg_value){-1, NULL, 0};
  while (seg_next_kept(&at, end, &name, &name_size, &value)) {
    const int32_t field = named(p, p->fields, p->count.fields, name, name_size);
    if (field >= 0) e->fields[field] = value;
  }
  e->knows_fields = true;
}

static seg_value field_of(looked_at *e, int32_t field) {
  if (field == SEG_OF_TYPE) return (seg_value){SEG_FIELD_TEXT, e->type, e->type_size};
  if (field == SEG_OF_AMOUNT) {
    const bool is_money = e->event->kind == SEG_PURCHASE || e->event->kind == SEG_REFUND;
    if (!is_money || e->event->amount_minor < 0) return (seg_value){-1, NULL, 0};
    e->amount = (double)e->event->amount_minor / e->program->count.minor_per_major;
    return (seg_value){SEG_FIELD_NUMBER, (const uint8_t *)&e->amount, sizeof e->amount};
  }
  if (!e->knows_fields) find_fields(e);
  return e->fields[field];
}

static bool passes_all(looked_at *e, int32_t first, int32_t count) {
  const seg_program *p = e->program;
  for (int32_t i = first; i < first + count; i++)
    if (!seg_passes(p, &p->tests[i], field_of(e, p->tests[i].field))) return false;
  return true;
}

static bool is_selected(looked_at *e, const seg_selector *s) {
  const int32_t size = e->type_size;
  if (!(s->kinds >> e->event->kind & 1)) return false;
  if (s->is_prefix ? size < s->type_size : size != s->type_size) return false;
  if (memcmp(e->program->texts + s->type_at, e->type, (size_t)s->type_size) != 0) return false;
  return passes_all(e, s->first_test, s->test_count);
}

static int64_t millionths(double number) {
  const double scaled = number * SEG_MILLIONTHS;
  if (!(scaled > -VALUE_LIMIT)) return -INT64_MAX;
  if (!(scaled < VALUE_LIMIT)) return INT64_MAX;
  return (int64_t)(scaled + (scaled >= 0 ? 0.5 : -0.5));
}

/* What an event brings to the series of a selector; false if it is no number. */
static bool value_of(looked_at *e, const seg_selector *s, int64_t *value) {
  double number;
  *value = 0;
  if (s->value == SEG_OF_NOTHING) return true;
  if (s->value == SEG_OF_ONE) {
    *value = (int64_t)SEG_MILLIONTHS;
    return true;
  }
  if (!seg_number_of(field_of(e, s->value), &number)) return false;
  *value = millionths(number);
  return true;
}

/* --- noting --- */

static void touch(seg_touched *touched, int32_t series) {
  touched->series[series / 64] |= UINT64_C(1) << (series % 64);
  touched->any = 1;
}

static void feed(looked_at *e, const seg_selector *s, seg_ledger *ledger, seg_touched *touched, bool *lost) {
  const seg_program *p = e->program;
  const int64_t at_ms = e->event->at_ms;
  int64_t value;
  if (!is_selected(e, s) || !value_of(e, s, &value)) return;
  for (int32_t i = s->first_feed; i < s->first_feed + s->feed_count; i++) {
    const seg_kept_series *series = &p->series[p->feeds[i]];
    if (at_ms < series->from_ms || at_ms >= series->to_ms || series->number < e->first_series) continue;
    if (series->keep == SEG_KEEP_LAST) value = passes_all(e, series->first_test, series->test_count);
    if (seg_ledger_enter(p, ledger, series, at_ms, value, lost)) touch(touched, p->feeds[i]);
  }
}

static void observe(const looked_at *e, seg_ledger *ledger, seg_touched *touched, bool *lost) {
  const seg_program *p = e->program;
  const seg_event *event = e->event;
  const uint8_t *at = e->kept, *const end = at + event->kept_size, *name;
  int32_t name_size;
  seg_value value;
  while (seg_next_kept(&at, end, &name, &name_size, &value)) {
    const int32_t trait = named(p, p->traits, p->count.traits, name, name_size);
    if (trait < 0) continue;
    const int32_t series = p->observed[trait];
    if (series < 0 || p->series[series].number < e->first_series) continue;
    const int64_t digest = (int64_t)seg_value_hash(value);
    if (seg_ledger_enter(p, ledger, &p->series[series], event->at_ms, digest, lost)) touch(touched, series);
  }
}

/* Has the statements of an order be of the type that they are by what is known of it. */
static void name_statement(looked_at *e, bool is_restated) {
  static const char completed[] = "order_completed", updated[] = "order_updated";
  const int32_t completed_size = sizeof completed - 1, updated_size = sizeof updated - 1;
  if (e->event->kind != SEG_PURCHASE) return;
  if (is_restated && e->type_size == completed_size && memcmp(e->type, completed, sizeof completed - 1) == 0) {
    e->type = (const uint8_t *)updated;
    e->type_size = updated_size;
  } else if (!is_restated && e->type_size == updated_size && memcmp(e->type, updated, sizeof updated - 1) == 0) {
    e->type = (const uint8_t *)completed;
    e->type_size = completed_size;
  }
}

static int32_t enter(const seg_program *p, const seg_event *event, const uint8_t *texts, int32_t first_series,
                     bool is_restated, seg_ledger *ledger, seg_touched *touched) {
  bool lost = false;
  looked_at e = {.program = p, .event = event, .first_series = first_series, .knows_fields = false};
  e.type = texts + event->text_at + event->customer_size + event->event_id_size;
  e.type_size = event->type_size;
  e.kept = e.type + event->type_size;
  name_statement(&e, is_restated);
  if (event->kind == SEG_PROFILE) {
    observe(&e, ledger, touched, &lost);
    return lost ? SEG_NO_ROOM : SEG_OK;
  }
  if (p->shape.reads_activity) touched->activity = 1;
  if (p->count.selectors) {
    const uint64_t hash = seg_text_hash(e.type, e.type_size);
    for (int32_t i = p->by_type[hash & (uint64_t)p->type_mask]; i >= 0; i = p->same_type[i])
      feed(&e, &p->selectors[i], ledger, touched, &lost);
    for (int32_t i = p->first_prefix; i >= 0; i = p->same_type[i]) feed(&e, &p->selectors[i], ledger, touched, &lost);
  }
  return lost ? SEG_NO_ROOM : SEG_OK;
}

int32_t seg_program_note(const seg_program *p, const seg_event *event, const uint8_t *texts, int64_t now_ms,
                         int32_t is_restated, seg_ledger *ledger, seg_touched *touched) {
  (void)now_ms;
  return enter(p, event, texts, 0, is_restated, ledger, touched);
}

int32_t seg_program_refill(const seg_program *p, const seg_event *event, const uint8_t *texts, int32_t first_series,
                           seg_ledger *ledger) {
  seg_touched touched = {.any = 0};
  return enter(p, event, texts, first_series, false, ledger, &touched);
}
