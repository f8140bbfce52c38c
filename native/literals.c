/* One condition of a customer at an instant: whether it holds, and before when silence does not turn it.
 *
 * Theory. A literal is a condition that is true or false at every instant, and knows when it next turns if nothing
 * happens; all else is joined of them (program.c). Conditions on events are in windows.c, on figures in figures.c. Here
 * are the others:
 *
 *     traits         stay as they are, unless they are dates: a date lies in the last D from itself on for D, and in the
 *                    next D for D up to itself; its day of the year comes round on local dates. The day of the year is
 *                    as it is written in the text; 29 February is kept on 1 March in other years
 *     held           a value is held since the oldest of the latest observations that say so, one after the other
 *     segments       of segmentations of other kinds: as the membership says, and for how long
 *     lists, shares  stay as they are
 *
 * Contract. What is absent holds nothing. Traits are looked for once for all literals, in one walk over the traits' bytes
 * (name size u8, SEG_FIELD_… u8, value size u16, observed i64, name, value).
 *
 * Bounds: bytes of traits come from rows; each size is compared with what is left, and what is cut off ends the walk. */
#include "program.h"

#define TRAIT_HEAD 12

static int64_t later(int64_t at_ms, int64_t ms) {
  int64_t sum;
  return __builtin_add_overflow(at_ms, ms, &sum) || sum > SEG_NEVER ? SEG_NEVER : sum;
}

void seg_ask(seg_asked *asked, const seg_program *program, const seg_subject *subject, int64_t now_ms) {
  asked->program = program;
  asked->subject = subject;
  asked->entered_ms = NULL;
  asked->knows_traits = asked->knows_id = asked->knows_rhythm = false;
  seg_find_series(program, subject->ledger, asked->series);
  seg_ask_later(asked, now_ms);
}

void seg_ask_later(seg_asked *asked, int64_t now_ms) {
  asked->now_ms = now_ms;
  asked->known_figures = 0;
}

/* --- traits --- */

static int32_t order_of(const seg_program *p, int32_t trait, const uint8_t *name, int32_t size) {
  const seg_form_name *known = &p->traits[trait];
  const int32_t order = memcmp(p->texts + known->at, name, (size_t)(known->size < size ? known->size : size));
  return order ? order : known->size - size;
}

static void find_traits(seg_asked *asked) {
  const seg_program *p = asked->program;
  const seg_bytes bytes = asked->subject->traits;
  for (int32_t i = 0; i < p->count.traits; i++) asked->traits[i] = (seg_value){-1, NULL, 0};
  int32_t wanted = 0; /* names ascend, here and there */
  for (int64_t at = 0; bytes.size - at >= TRAIT_HEAD && wanted < p->count.traits;) {
    const uint8_t *head = bytes.data + at, *name = head + TRAIT_HEAD;
    const int32_t name_size = head[0];
    const seg_value value = {head[1], name + name_size, head[2] | head[3] << 8};
    if (bytes.size - at - TRAIT_HEAD < name_size + value.size) break;
    while (wanted < p->count.traits && order_of(p, wanted, name, name_size) < 0) wanted++;
    if (wanted < p->count.traits && order_of(p, wanted, name, name_size) == 0) {
      asked->traits[wanted] = value;
      asked->observed_ms[wanted] = seg_get_i64(head + 4);
    }
    at += TRAIT_HEAD + name_size + value.size;
  }
  asked->knows_traits = true;
}

seg_value seg_trait(seg_asked *asked, int32_t trait) {
  if (!asked->knows_traits) find_traits(asked);
  return asked->traits[trait];
}

/* Since when the present value is held. */
static int64_t held_since(seg_asked *asked, const seg_literal *l, seg_value value) {
  const seg_held_series *h = &asked->series[l->series];
  const uint64_t digest = seg_value_hash(value);
  int64_t since_ms = asked->observed_ms[l->trait];
  for (int32_t i = h->count - 1; i >= 0; i--) {
    const uint8_t *at = h->entries + i * (int64_t)SEG_VALUE_BYTES;
    const int64_t at_ms = seg_get_instant(at);
    if ((uint64_t)seg_get_i64(at + SEG_INSTANT_BYTES) == digest) {
      if (at_ms < since_ms) since_ms = at_ms;
    } else if (at_ms < since_ms) {
      break; /* another value at the instant itself has lost against this one */
    }
  }
  return since_ms;
}

static bool held_holds(seg_asked *asked, const seg_literal *l, int64_t *turns_ms) {
  const seg_value value = seg_trait(asked, l->trait);
  if (!seg_passes(asked->program, &asked->program->tests[l->test], value) || value.kind < 0) return false;
  const int64_t from_ms = later(held_since(asked, l, value), l->b);
  if (from_ms <= asked->now_ms) return true;
  *turns_ms = from_ms;
  return false;
}

/* --- dates --- */

