/* Moves → migrations and memberships as JSON, the bytes that `segment-migrations` and `segment-memberships` consist of.
 *
 * Theory. A migration is written once, from front to back, into a text of the describer's
 * that keeps its size from chunk to chunk. Why a learned model has moved a customer is told here, but for one thing: of a
 * move whose cause is the model, `told` is what in the model has changed, the inside of a JSON string. Of the moves of
 * all other kinds `told` is the whole explanation, as JSON.
 *
 * Contract: see seg_describe. Bounds: each index and each length of a move is checked before anything is written of it;
 * numbers may be any. Ids are UTF-8 as they were read, and are not checked again.
 */
#include "outputs.h"

#include <stdlib.h>

#define XXH_INLINE_ALL
#include "vendor/libb2/blake2.h"
#include "vendor/xxhash.h"

#define HOLDOUT_BUCKETS 100
#define LAST_INSTANT_MS INT64_C(253402300799999) /* the end of the year 9999: RFC 3339 has no later instants */
#define DIGEST_BYTES 16
#define ID_AT 17 /* where in a migration its id stands */

static const char *const causes[] = {"purchase", "refund", "engagement", "lapse", "model", "definition"};
static const char *const changes[] = {"entered", "moved", "lapsed", "returned", "left"};
static const char *const axes[] = {"order_rate", "engagement_rate", "order_value"};

struct seg_describer {
  seg_text migrations, memberships, keys, headers, scratch;
};

/* All that is written of one move. */
typedef struct told_move {
  const seg_move *move;
  const seg_presentation *p;
  const seg_event *event;       /* NULL for none */
  seg_span customer, told, source, event_id, type;
  int16_t from_code, to_code;
  int64_t decided_at_ms, partition;
  uint64_t bucket;
} told_move;

seg_describer *seg_describer_new(void) { return calloc(1, sizeof(seg_describer)); }

void seg_describer_free(seg_describer *describer) {
  if (!describer) return;
  seg_text_free(&describer->migrations);
  seg_text_free(&describer->memberships);
  seg_text_free(&describer->keys);
  seg_text_free(&describer->headers);
  seg_text_free(&describer->scratch);
  free(describer);
}

/* --- checks --- */

static bool take_text(const seg_texts *texts, int64_t number, seg_span *out) {
  if (number < 0 || number >= texts->count) return false;
  const int64_t start = number ? texts->ends[number - 1] : 0;
  const int64_t end = texts->ends[number];
  if (start < 0 || end < start) return false;
  *out = (seg_span){texts->data + start, (size_t)(end - start)};
  return true;
}

static bool take_event(const seg_description *d, told_move *t) {
  const seg_event *event = t->event = d->events + t->move->event;
  const uint64_t size = (uint64_t)event->customer_size + event->event_id_size + event->type_size;
  if (event->kind != t->move->cause) return false;
  if (d->texts_size < 0 || event->text_at + size > (uint64_t)d->texts_size) return false;
  const uint8_t *id = d->texts + event->text_at + event->customer_size;
  t->event_id = (seg_span){id, event->event_id_size};
  t->type = (seg_span){id + event->event_id_size, event->type_size};
  return take_text(&d->sources, event->source, &t->source);
}

static bool is_known_move(const seg_move *m, const seg_presentation *p) {
  const int32_t count = p->form.target_count;
  const int32_t first = p->form.kind == SEG_KIND_LEARNED ? 0 : SEG_NOWHERE; /* nobody leaves a model */
  return m->cause >= SEG_PURCHASE && m->cause <= SEG_DEFINITION && m->change >= SEG_ENTERED && m->change <= SEG_LEFT &&
         m->from_code >= 0 && m->from_code <= SEG_CODE_MAX && m->target >= first && m->target < count &&
         m->next_target >= SEG_NOWHERE && m->next_target < count;
}

