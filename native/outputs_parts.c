/* Parts that records of several topics consist of: who is told of, what the cause was, where a customer goes next.
 *
 * Contract: each adds a JSON value, or the inside of a string where it says so. Bounds: what comes from outside is
 * checked when it is taken (seg_take_text, seg_take_event); numbers may be any.
 */
#include "outputs.h"

#define XXH_INLINE_ALL
#include "vendor/libb2/blake2.h"
#include "vendor/xxhash.h"

#define HOLDOUT_BUCKETS 100

static const char *const causes[] = {"purchase", "refund", "engagement", "lapse", "model", "definition", "profile",
                                     "merge",    "consent", "consent"}; /* who is erased agrees to nothing */

bool seg_take_text(const seg_texts *texts, int64_t number, seg_span *out) {
  if (number < 0 || number >= texts->count) return false;
  const int64_t start = number ? texts->ends[number - 1] : 0;
  const int64_t end = texts->ends[number];
  if (start < 0 || end < start) return false;
  *out = (seg_span){texts->data + start, (size_t)(end - start)};
  return true;
}

bool seg_take_event(const seg_description *d, int64_t number, seg_told *t) {
  const bool by_event = t->cause < SEG_LAPSE || t->cause >= SEG_PROFILE;
  if (by_event != (number >= 0) || number >= d->event_count) return false;
  if (!by_event) return true;
  const seg_event *event = t->event = d->events + number;
  const uint64_t size = (uint64_t)event->customer_size + event->event_id_size + event->type_size;
  if (event->kind != t->cause) return false;
  if (d->texts_size < 0 || event->text_at + size > (uint64_t)d->texts_size) return false;
  const uint8_t *id = d->texts + event->text_at + event->customer_size;
  if (event->kind == SEG_MERGE) {
    const seg_span into = {d->texts + event->text_at, event->customer_size};
    t->other = (seg_span){id, event->event_id_size};
    t->ends = into.size != t->customer.size || (into.size && memcmp(into.data, t->customer.data, into.size) != 0);
    if (t->ends) t->other = into;
  } else {
    t->event_id = (seg_span){id, event->event_id_size};
  }
  t->type = (seg_span){id + event->event_id_size, event->type_size};
  return seg_take_text(&d->sources, event->source, &t->source);
}

void seg_add_reference(seg_text *text, const seg_presentation *p, int16_t code) {
  if (p->references[code].data) {
    seg_add_span(text, p->references[code]);
  } else {
    SEG_ADD(text, "null");
  }
}

void seg_add_next_move(seg_text *text, const seg_presentation *p, int64_t at_ms, int32_t target) {
  if (at_ms > SEG_LAST_INSTANT_MS) {
    SEG_ADD(text, "null");
    return;
  }
  SEG_ADD(text, "{\"at\":\"");
  seg_add_instant(text, at_ms);
  SEG_ADD(text, "\",\"to_segment\":");
  seg_add_reference(text, p, seg_presented_code(p, target));
  SEG_ADD(text, "}");
}

void seg_add_cause(seg_text *text, const seg_told *t) {
  SEG_ADD(text, "{\"kind\":\"");
  seg_add_string(text, causes[t->cause]);
  if (!t->event) {
    SEG_ADD(text, "\",\"event_id\":null,\"position\":null}");
    return;
  }
  SEG_ADD(text, "\",\"event_id\":");
  if (t->event_id.size) {
    SEG_ADD(text, "\"");
    seg_add_escaped(text, t->event_id);
    SEG_ADD(text, "\"");
  } else {
    SEG_ADD(text, "null"); /* a profile may do without */
  }
  SEG_ADD(text, ",\"position\":{\"topic\":");
  seg_add_span(text, t->source);
  SEG_ADD(text, ",\"partition\":");
  seg_add_integer(text, t->partition);
  SEG_ADD(text, ",\"offset\":");
  seg_add_integer(text, t->event->offset);
  SEG_ADD(text, "}}");
}

void seg_add_id(seg_text *text, seg_text *scratch, const seg_told *t, int32_t sequence, const char *sort) {
  static const char digits[] = "0123456789abcdef";
  uint8_t digest[SEG_ID_DIGITS / 2];
  char id[SEG_ID_DIGITS];
  scratch->size = 0;
  seg_add_span(scratch, t->p->texts[SEG_PLAIN_NAME]);
  seg_add(scratch, "", 1);
  seg_add_span(scratch, t->customer);
  seg_add(scratch, "", 1);
  seg_add_integer(scratch, sequence);
  if (*sort) seg_add(scratch, "", 1);
  seg_add_string(scratch, sort);
  if (scratch->failed) return;
  blake2b(digest, scratch->data, sizeof digest, scratch->size);
  for (size_t i = 0; i < sizeof digest; i++) {
    id[2 * i] = digits[digest[i] >> 4];
    id[2 * i + 1] = digits[digest[i] & 15];
  }
  seg_add(text, id, sizeof id);
}

void seg_add_holdout(seg_text *text, seg_text *scratch, const seg_told *t) {
  scratch->size = 0;
  seg_add_span(scratch, t->p->texts[SEG_SALT]);
  seg_add_span(scratch, t->customer);
  if (scratch->failed) return;
  const int64_t bucket = (int64_t)(XXH3_64bits(scratch->data, scratch->size) % HOLDOUT_BUCKETS);
  SEG_ADD(text, "{\"bucket\":");
  seg_add_integer(text, bucket);
  seg_add_string(text, bucket < t->p->form.holdout_percent ? ",\"held_out\":true}" : ",\"held_out\":false}");
}