static bool date_holds(seg_asked *asked, const seg_literal *l, int64_t *turns_ms) {
  const seg_value value = seg_trait(asked, l->trait);
  int64_t date_ms;
  if (value.kind != SEG_FIELD_TEXT || !seg_read_instant(value.data, value.size, &date_ms)) return false;
  if (l->what == SEG_DATE_BEFORE) return date_ms < l->b;
  if (l->what == SEG_DATE_FROM) return date_ms >= l->b;
  const int64_t from_ms = l->what == SEG_DATE_PAST ? date_ms : date_ms - l->b;
  const int64_t to_ms = l->what == SEG_DATE_PAST ? later(date_ms, l->b) : date_ms;
  if (asked->now_ms < from_ms)
    *turns_ms = from_ms;
  else if (asked->now_ms < to_ms)
    *turns_ms = to_ms;
  return asked->now_ms >= from_ms && asked->now_ms < to_ms;
}

typedef struct day_of_year {
  int32_t month, day;
} day_of_year;

/* The day on which it comes round in a year. */
static int64_t round_in(day_of_year when, int32_t year, int32_t *month) {
  const bool is_moved = when.month == 2 && when.day == 29 && (year % 4 != 0 || (year % 100 == 0 && year % 400 != 0));
  *month = is_moved ? 3 : when.month;
  return seg_days_of_date(year, *month, is_moved ? 1 : when.day);
}

static bool comes_in_month(seg_asked *asked, const seg_literal *l, day_of_year when, int64_t *turns_ms) {
  int32_t year, month, day, round_month;
  seg_date_of_days(seg_local_day(asked->program, l->zone, asked->now_ms), &year, &month, &day);
  round_in(when, year, &round_month);
  if (round_month == month) {
    const int64_t next = month == 12 ? seg_days_of_date(year + 1, 1, 1) : seg_days_of_date(year, month + 1, 1);
    *turns_ms = seg_midnight_ms(asked->program, l->zone, next);
    return true;
  }
  if (round_month < month) round_in(when, ++year, &round_month);
  *turns_ms = seg_midnight_ms(asked->program, l->zone, seg_days_of_date(year, round_month, 1));
  return false;
}

static bool comes_round(seg_asked *asked, const seg_literal *l, int64_t *turns_ms) {
  const seg_value value = seg_trait(asked, l->trait);
  int32_t year, month, day;
  day_of_year when;
  if (value.kind != SEG_FIELD_TEXT || !seg_read_written_date(value.data, value.size, &year, &when.month, &when.day))
    return false;
  if (l->days == 0) return comes_in_month(asked, l, when, turns_ms);
  const int64_t today = seg_local_day(asked->program, l->zone, asked->now_ms);
  seg_date_of_days(today, &year, &month, &day);
  int64_t next = round_in(when, year, &month);
  if (next < today) next = round_in(when, year + 1, &month);
  const bool holds = next - today < l->days;
  *turns_ms = seg_midnight_ms(asked->program, l->zone, holds ? next + 1 : next - l->days + 1);
  return holds;
}

/* --- segments, lists, shares --- */

static bool member_holds(seg_asked *asked, const seg_literal *l, int64_t *turns_ms) {
  const seg_subject *who = asked->subject;
  if (!who->memberships) return false;
  const seg_membership *held = &who->memberships[l->other * who->stride];
  if (held->segment != l->n) return false;
  const int64_t from_ms = l->b ? later(held->since_ms, l->b) : asked->now_ms;
  if (from_ms <= asked->now_ms) return true;
  *turns_ms = from_ms;
  return false;
}

static bool is_listed(seg_asked *asked, const seg_literal *l) {
  if (!asked->knows_id) asked->id_hash = seg_id_hash(asked->subject->id);
  asked->knows_id = true;
  return seg_is_listed(asked->program, l->other, l->n, asked->id_hash);
}

/* --- all --- */

bool seg_holds(seg_asked *asked, const seg_literal *l, int64_t *turns_ms) {
  const seg_program *p = asked->program;
  *turns_ms = SEG_NEVER;
  switch (l->kind) {
    case SEG_IS_FIGURE: return seg_figure_holds(asked, l, turns_ms);
    case SEG_IS_DECAYED: return seg_decayed_holds(asked, l, turns_ms);
    case SEG_IS_HELD: return held_holds(asked, l, turns_ms);
    case SEG_IS_TRAIT: return seg_passes(p, &p->tests[l->test], seg_trait(asked, l->trait));
    case SEG_IS_DATE: return date_holds(asked, l, turns_ms);
    case SEG_IS_ROUND: return comes_round(asked, l, turns_ms);
    case SEG_IS_MEMBER: return member_holds(asked, l, turns_ms);
    case SEG_IS_LISTED: return is_listed(asked, l);
    case SEG_IS_DRAWN: return seg_is_drawn(p->texts + l->other, l->n, asked->subject->id, l->a, l->b);
    default: return seg_window_holds(asked, l, turns_ms);
  }
}

double seg_measure(seg_asked *asked, const seg_literal *l) {
  double number;
  switch (l->kind) {
    case SEG_IS_FIGURE: return seg_figure(asked, l->what, l->other);
    case SEG_IS_DECAYED: return seg_decayed_at(asked, l, asked->now_ms);
    case SEG_IS_TRAIT:
    case SEG_IS_HELD: return seg_number_of(seg_trait(asked, l->trait), &number) ? number : __builtin_nan("");
    case SEG_IS_DATE:
    case SEG_IS_ROUND:
    case SEG_IS_MEMBER:
    case SEG_IS_LISTED:
    case SEG_IS_DRAWN: return __builtin_nan("");
    default: return seg_window_measure(asked, l);
  }
}