/* Takes what is written of a move; false if something leads out of what was handed over. */
static bool take_move(const seg_description *d, int64_t number, told_move *t) {
  const seg_move *move = d->moves + number;
  if (move->segmentation < 0 || move->segmentation >= d->presentation_count) return false;
  *t = (told_move){.move = move, .p = d->presentations[move->segmentation], .partition = d->partition};
  if (!is_known_move(move, t->p) || !take_text(&d->customers, number, &t->customer)) return false;
  if (d->told.count && !take_text(&d->told, number, &t->told)) return false;
  if (t->p->form.kind != SEG_KIND_LEARNED && !t->told.size) return false;
  const bool by_event = move->cause < SEG_LAPSE;
  if (by_event != (move->event >= 0) || move->event >= d->event_count) return false;
  t->from_code = (int16_t)move->from_code;
  t->to_code = seg_presented_code(t->p, move->target);
  t->decided_at_ms = move->decided_at_ms > move->effective_at_ms ? move->decided_at_ms : move->effective_at_ms;
  return !by_event || take_event(d, t);
}

/* --- parts --- */

static void add_reference(seg_text *text, const seg_presentation *p, int16_t code) {
  if (p->references[code].data) {
    seg_add_span(text, p->references[code]);
  } else {
    SEG_ADD(text, "null");
  }
}

static void add_direction(seg_text *text, const seg_presentation *p, int16_t from_code, int16_t to_code) {
  const int32_t from = p->levels[from_code];
  const int32_t to = p->levels[to_code];
  if (from == SEG_NO_LEVEL || to == SEG_NO_LEVEL) {
    SEG_ADD(text, "null");
  } else {
    seg_add_string(text, to > from ? "\"up\"" : to < from ? "\"down\"" : "\"sideways\"");
  }
}

static void add_next_move(seg_text *text, const told_move *t) {
  if (t->move->next_at_ms > LAST_INSTANT_MS) {
    SEG_ADD(text, "null");
    return;
  }
  SEG_ADD(text, "{\"at\":\"");
  seg_add_instant(text, t->move->next_at_ms);
  SEG_ADD(text, "\",\"to_segment\":");
  add_reference(text, t->p, seg_presented_code(t->p, t->move->next_target));
  SEG_ADD(text, "}");
}

static void add_cause(seg_text *text, const told_move *t) {
  SEG_ADD(text, "{\"kind\":\"");
  seg_add_string(text, causes[t->move->cause]);
  if (!t->event) {
    SEG_ADD(text, "\",\"event_id\":null,\"position\":null}");
    return;
  }
  SEG_ADD(text, "\",\"event_id\":\"");
  seg_add_escaped(text, t->event_id);
  SEG_ADD(text, "\",\"position\":{\"topic\":");
  seg_add_span(text, t->source);
  SEG_ADD(text, ",\"partition\":");
  seg_add_integer(text, t->partition);
  SEG_ADD(text, ",\"offset\":");
  seg_add_integer(text, t->event->offset);
  SEG_ADD(text, "}}");
}

/* The same 32 hexadecimal digits for the same migration for ever, so that a repeated delivery is recognised. */
static void add_migration_id(seg_text *text, seg_text *scratch, const told_move *t) {
  static const char digits[] = "0123456789abcdef";
  uint8_t digest[DIGEST_BYTES];
  char id[2 * DIGEST_BYTES];
  scratch->size = 0;
  seg_add_span(scratch, t->p->texts[SEG_PLAIN_NAME]);
  seg_add(scratch, "", 1);
  seg_add_span(scratch, t->customer);
  seg_add(scratch, "", 1);
  seg_add_integer(scratch, t->move->sequence);
  if (scratch->failed) return;
  blake2b(digest, scratch->data, sizeof digest, scratch->size);
  for (size_t i = 0; i < sizeof digest; i++) {
    id[2 * i] = digits[digest[i] >> 4];
    id[2 * i + 1] = digits[digest[i] & 15];
  }
  seg_add(text, id, sizeof id);
}

/* The customer's constant bucket, 0 to 99; the same in every segmentation and for ever. */
static uint64_t bucket_of(seg_text *scratch, const told_move *t) {
  scratch->size = 0;
  seg_add_span(scratch, t->p->texts[SEG_SALT]);
  seg_add_span(scratch, t->customer);
  return scratch->failed ? 0 : XXH3_64bits(scratch->data, scratch->size) % HOLDOUT_BUCKETS;
}

/* --- why a learned model has moved a customer --- */

static void add_decisive(seg_text *text, const seg_case *c, int32_t change) {
  enum { NEW = SEG_ROLES };
  if (change == SEG_ENTERED) {
    SEG_ADD(text, "null");
    return;
  }
  SEG_ADD(text, "\"");
  if (c->cause == SEG_MODEL) {
    SEG_ADD(text, "model");
  } else if (c->target > NEW || c->origin > NEW || c->origin < 0) {
    SEG_ADD(text, "silence");
  } else if (c->origin == NEW && c->cause == SEG_LAPSE) {
    SEG_ADD(text, "tenure");
  } else {
    seg_add_string(text, axes[c->axis]);
  }
  SEG_ADD(text, "\"");
}

static void add_sentence(seg_text *text, const told_move *t, const seg_case *c) {
  if (t->event) {
    seg_add_event(text, t->p, t->event, t->type, t->move->change);
    seg_add_facts_of_act(text, t->p, c, t->from_code);
  } else if (t->move->cause == SEG_LAPSE) {
    seg_add_silence_grew(text, t->p, c);
  } else {
    seg_add_span(text, t->move->cause == SEG_MODEL ? t->told : t->p->texts[SEG_IS_NEW]);
    SEG_ADD(text, ": ");
    seg_add_standing(text, t->p, c);
  }
  SEG_ADD(text, "; ");
  seg_add_path(text, t->p, t->from_code, t->to_code);
  SEG_ADD(text, ".");
}

static void add_learned_explanation(seg_text *text, const told_move *t) {
  const seg_case c = seg_case_of(t->p, t->move);
  SEG_ADD(text, "{\"kind\":\"learned\",\"before\":");
  if (t->move->change == SEG_ENTERED || !c.has_before) {
    SEG_ADD(text, "null");
  } else {
    seg_add_figures(text, &c.before, t->p->form.digits);
  }
  SEG_ADD(text, ",\"after\":");
  seg_add_figures(text, &c.after, t->p->form.digits);
  SEG_ADD(text, ",\"decisive\":");
  add_decisive(text, &c, t->move->change);
  SEG_ADD(text, ",\"margin\":");
  if (c.has_margin) {
    seg_add_number(text, c.margin, SEG_DIGITS_MAX);
  } else {
    SEG_ADD(text, "null");
  }
  SEG_ADD(text, ",\"statement\":\"");
  seg_add_span(text, t->p->statements[t->move->target]);
  SEG_ADD(text, "\",\"sentence\":\"");
  add_sentence(text, t, &c);
  SEG_ADD(text, "\"}");
}

/* --- records --- */

static void add_head(seg_text *text, seg_text *scratch, const told_move *t) {
  SEG_ADD(text, "{\"migration_id\":\"");
  add_migration_id(text, scratch, t);
  SEG_ADD(text, "\",\"sequence\":");
  seg_add_integer(text, t->move->sequence);
  SEG_ADD(text, ",\"customer_id\":\"");
  seg_add_escaped(text, t->customer);
  SEG_ADD(text, "\",\"segmentation\":");
  seg_add_span(text, t->p->texts[SEG_NAME]);
  SEG_ADD(text, ",\"from_segment\":");
  add_reference(text, t->p, t->from_code);
  SEG_ADD(text, ",\"to_segment\":");
  add_reference(text, t->p, t->to_code);
  SEG_ADD(text, ",\"change\":\"");
  seg_add_string(text, changes[t->move->change]);
  SEG_ADD(text, "\",\"direction\":");
  add_direction(text, t->p, t->from_code, t->to_code);
  SEG_ADD(text, ",\"effective_at\":\"");
}

static void add_tail(seg_text *text, const told_move *t) {
  SEG_ADD(text, "\",\"decided_at\":\"");
  seg_add_instant(text, t->decided_at_ms);
  SEG_ADD(text, "\",\"cause\":");
  add_cause(text, t);
  SEG_ADD(text, ",\"model_version\":");
  seg_add_integer(text, t->p->form.version);
  SEG_ADD(text, ",\"explanation\":");
  if (t->p->form.kind == SEG_KIND_LEARNED) {
    add_learned_explanation(text, t);
  } else {
    seg_add_span(text, t->told);
  }
  SEG_ADD(text, ",\"next_move\":");
  add_next_move(text, t);
  SEG_ADD(text, ",\"holdout\":{\"bucket\":");
  seg_add_integer(text, (int64_t)t->bucket);
  seg_add_string(text, (int64_t)t->bucket < t->p->form.holdout_percent ? ",\"held_out\":true}}" : ",\"held_out\":false}}");
}

static void add_membership(seg_text *text, const told_move *t) {
  SEG_ADD(text, "{\"customer_id\":\"");
  seg_add_escaped(text, t->customer);
  SEG_ADD(text, "\",\"segmentation\":");
  seg_add_span(text, t->p->texts[SEG_NAME]);
  SEG_ADD(text, ",\"segment\":");
  add_reference(text, t->p, t->to_code);
  SEG_ADD(text, ",\"since\":\"");
  seg_add_instant(text, t->move->effective_at_ms);
  SEG_ADD(text, "\",\"sequence\":");
  seg_add_integer(text, t->move->sequence);
  SEG_ADD(text, ",\"model_version\":");
  seg_add_integer(text, t->p->form.version);
  SEG_ADD(text, ",\"as_of\":\"");
  seg_add_instant(text, t->decided_at_ms);
  SEG_ADD(text, "\",\"next_move\":");
  add_next_move(text, t);
  SEG_ADD(text, "}");
}

/* --- headers: a migration is a CloudEvent in Kafka's binary form --- */

static void add_varint(seg_text *text, size_t number) {
  uint64_t left = (uint64_t)number << 1; /* zigzag of what is not negative */
  while (left > 127) {
    const uint8_t byte = (uint8_t)((left & 127) | 128);
    seg_add(text, &byte, 1);
    left >>= 7;
  }
  const uint8_t last = (uint8_t)left;
  seg_add(text, &last, 1);
}

static void add_header(seg_text *text, const char *name, seg_span value) {
  add_varint(text, strlen(name));
  seg_add_string(text, name);
  add_varint(text, value.size);
  seg_add_span(text, value);
}

static seg_span span_of(const char *string) { return (seg_span){(const uint8_t *)string, strlen(string)}; }

/* Adds the headers of a migration whose id and instant stand in its text already. */
static void add_headers(seg_describer *d, const told_move *t, seg_span source, size_t id_at, size_t instant_at,
                        size_t instant_size) {
  if (d->migrations.failed) return;
  seg_text *const text = &d->headers;
  d->scratch.size = 0;
  SEG_ADD(&d->scratch, "com.stream-segmenter.migration.");
  seg_add_string(&d->scratch, changes[t->move->change]);
  if (d->scratch.failed) return;
  add_varint(text, 7);
  add_header(text, "ce_specversion", span_of("1.0"));
  add_header(text, "ce_id", (seg_span){d->migrations.data + id_at, 2 * DIGEST_BYTES});
  add_header(text, "ce_type", (seg_span){d->scratch.data, d->scratch.size});
  add_header(text, "ce_source", source);
  add_header(text, "ce_subject", t->customer);
  add_header(text, "ce_time", (seg_span){d->migrations.data + instant_at, instant_size});
  add_header(text, "content-type", span_of("application/json"));
}

/* Writes all texts of a move; false if one of them is longer than anybody can say. */
static bool describe(seg_describer *d, told_move *t, const seg_texts *source, seg_described *out) {
  const size_t migration = d->migrations.size;
  const size_t membership = d->memberships.size;
  const size_t key = d->keys.size;
  const size_t headers = d->headers.size;
  t->bucket = bucket_of(&d->scratch, t);
  add_head(&d->migrations, &d->scratch, t);
  const size_t instant = d->migrations.size;
  seg_add_instant(&d->migrations, t->move->effective_at_ms);
  const size_t instant_end = d->migrations.size;
  add_tail(&d->migrations, t);
  const size_t migration_end = d->migrations.size;
  SEG_ADD(&d->migrations, "\n");
  const bool is_somewhere = t->p->references[t->to_code].data != NULL;
  if (is_somewhere) add_membership(&d->memberships, t);
  seg_add_span(&d->keys, t->p->texts[SEG_PLAIN_NAME]);
  SEG_ADD(&d->keys, "/");
  seg_add_span(&d->keys, t->customer);
  if (migration_end - migration > INT32_MAX || d->memberships.size - membership > INT32_MAX) return false;
  seg_span publisher;
  if (source->count) {
    if (!take_text(source, 0, &publisher)) return false;
    add_headers(d, t, publisher, migration + ID_AT, instant, instant_end - instant);
  }
  if (d->keys.size - key > INT32_MAX || d->headers.size - headers > INT32_MAX) return false;
  *out = (seg_described){
      .migration_at = (int64_t)migration,
      .membership_at = (int64_t)membership,
      .key_at = (int64_t)key,
      .headers_at = (int64_t)headers,
      .migration_size = (int32_t)(migration_end - migration),
      .membership_size = is_somewhere ? (int32_t)(d->memberships.size - membership) : -1,
      .key_size = (int32_t)(d->keys.size - key),
      .customer_size = (int32_t)t->customer.size,
      .headers_size = (int32_t)(d->headers.size - headers),
  };
  return true;
}

/* Makes a describer as if it had written nothing. */
static void clear(seg_describer *describer) {
  seg_text *const texts[] = {&describer->migrations, &describer->memberships, &describer->keys, &describer->headers,
                             &describer->scratch};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    texts[i]->size = 0;
    texts[i]->failed = false;
  }
}

static bool has_failed(const seg_describer *d) {
  return d->migrations.failed || d->memberships.failed || d->keys.failed || d->headers.failed || d->scratch.failed;
}

int32_t seg_describe(seg_describer *describer, seg_description *d) {
  clear(describer);
  for (int64_t i = 0; i < d->move_count; i++) {
    told_move t;
    if (!take_move(d, i, &t) || !describe(describer, &t, &d->source, d->described + i)) return SEG_OUT_OF_RANGE;
    if (has_failed(describer)) return SEG_NO_MEMORY;
  }
  d->migrations = describer->migrations.data;
  d->migrations_size = (int64_t)describer->migrations.size;
  d->memberships = describer->memberships.data;
  d->memberships_size = (int64_t)describer->memberships.size;
  d->keys = describer->keys.data;
  d->keys_size = (int64_t)describer->keys.size;
  d->headers = describer->headers.data;
  d->headers_size = (int64_t)describer->headers.size;
  return SEG_OK;
}

int32_t seg_deciding_axes(const seg_presentation *p, int64_t n, const seg_move *moves, int32_t *out) {
  if (p->form.kind != SEG_KIND_LEARNED) return SEG_OUT_OF_RANGE;
  for (int64_t i = 0; i < n; i++) {
    if (!is_known_move(moves + i, p)) return SEG_OUT_OF_RANGE;
    out[i] = seg_case_of(p, moves + i).axis;
  }
  return SEG_OK;
}
